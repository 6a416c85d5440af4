"""Prompts that choose and prompts that report have nothing in common, whatever their order."""

import pytest

from emotion_circuits.prompts import halve_texts


@pytest.mark.parametrize("n", [2, 3, 5, 8, 101])
def test_halves_share_nothing_and_leave_nothing_out(n):
    prompts = [f"prompt {number}" for number in range(n)]
    halves = halve_texts(prompts, 0)
    assert len(halves.select) == n // 2
    assert sorted(halves.select + halves.confirm) == sorted(prompts)
    assert not set(halves.select) & set(halves.confirm)


def test_halves_depend_on_the_seed_and_not_on_the_order():
    prompts = [f"prompt {number}" for number in range(40)]
    halves = halve_texts(prompts, 0)
    backwards = halve_texts(prompts[::-1], 0)
    assert set(backwards.select) == set(halves.select)
    assert set(halve_texts(prompts, 1).select) != set(halves.select)
    assert halves.select != prompts[:20]
