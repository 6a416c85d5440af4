"""Canonical correlations on the rows they were found on, and on others."""

import numpy as np

from emotion_circuits.geometry.canonical import canonical_correlations, principal_basis


def test_principal_components_are_orthonormal_and_whiten_where_asked():
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(40, 3)) @ rng.normal(size=(3, 7))
    rows -= rows.mean(axis=0)
    plain, white = (principal_basis(rows, whiten=whiten) for whiten in (False, True))
    assert plain.components.shape == (3, 7)
    np.testing.assert_allclose(plain.components @ plain.components.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(plain.scores(rows) @ plain.components, rows, atol=1e-10)
    np.testing.assert_allclose(white.scores(rows).T @ white.scores(rows), np.eye(3), atol=1e-10)
    assert white.truncate(2).scores(rows).shape == (40, 2)


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
