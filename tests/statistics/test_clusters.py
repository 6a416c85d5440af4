"""Clusters: their numbers, their degrees of freedom, and tests that keep their level with few."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import linalg

from effect_studies import compare, options, texts
from emotion_circuits.statistics import effect_table, power_requirements, power_table
from emotion_circuits.statistics.bootstrap_unpaired import GroupClusters
from emotion_circuits.statistics.clusters import are_few, cluster_df, number_clusters
from emotion_circuits.statistics.effect_rows import ONE_CLUSTER
from emotion_circuits.statistics.effect_sizes import paired_effects, unpaired_effects
from emotion_circuits.statistics.permutation import grouped_sign_flip_test, sign_flips

UNEQUAL = np.repeat(np.arange(8), [30, 12, 6, 4, 3, 2, 2, 1])


def textbook_df(design, contrast, clusters):
    """Bell and McCaffrey's formula with the matrices written out."""
    hat = design @ np.linalg.inv(design.T @ design) @ design.T
    rest = np.eye(len(clusters)) - hat
    columns = []
    for number in np.unique(clusters):
        own = clusters == number
        root = linalg.fractional_matrix_power(rest[np.ix_(own, own)], -0.5).real
        weight = root @ design[own] @ np.linalg.inv(design.T @ design) @ contrast
        columns.append(rest[:, own] @ weight)
    products = np.stack(columns).dot(np.stack(columns).T)
    return np.trace(products) ** 2 / (products**2).sum()


def test_degrees_of_freedom_of_a_mean_are_the_textbooks():
    design = np.ones((len(UNEQUAL), 1))
    wanted = textbook_df(design, np.ones(1), UNEQUAL)
    assert cluster_df(UNEQUAL) == pytest.approx(wanted, rel=1e-9)
    assert 2 < cluster_df(UNEQUAL) < 5
    assert cluster_df(np.repeat(np.arange(9), 4)) == pytest.approx(8, rel=1e-12)


@pytest.mark.parametrize("shared", [False, True])
def test_degrees_of_freedom_of_a_difference_are_the_textbooks(shared):
    clusters = np.array([0, 0, 0, 1, 1, 2, 3, 3, 4, 4, 4, 5])
    treated = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1], dtype=bool)
    if shared:
        treated = np.array([0, 0, 1, 1, 0, 1, 0, 1, 0, 0, 1, 1], dtype=bool)
    design = np.stack([~treated, treated], axis=1).astype(float)
    wanted = textbook_df(design, np.array([-1.0, 1.0]), clusters)
    assert cluster_df(clusters, treated) == pytest.approx(wanted, rel=1e-9)


def test_one_cluster_has_no_degrees_of_freedom():
    assert cluster_df(np.zeros(5, dtype=int)) == 0
    treated = np.array([False, False, True, True])
    assert cluster_df(np.array([0, 1, 2, 2]), treated) == 0


def test_twenty_equal_clusters_are_not_few_and_nineteen_are():
    assert not are_few(cluster_df(np.repeat(np.arange(20), 3)))
    assert are_few(cluster_df(np.repeat(np.arange(19), 3)))


def test_clusters_are_numbered_by_name_unless_each_text_is_its_own():
    assert number_clusters(["b", "a", "b"]).tolist() == [1, 0, 1]
    assert number_clusters(["b", "a", "c"]) is None
    assert number_clusters(None) is None


def groups(rng, n_rows, sizes, icc, shift=0.0, shared=False):
    """Values of two conditions, with a cluster's share ``icc`` of the variance."""
    clusters = np.repeat(np.arange(len(sizes)), sizes)
    values = np.sqrt(icc) * rng.normal(size=(n_rows, len(sizes)))[:, clusters]
    values += np.sqrt(1 - icc) * rng.normal(size=values.shape)
    half = np.arange(len(clusters)) % 2 if shared else clusters % 2
    treated = half == 1
    values[:, treated] += shift
    parts = GroupClusters(clusters[~treated], clusters[treated])
    return values[:, ~treated], values[:, treated], parts


