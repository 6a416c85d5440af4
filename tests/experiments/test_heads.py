"""Heads are named as sets, and wrong names are one clear line."""

from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_conditions import ablate_heads, patch_heads
from emotion_circuits.experiments.heads import (
    format_heads,
    other_heads,
    parse_heads,
    permuted_heads,
)

SHAPE = {"n_layers": 3, "n_heads": 4}
EVERY = [(layer, head) for layer in range(3) for head in range(4)]
SETS = st.sets(st.sampled_from(EVERY), min_size=1)


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        ("0:0 1:3", [(0, 0), (1, 3)]),
        ("1:3 0:0", [(0, 0), (1, 3)]),
        ("1:3,0:0 1:3", [(0, 0), (1, 3)]),
        ("0:1-3", [(0, 1), (0, 2), (0, 3)]),
        ("2:*", [(2, 0), (2, 1), (2, 2), (2, 3)]),
        ("2:0-0", [(2, 0)]),
        ("all", EVERY),
        ("all 0:0", EVERY),
    ],
)
def test_a_spec_is_a_set_of_heads(spec, wanted):
    assert list(parse_heads(spec, **SHAPE)) == wanted


@given(heads=SETS)
def test_what_is_written_is_read_again(heads):
    assert set(parse_heads(format_heads(heads), **SHAPE)) == heads


@pytest.mark.parametrize(
    ("spec", "line"),
    [
        ("99:0", r"head spec '99:0': layer 99 is out of range; allowed are 0 to 2"),
        ("0:4", r"head spec '0:4': head 4 is out of range; allowed are 0 to 3"),
        ("0:2-4", r"head spec '0:2-4': head 4 is out of range; allowed are 0 to 3"),
        ("0:x", r"head spec '0:x' cannot be read; allowed are all, 0:3 \(layer:head\)"),
        ("0", r"head spec '0' cannot be read"),
        ("-1:0", r"head spec '-1:0' cannot be read"),
        ("0:3-1", r"head spec '0:3-1': the range runs backwards; nearest: 0:1-3"),
        ("0:5-2", r"head spec '0:5-2': the range runs backwards"),
        ("0:0 1:y", r"head spec '1:y' cannot be read"),
        ("  ", r"names no head"),
    ],
)
def test_a_wrong_spec_is_one_line(spec, line):
    with pytest.raises(InputError, match=line) as caught:
        parse_heads(spec, **SHAPE)
    assert "\n" not in str(caught.value)


@given(heads=SETS, seed=st.integers(0, 50), same_layers=st.booleans())
def test_sets_of_other_heads_are_as_large_distinct_and_apart_from_the_set(heads, seed, same_layers):
    options = {"layers": range(3), "n_heads": 4, "n_draws": 4, "seed": seed}
    drawn = other_heads(sorted(heads), **options, same_layers=same_layers)
    again = other_heads(sorted(heads, reverse=True), **options, same_layers=same_layers)
    assert drawn == again
    assert bool(drawn) == (2 * len(heads) <= len(EVERY))
    assert len(set(drawn)) == len(drawn)
    for draw in drawn:
        assert len(set(draw)) == len(heads)
        assert not set(draw) & heads
        assert set(draw) <= set(EVERY)


def test_sets_of_other_heads_are_spread_over_layers_as_the_set_is():
    heads = [(0, 0), (0, 1), (2, 3)]
    drawn = other_heads(heads, layers=range(3), n_heads=4, n_draws=3, seed=0, same_layers=True)
    assert len(drawn) == 3
    for draw in drawn:
        assert [layer for layer, _ in draw] == [0, 0, 2]
    free = other_heads(heads, layers=range(3), n_heads=4, n_draws=30, seed=0)
    assert any([layer for layer, _ in draw] != [0, 0, 2] for draw in free)


def test_other_heads_are_drawn_with_equal_chances():
    counts = dict.fromkeys(EVERY, 0)
    for seed in range(400):
        for draw in other_heads([(0, 0), (1, 1)], layers=range(3), n_heads=4, n_draws=1, seed=seed):
            for head in draw:
                counts[head] += 1
    assert counts.pop((0, 0)) == counts.pop((1, 1)) == 0
    # 800 draws over 10 heads: 80 each, with a standard deviation of 8.
    assert all(50 <= count <= 110 for count in counts.values())


