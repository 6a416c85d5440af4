"""Principal angles and overlaps, against SciPy and by hand."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import subspace_angles
from scipy.stats import ortho_group

from emotion_circuits.geometry import angles, angles_oracle


def spans(seed, k, other, d):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(k, d)) * rng.uniform(0.01, 100, size=(k, 1)), rng.normal(
        size=(other, d)
    )


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(1, 6), st.integers(6, 20))
def test_angles_equal_scipys(seed, k, other, d):
    left, right = spans(seed, k, other, d)
    wanted = np.sort(subspace_angles(left.T, right.T))
    found = angles.principal_angles(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    # SciPy itself gives 2e-8 for an angle of 0 now and then; the next test is stricter.
    np.testing.assert_allclose(found, wanted, atol=1e-7)
    np.testing.assert_allclose(angles_oracle.principal_angles(left, right), wanted, atol=1e-7)


@pytest.mark.parametrize("angle", [1e-10, 1e-7, 1e-3, 0.5, np.pi / 4, 1.2, np.pi / 2 - 1e-9])
def test_small_angles_keep_their_digits(angle):
    rotation = ortho_group.rvs(5, random_state=0)
    left = np.eye(5)[:2] @ rotation
    right = np.array([[1, 0, 0, 0, 0], [0, np.cos(angle), 0, np.sin(angle), 0]]) @ rotation
    found = angles.principal_angles(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_allclose(found, [0, angle], rtol=1e-5, atol=1e-15)


@given(st.integers(0, 10**6), st.integers(1, 6), st.integers(6, 20))
def test_overlaps_of_torch_and_the_oracle_agree_and_are_mean_squared_cosines(seed, k, d):
    left, right = spans(seed, k, k, d)
    found = angles.nested_overlaps(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_allclose(found, angles_oracle.nested_overlaps(left, right), atol=1e-9)
    for size in range(1, k + 1):
        first, second = (np.linalg.qr(rows[:size].T)[0] for rows in (left, right))
        assert found[size - 1] == pytest.approx(np.sum((first.T @ second) ** 2) / size, abs=1e-9)


def test_overlap_with_itself_is_one_and_with_what_is_orthogonal_zero():
    mixed = np.random.default_rng(0).normal(size=(3, 3)) @ np.eye(8)[:3]
    one = angles.nested_overlaps(torch.eye(8).double()[:3], torch.eye(8).double()[:3])
    zero = angles.nested_overlaps(torch.eye(8).double()[:3], torch.eye(8).double()[3:6])
    np.testing.assert_allclose(one, 1)
    np.testing.assert_allclose(zero, 0)
    # Of a subspace, not of its basis: at the full size the mixture is the same subspace.
    same = angles.nested_overlaps(torch.from_numpy(mixed), torch.eye(8).double()[:3])
    assert same[-1] == pytest.approx(1, abs=1e-12)


def test_unrelated_subspaces_overlap_by_k_over_d_on_average():
    rng = np.random.default_rng(0)
    drawn = angles.nested_overlaps(
        torch.from_numpy(rng.normal(size=(4000, 4, 16))), torch.eye(16).double()[:4]
    )
    # Standard errors are below 0.002 at 4,000 draws.
    np.testing.assert_allclose(drawn.mean(0), np.arange(1, 5) / 16, atol=0.006)


def test_a_direction_that_adds_nothing_counts_as_orthogonal():
    given_rows = np.array([[1.0, 0, 0, 0], [2.0, 1e-12, 0, 0], [0, 0, 0, 0], [0, 3, 0, 0]])
    wanted = [1, 0.5, 1 / 3, 0.5]
    for overlaps in (
        angles.nested_overlaps(torch.from_numpy(given_rows), torch.eye(4).double()).numpy(),
        angles_oracle.nested_overlaps(given_rows, np.eye(4)),
    ):
        np.testing.assert_allclose(overlaps, wanted, atol=1e-9)
    zero = np.zeros((2, 4))
    for found in (
        angles.principal_angles(torch.from_numpy(zero), torch.eye(4).double()[:2]).numpy(),
        angles_oracle.principal_angles(zero, np.eye(4)[:2]),
    ):
        np.testing.assert_allclose(found, np.pi / 2)


@given(st.integers(0, 10**6), st.integers(2, 6), st.integers(6, 20), st.integers(1, 4))
def test_torch_and_the_oracle_agree_where_directions_depend_on_each_other(seed, k, d, rank):
    rng = np.random.default_rng(seed)
    left = rng.normal(size=(k, rank)) @ rng.normal(size=(rank, d))
    right = rng.normal(size=(k, d))
    right[rng.integers(k)] = 0
    overlaps = angles.nested_overlaps(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_allclose(overlaps, angles_oracle.nested_overlaps(left, right), atol=1e-7)
    found = angles.principal_angles(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_allclose(found, angles_oracle.principal_angles(left, right), atol=1e-6)


@pytest.mark.parametrize("name", ["RANK_TOLERANCE", "ZERO_TOLERANCE"])
def test_a_mistake_in_what_counts_as_nothing_shows_beside_the_oracle(monkeypatch, name):
    left = np.diag([1.0, 1e-3, 1.0, 1.0])[:, ::-1] + 1e-3
    right = np.eye(4)
    wanted = angles_oracle.nested_overlaps(left, right)
    found = angles.nested_overlaps(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    monkeypatch.setattr(angles, name, 0.9)
    found = angles.nested_overlaps(torch.from_numpy(left), torch.from_numpy(right)).numpy()
    assert np.abs(found - wanted).max() > 0.01


@given(st.integers(0, 10**6))
def test_a_common_rotation_changes_no_angle(seed):
    left, right = spans(seed, 3, 3, 9)
    rotation = ortho_group.rvs(9, random_state=seed)
    before, after = (
        angles.principal_angles(torch.from_numpy(one), torch.from_numpy(other))
        for one, other in ((left, right), (left @ rotation, right @ rotation))
    )
    np.testing.assert_allclose(before, after, atol=1e-9)


def test_rank_is_that_of_the_data_not_of_its_rounding():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(8, 3)) @ rng.normal(size=(3, 12))
    assert angles.numerical_rank(rows.astype(np.float32).astype(np.float64)) == 3
    assert angles.numerical_rank(np.zeros((4, 5))) == 0