@pytest.mark.parametrize("shared", [False, True])
def test_the_clustered_test_of_groups_is_statsmodels(shared):
    before, after, parts = groups(np.random.default_rng(0), 4, [5, 3, 4, 6, 2, 4], 0.5, 0.3, shared)
    effects = unpaired_effects(before, after, clusters=parts)
    for row in range(4):
        condition = np.repeat([0.0, 1.0], [before.shape[1], after.shape[1]])
        fit = sm.OLS(np.concatenate([before[row], after[row]]), sm.add_constant(condition)).fit(
            cov_type="cluster", cov_kwds={"groups": np.concatenate(parts)}, use_t=True
        )
        assert effects.t_statistic[row] == pytest.approx(fit.tvalues[1], rel=1e-10)
        assert effects.standard_error[row] == pytest.approx(fit.bse[1], rel=1e-10)
    np.testing.assert_array_equal(effects.cohen_d, unpaired_effects(before, after).cohen_d)


@pytest.mark.parametrize("shared", [False, True])
def test_signs_of_groups_are_flipped_as_in_a_loop_over_regressions(shared):
    before, after, parts = groups(np.random.default_rng(1), 3, [5, 3, 4, 6, 2, 4], 0.5, 0.6, shared)
    flips = sign_flips(6, n_permutations=64, rng=np.random.default_rng(0))
    assert flips.complete
    seen = grouped_sign_flip_test(before, after, parts, flips)
    codes = np.concatenate(parts)
    design = sm.add_constant(np.repeat([0.0, 1.0], [before.shape[1], after.shape[1]]))

    def statistic(values):
        fit = sm.OLS(values, design).fit(cov_type="cluster", cov_kwds={"groups": codes})
        return abs(fit.tvalues[1])

    for row in range(3):
        values = np.concatenate([before[row], after[row]])
        center = values.mean()
        t = [statistic(center + signs[codes] * (values - center)) for signs in flips.signs]
        wanted = np.mean(np.array(t) >= statistic(values) * (1 - 1e-9))
        assert seen[row] == pytest.approx(wanted, abs=1e-12)


def group_table(n_studies, *, seed=0, clustered=True, sizes=(10,) * 20, icc=0.5, **changes):
    """Whole tables: the texts of the two conditions differ."""
    before, after, parts = groups(
        np.random.default_rng(seed), n_studies, list(sizes), icc, **changes
    )
    names = [[f"{side} {place}" for place in range(len(of))] for side, of in enumerate(parts)]
    clusters = {
        name: str(code)
        for of, codes in zip(names, parts, strict=True)
        for name, code in zip(of, codes.tolist(), strict=True)
    }
    items = []
    for row in range(n_studies):
        first, second = compare(before[row], before[row], names=names[0], layer=row), None
        second = compare(after[row], after[row], names=names[1], layer=row)
        items.append(type(first)(first.key, first.baseline, second.patched))
    chosen = options(clusters=clusters if clustered else None, n_bootstrap=400)
    return effect_table(items, chosen)


def rejected(table):
    return float((table["p_value"] <= 0.05).mean())


@pytest.mark.slow
def test_groups_of_texts_are_tested_by_template():
    """Half of the variance is the template's; texts alone would reject in 39 % of null studies."""
    assert rejected(group_table(400, clustered=False)) > 0.33
    clustered = group_table(600)
    assert set(clustered["test"]) == {"cluster_sign_flip"}
    assert clustered["few_clusters"].all()
    assert (clustered["n_clusters"] == 20).all()
    assert 0.02 <= rejected(clustered) <= 0.08
    covered = (clustered["ci_lower"] <= 0) & (clustered["ci_upper"] >= 0)
    assert 0.92 <= covered.mean() <= 0.98
    assert rejected(group_table(100, shift=1.5)) > 0.9