def choices_of(heads, other):
    return {"A": sorted(heads), "B": sorted(other)}


@given(heads=SETS, other=SETS, seed=st.integers(0, 20), same_layers=st.booleans())
def test_images_of_a_choice_keep_its_sizes_and_what_the_halves_share(
    heads, other, seed, same_layers
):
    options = {"n_draws": 5, "seed": seed, "same_layers": same_layers}
    drawn = permuted_heads(choices_of(heads, other), n_layers=3, n_heads=4, **options)
    turned = {"B": sorted(other, reverse=True), "A": sorted(heads, reverse=True)}
    assert len({(image["A"], image["B"]) for image in drawn}) == len(drawn)
    for image in drawn:
        one, two = set(image["A"]), set(image["B"])
        assert (one, two) != (heads, other)
        assert (len(one), len(two)) == (len(heads), len(other))
        assert len(one & two) == len(heads & other)
        assert one | two <= set(EVERY)
        if same_layers:
            for drawn_set, own in ((one, heads), (two, other)):
                assert sorted(layer for layer, _ in drawn_set) == sorted(layer for layer, _ in own)
    again = permuted_heads(turned, n_layers=3, n_heads=4, **options)
    assert {frozenset(image.items()) for image in again} == {
        frozenset(image.items()) for image in drawn
    }


def every_image(heads, other, *, same_layers):
    """All images, by trying every permutation of six heads in two layers."""
    flat = [(layer, head) for layer in range(2) for head in range(3)]
    images = set()
    for order in permutations(flat):
        image_of = dict(zip(flat, order, strict=True))
        if same_layers and any(one[0] != two[0] for one, two in image_of.items()):
            continue
        images.add(tuple(tuple(sorted(image_of[head] for head in own)) for own in (heads, other)))
    return images


@pytest.mark.parametrize("same_layers", [False, True])
@pytest.mark.parametrize(
    ("heads", "other"),
    [
        ([(0, 0)], [(0, 0)]),
        ([(0, 0), (1, 2)], [(0, 1), (1, 2)]),
        ([(0, 0), (0, 1), (1, 1)], [(0, 0), (0, 1), (1, 1)]),
        ([(0, 0), (0, 1), (0, 2)], [(1, 0)]),
    ],
)
def test_few_images_are_all_drawn_but_the_choice(heads, other, same_layers):
    every = every_image(heads, other, same_layers=same_layers)
    drawn = permuted_heads(
        choices_of(heads, other),
        **{"n_layers": 2, "n_heads": 3, "n_draws": 1000, "seed": 0, "same_layers": same_layers},
    )
    assert {(image["A"], image["B"]) for image in drawn} == every - {(tuple(heads), tuple(other))}


def test_any_head_is_drawn_with_equal_chances_the_chosen_ones_too():
    counts = dict.fromkeys(EVERY, 0)
    chosen = choices_of([(0, 0), (1, 1)], [(0, 0), (2, 1)])
    options = {"n_layers": 3, "n_heads": 4, "n_draws": 1}
    for seed in range(600):
        (image,) = permuted_heads(chosen, **options, seed=seed)
        for head in image["A"]:
            counts[head] += 1
    # 1,200 draws over 12 heads: 100 each, with a standard deviation of 9.
    assert all(64 <= count <= 136 for count in counts.values())


@pytest.mark.parametrize("head", [(99, 0), (0, 4), (-1, 0)])
def test_a_condition_for_a_head_that_does_not_exist_is_refused(head):
    line = rf"head {head[0]}:{head[1]} does not exist; allowed are 0:0 to 2:3"
    with pytest.raises(InputError, match=line):
        ablate_heads("x", [(0, 0), head], torch.zeros(3, 4, 8))
    with pytest.raises(InputError, match=line):
        patch_heads("x", [head], torch.zeros(3, 5, 4, 8), n_prompt=5, n_aligned=5)
