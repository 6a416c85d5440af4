"""Maps between models: two backends, scikit-learn, and cases whose answer is known."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from scipy.linalg import orthogonal_procrustes
from scipy.stats import ortho_group
from sklearn.linear_model import RidgeCV

from emotion_circuits.errors import InputError
from emotion_circuits.geometry.maps import (
    PENALTIES,
    MapOptions,
    canonical_correlations,
    fit_map,
    turn_with_shuffled_pairs,
)

METHODS = ("ridge", "procrustes", "cca")


def rows_of(seed=0, n=40, positions=1, d_a=12, d_b=9, noise=0.3):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, positions, d_a)) * np.linspace(0.3, 3, d_a) + 7
    truth = rng.normal(size=(d_b, d_a)) / np.sqrt(d_a)
    return a, a @ truth.T + noise * rng.normal(size=(n, positions, d_b)) - 4, truth


@examples(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(2, 16),
    st.integers(1, 3),
    st.integers(2, 12),
    st.integers(2, 12),
    st.sampled_from(METHODS),
)
def test_torch_and_numpy_agree(seed, n, positions, d_a, d_b, method):
    a, b, _ = rows_of(seed, n, positions, d_a, d_b)
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(3, d_a))
    shuffles = np.stack([rng.permutation(n) for _ in range(4)])
    fitted, turned = {}, {}
    for backend in ("torch", "numpy"):
        options = MapOptions(method=method, backend=backend)
        fitted[backend] = fit_map(a, b, options)
        turned[backend] = turn_with_shuffled_pairs(
            a, b, directions, shuffles, fitted=fitted[backend], options=options
        )
    assert fitted["torch"].rank == fitted["numpy"].rank
    np.testing.assert_allclose(fitted["torch"].matrix, fitted["numpy"].matrix, atol=1e-6)
    np.testing.assert_allclose(turned["torch"], turned["numpy"], atol=1e-6)


@pytest.mark.parametrize(("n", "noise"), [(8, 3), (40, 0.3), (40, 3)])
def test_ridge_is_scikit_learns_with_the_penalty_left_out_prompts_choose(n, noise):
    a, b, _ = rows_of(n=n, noise=noise)
    flat = a[:, 0] - a[:, 0].mean(0)
    values = np.linalg.svd(flat, compute_uv=False)
    unit = (values[values > 1e-9 * values[0]] ** 2).mean()
    wanted = RidgeCV(alphas=[penalty * unit for penalty in PENALTIES]).fit(a[:, 0], b[:, 0])
    found = fit_map(a, b, MapOptions())
    assert found.penalty * unit == pytest.approx(wanted.alpha_)
    np.testing.assert_allclose(found.matrix, wanted.coef_, atol=1e-8)
    np.testing.assert_allclose(found.predict(a)[:, 0], wanted.predict(a[:, 0]), atol=1e-8)


def test_procrustes_is_scipys_when_all_components_are_kept():
    a, b, _ = rows_of(d_a=6, d_b=6)
    centred = [(rows - rows.mean(0))[:, 0] for rows in (a, b)]
    rotation, _ = orthogonal_procrustes(*centred)
    found = fit_map(a, b, MapOptions(method="procrustes")).matrix
    scale = np.linalg.norm(found, 2)
    np.testing.assert_allclose(found / scale, rotation.T, atol=1e-8)
    # The scale is the one of least error.
    best = np.sum(centred[1] * (centred[0] @ rotation)) / np.sum(centred[0] ** 2)
    assert scale == pytest.approx(best)


@pytest.mark.parametrize("method", METHODS)
def test_a_rotated_copy_is_recovered(method):
    a, _, _ = rows_of(n=60)
    rotation = ortho_group.rvs(12, random_state=1)
    found = fit_map(a, 2 * a @ rotation.T + 3, MapOptions(method=method, rank=12))
    # Ridge shrinks a little, for its smallest penalty is not zero.
    np.testing.assert_allclose(found.matrix, 2 * rotation, atol=1e-5)


def test_ridge_recovers_a_map_that_no_rotation_is():
    a, b, truth = rows_of(n=2000, noise=0.01)
    np.testing.assert_allclose(fit_map(a, b, MapOptions()).matrix, truth, atol=0.01)


def test_directions_turn_without_the_offset():
    a, b, _ = rows_of()
    for method in METHODS:
        plain = fit_map(a, b, MapOptions(method=method))
        moved = fit_map(a + 1000, b - 500, MapOptions(method=method))
        np.testing.assert_allclose(plain.turn(np.eye(12)), moved.turn(np.eye(12)), atol=1e-8)
        difference = plain.predict(a[:1]) - plain.predict(a[1:2])
        np.testing.assert_allclose(difference, plain.turn(a[:1] - a[1:2]), atol=1e-9)
        assert not np.allclose(plain.turn(a[:1]), plain.predict(a[:1]))


def test_an_offset_between_positions_does_not_count_as_variation():
    a, b, _ = rows_of(positions=2)
    shifted = b + np.array([[0.0], [300.0]])
    for method in METHODS:
        before, after = (fit_map(a, rows, MapOptions(method=method)) for rows in (b, shifted))
        np.testing.assert_allclose(before.matrix, after.matrix, atol=1e-8)


def test_shuffled_pairs_predict_nothing():
    a, b, _ = rows_of(n=200)
    held_a, held_b = (rows[150:] for rows in (a, b))
    order = np.random.default_rng(0).permutation(150)
    explained = []
    for chosen in (np.arange(150), order):
        fitted = fit_map(a[:150], b[:150][chosen], MapOptions())
        missed = ((held_b - fitted.predict(held_a)) ** 2).sum()
        explained.append(1 - missed / ((held_b - fitted.mean_b) ** 2).sum())
    assert explained[0] > 0.8
    assert abs(explained[1]) < 0.1


def test_a_rank_limits_what_passes():
    a, b, _ = rows_of()
    for method in ("procrustes", "cca"):
        found = fit_map(a, b, MapOptions(method=method, rank=3))
        assert found.rank == np.linalg.matrix_rank(found.matrix) == 3
    assert fit_map(a, b, MapOptions(method="procrustes", rank=99)).rank == 9


def test_canonical_correlations_are_the_textbooks_and_held_out_ones_are_lower():
    rng = np.random.default_rng(0)
    shared = rng.normal(size=(400, 2))
    a, b = (shared @ rng.normal(size=(2, d)) + 0.5 * rng.normal(size=(400, d)) for d in (6, 5))
    train, test = slice(0, 200), slice(200, 400)
    found = canonical_correlations(a[train], b[train], a[test], b[test], rank=6)
    ca, cb = (rows[train] - rows[train].mean(0) for rows in (a, b))
    product = np.linalg.solve(ca.T @ ca, ca.T @ cb) @ np.linalg.solve(cb.T @ cb, cb.T @ ca)
    wanted = np.sqrt(np.sort(np.linalg.eigvals(product).real)[::-1][:5])
    np.testing.assert_allclose(found.train, wanted, atol=1e-8)
    assert (found.held_out[:2] > 0.8).all()
    assert np.abs(found.held_out[2:]).mean() < 0.15 < found.train[2]


def test_canonical_correlations_of_noise_are_small_on_other_rows():
    rng = np.random.default_rng(0)
    a, b = (rng.normal(size=(400, 30)) for _ in range(2))
    found = canonical_correlations(a[:200], b[:200], a[200:], b[200:])
    assert found.train.max() > 0.5  # the bias that held-out rows are there for
    assert abs(found.held_out.mean()) < 0.05
    assert np.isnan(canonical_correlations(a[:9], b[:9], a[:2], b[:2]).held_out).all()


def test_what_cannot_be_mapped_is_said_in_one_line():
    a, b, _ = rows_of()
    with pytest.raises(InputError, match="at least 2 neutral training prompts; there is 1"):
        fit_map(a[:1], b[:1], MapOptions())
    with pytest.raises(InputError, match="second model do not differ between the 40 neutral"):
        fit_map(a, np.ones_like(b), MapOptions())
    with pytest.raises(InputError, match="first model do not differ"):
        fit_map(np.repeat(a[:1], 40, axis=0), b, MapOptions())


def test_on_mps_the_cpu_stands_in():
    a, b, _ = rows_of()
    plain = fit_map(a, b, MapOptions())
    mps = fit_map(a, b, MapOptions(device=torch.device("mps")))
    np.testing.assert_array_equal(plain.matrix, mps.matrix)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("method", METHODS)
def test_cuda_gives_what_the_cpu_gives(method):
    a, b, _ = rows_of(positions=2)
    shuffles = np.stack([np.random.default_rng(s).permutation(40) for s in range(5)])
    found = []
    for device in ("cpu", "cuda"):
        options = MapOptions(method=method, device=device)
        fitted = fit_map(a, b, options)
        found.append(
            turn_with_shuffled_pairs(a, b, np.eye(12), shuffles, fitted=fitted, options=options)
        )
    np.testing.assert_allclose(*found, atol=1e-6)