@pytest.mark.slow
@pytest.mark.parametrize("sizes", [(5,) * 20, (5,) * 60, (20, 16, 9, 8, 6, 5, 4, 3, 2, 2, 1, 1)])
@pytest.mark.parametrize("shared", [False, True])
def test_groups_keep_level_and_cover(sizes, shared):
    table = group_table(1500, sizes=sizes, shared=shared)
    covered = ((table["ci_lower"] <= 0) & (table["ci_upper"] >= 0)).mean()
    found = rejected(group_table(400, sizes=sizes, shared=shared, shift=1.5))

    assert rejected(table) <= 0.07
    assert covered >= 0.92
    assert found > 0.5


def paired_table(n_studies, sizes, *, seed=0, shift=0.0, icc=0.5, n_bootstrap=400):
    rng, n = np.random.default_rng(seed), sum(sizes)
    codes = np.repeat(np.arange(len(sizes)), sizes)
    after = np.sqrt(icc) * rng.normal(size=(n_studies, len(sizes)))[:, codes]
    after += np.sqrt(1 - icc) * rng.normal(size=(n_studies, n)) + shift
    clusters = {name: str(code) for name, code in zip(texts(n), codes.tolist(), strict=True)}
    items = [compare(np.zeros(n), row, layer=place) for place, row in enumerate(after)]
    return after, codes, effect_table(items, options(clusters=clusters, n_bootstrap=n_bootstrap))


def old_cluster_t(after, codes):
    """The test with clusters - 1 degrees of freedom that was used for any number of clusters."""
    from scipy import stats

    t = paired_effects(np.zeros_like(after), after, clusters=codes).t_statistic
    return float((2 * stats.t.sf(np.abs(t), codes.max()) <= 0.05).mean())


def test_few_unequal_clusters_are_tested_by_their_signs():
    after, codes, table = paired_table(1000, np.bincount(UNEQUAL))
    assert old_cluster_t(after, codes) > 0.12
    assert set(table["test"]) == {"cluster_sign_flip"}
    assert table["few_clusters"].all()
    np.testing.assert_array_equal(table["p_value"], table["p_value_sign_flip"])
    assert 0.02 <= rejected(table) <= 0.065
    assert rejected(paired_table(200, [6] * 12, shift=1.0)[2]) > 0.8


def test_many_clusters_are_tested_by_t():
    _, _, table = paired_table(300, [4] * 25)
    assert set(table["test"]) == {"cluster_t"}
    assert not table["few_clusters"].any()


@pytest.mark.slow
@pytest.mark.parametrize(
    "sizes", [[5] * 8, [30, 12, 6, 4, 3, 2, 2, 1], [5] * 12, [4] * 25, [30, 20, *[3] * 30]]
)
def test_paired_clusters_keep_level_and_cover(sizes):
    after, codes, table = paired_table(1500, sizes)
    covered = ((table["ci_lower"] <= 0) & (table["ci_upper"] >= 0)).mean()
    assert rejected(table) <= 0.07
    assert covered >= 0.90
    assert rejected(table) < old_cluster_t(after, codes) + 0.02
    assert rejected(paired_table(300, sizes, shift=1.0)[2]) > 0.4


def test_texts_of_one_cluster_have_an_effect_and_no_test():
    _, _, table = paired_table(2, [9])
    assert table["p_value"].isna().all()
    assert table["ci_lower"].isna().all()
    assert table["cohen_d"].notna().all()
    assert set(table["reason"]) == {ONE_CLUSTER}


def test_power_and_required_texts_of_groups_count_clusters():
    table = group_table(40, sizes=(5,) * 60)
    power = power_table(table, alpha=0.05, power_target=0.8)
    plain = power_table(
        group_table(40, sizes=(5,) * 60, clustered=False), alpha=0.05, power_target=0.8
    )
    ratio = power["minimal_detectable_effect"] / plain["minimal_detectable_effect"]
    # 1 + (5 - 1) / 2 = 3 times the variance.
    assert ratio.median() == pytest.approx(np.sqrt(3), rel=0.15)
    needs = {"effect_targets": [0.5], "alpha": 0.05, "power_target": 0.8}
    assert power_requirements(table, **needs)[0]["design_effect"] == pytest.approx(3, rel=0.3)
    assert power_requirements(table, **needs)[0]["required_n_control"] > 2 * 64
