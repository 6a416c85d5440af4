"""Maps between models: the oracle, scikit-learn, and cases whose answer is known."""

import ast
from pathlib import Path

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
from emotion_circuits.geometry import maps, maps_torch
from emotion_circuits.geometry.maps import (
    PENALTIES,
    MapOptions,
    choose_penalty,
    choose_rank,
    fit_map,
    turn_with_shuffled_pairs,
)

METHODS = ("ridge", "procrustes", "cca")


def rows_of(seed=0, n=40, positions=1, d_a=12, d_b=9, noise=0.3):
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, positions, d_a)) * np.linspace(0.3, 3, d_a) + 7
    truth = rng.normal(size=(d_b, d_a)) / np.sqrt(d_a)
    return a, a @ truth.T + noise * rng.normal(size=(n, positions, d_b)) - 4, truth


def spanning_less(seed, n, positions, d_a, d_b, rank_a, rank_b):
    """Rows of either model in a subspace, so that their ranks are below their widths."""
    rng = np.random.default_rng(seed)
    a = rng.normal(size=(n, positions, rank_a)) @ rng.normal(size=(rank_a, d_a))
    noise = 0.3 * rng.normal(size=(n, positions, d_b))
    b = (a @ rng.normal(size=(d_a, d_b)) + noise) @ rng.normal(size=(d_b, rank_b))
    return a + 7, b @ rng.normal(size=(rank_b, d_b)) - 4


def both_ways(a, b, seed, **options):
    """The map and directions under maps of shuffled pairs, by torch and by the oracle."""
    rng = np.random.default_rng(seed)
    directions = rng.normal(size=(3, a.shape[-1]))
    shuffles = np.stack([rng.permutation(len(a)) for _ in range(4)])
    found = []
    for backend in ("torch", "numpy"):
        settings = MapOptions(**options, backend=backend)
        fitted = fit_map(a, b, settings)
        turned = turn_with_shuffled_pairs(
            a, b, directions, shuffles, fitted=fitted, options=settings
        )
        found.append((fitted, turned))
    return found


def assert_same(found):
    (by_torch, turned), (by_oracle, turned_by_oracle) = found
    assert by_torch.rank == by_oracle.rank
    np.testing.assert_equal(by_torch.penalty, by_oracle.penalty)
    np.testing.assert_allclose(by_torch.matrix, by_oracle.matrix, atol=1e-6)
    np.testing.assert_allclose(turned, turned_by_oracle, atol=1e-6)


ranks = st.sampled_from([None, 1, 3, 99])


@examples(max_examples=40)
@given(
    st.integers(0, 10**6),
    st.integers(2, 16),
    st.integers(1, 3),
    st.integers(2, 12),
    st.integers(2, 12),
    st.sampled_from(METHODS),
    ranks,
)
def test_torch_and_the_oracle_agree(seed, n, positions, d_a, d_b, method, rank):
    a, b, _ = rows_of(seed, n, positions, d_a, d_b)
    assert_same(both_ways(a, b, seed, method=method, rank=rank))


@examples(max_examples=40)
@given(st.data(), st.integers(0, 10**6), st.integers(2, 16), st.sampled_from(METHODS), ranks)
def test_torch_and_the_oracle_agree_where_rows_span_less(data, seed, n, method, rank):
    d_a, d_b = (data.draw(st.integers(2, 12)) for _ in range(2))
    rank_a, rank_b = (data.draw(st.integers(1, width)) for width in (d_a, d_b))
    positions = data.draw(st.integers(1, 3))
    a, b = spanning_less(seed, n, positions, d_a, d_b, rank_a, rank_b)
    found = both_ways(a, b, seed, method=method, rank=rank)
    assert_same(found)
    assert found[0][0].rank <= rank_a


@pytest.mark.parametrize("method", METHODS)
def test_rounding_to_single_precision_is_no_direction_for_either(method):
    a, b = spanning_less(0, 30, 2, 10, 8, rank_a=4, rank_b=3)
    rounded = [rows.astype(np.float32).astype(np.float64) for rows in (a - 7, b + 4)]
    found = both_ways(*rounded, 0, method=method)
    assert_same(found)
    assert found[0][0].rank == (4 if method == "ridge" else 3)


def wrong_penalty(errors, penalties, total):
    return penalties[int(np.argmin(errors)) - 1]


def wrong_rank(method, asked, n_rows, rank_a, rank_b):
    return min(rank_a, rank_b, asked or 99)


@pytest.mark.parametrize(
    ("place", "name", "mistake", "method"),
    [
        (maps, "choose_penalty", wrong_penalty, "ridge"),
        (maps, "choose_penalty", lambda errors, penalties, total: min(penalties), "ridge"),
        (maps, "choose_rank", wrong_rank, "cca"),
        (maps, "choose_rank", lambda *given: choose_rank(*given) - 1, "procrustes"),
        (maps_torch, "RANK_TOLERANCE", 0.5, "ridge"),
        (maps_torch, "RANK_TOLERANCE", 0.5, "procrustes"),
    ],
)
def test_a_mistake_in_a_choice_shows_beside_the_oracle(monkeypatch, place, name, mistake, method):
    a, b, _ = rows_of(n=20, noise=3, d_a=12, d_b=9)
    assert_same(both_ways(a, b, 0, method=method))
    monkeypatch.setattr(place, name, mistake)
    with pytest.raises(AssertionError):
        assert_same(both_ways(a, b, 0, method=method))


@pytest.mark.parametrize("oracle", ["maps_oracle", "angles_oracle"])
def test_an_oracle_takes_nothing_from_the_project(oracle):
    tree = ast.parse((Path(maps.__file__).parent / f"{oracle}.py").read_text("utf-8"))
    taken = {
        name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in ([alias.name for alias in node.names] + [getattr(node, "module", "")])
    }
    assert "numpy" in taken
    assert not [name for name in taken if name and name.startswith("emotion_circuits")]
    assert not any(isinstance(node, ast.ImportFrom) and node.level for node in ast.walk(tree))


@pytest.mark.parametrize(
    ("errors", "wanted"),
    [
        ([3.0, 1.0, 2.0], 0.1),
        ([1.0, 1.0 + 1e-6, 2.0], 0.1),  # hardly different: the larger penalty
        ([1.0, 1.0 + 1e-4, 2.0], 0.01),
        ([0.0, 1e-13, 1e-11], 0.1),  # nothing beside what there is to predict
        ([2.0, 2.0, 2.0], 1.0),
    ],
)
def test_the_penalty_is_the_largest_of_those_with_the_least_error(errors, wanted):
    assert choose_penalty(errors, [0.01, 0.1, 1.0], total=1.0) == wanted


@pytest.mark.parametrize(
    ("method", "asked", "n_rows", "wanted"),
    [
        ("procrustes", None, 8, 5),
        ("procrustes", 3, 8, 3),
        ("procrustes", 9, 8, 5),
        ("cca", None, 100, 5),
        ("cca", None, 12, 3),
        ("cca", None, 2, 1),
        ("cca", 4, 12, 4),
    ],
)
def test_the_rank_is_what_was_asked_for_as_far_as_both_models_have_it(
    method, asked, n_rows, wanted
):
    assert choose_rank(method, asked, n_rows, 7, 5) == wanted


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
