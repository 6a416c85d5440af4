"""k is chosen where overlap exceeds the null, and not where there is nothing."""

import numpy as np
import pytest
from scipy import stats

from emotion_circuits.statistics import k_sweep_table, max_t_p, overlap_places, select_k
from emotion_circuits.statistics.k_selection import NO_NULL
from emotion_circuits.statistics.k_specificity import (
    NO_OTHER,
    NOT_SPECIFIC,
    interval_of,
)
from study_emotions import FOUR


def sweep(curve, *, layers=(0, 1, 2), null=0.1, draws=400, seed=0, extras=True):
    """Overlaps of ``curve`` by k, with a null and resamples of prompts around them."""
    rng = np.random.default_rng(seed)
    results = {}
    for layer in layers:
        results[layer] = {"anger": {}, "gratitude": {}}
        for emotion in results[layer]:
            for k, overlap in enumerate(curve, 1):
                leaf = {"overlap_cos_squared": overlap + 0.01 * layer, "mean_principal_angle": 0.5}
                if extras:
                    leaf["overlap_bootstrap"] = overlap + rng.normal(0, 0.02, draws)
                    leaf["overlap_null"] = null + rng.normal(0, 0.02, draws)
                results[layer][emotion][k] = leaf
    return {"model_a": "a", "model_b": "b", "sweep_results": results}


def choose(given, **changes):
    settings = {"n_bootstrap": 300, "alpha": 0.05, "seed": 0} | changes
    return select_k([given], "p", FOUR.labels, **settings)


def test_the_raw_table_lists_every_overlap_in_order():
    raw = k_sweep_table([sweep([0.4, 0.3])], "p", FOUR.labels)
    columns = "profile model_a model_b layer emotion k overlap mean_principal_angle overlap_other"
    assert list(raw.columns) == columns.split()
    assert len(raw) == 3 * 2 * 2
    assert raw["emotion"].head(4).tolist() == ["gratitude"] * 2 + ["anger"] * 2
    assert raw.loc[1, ["k", "overlap"]].tolist() == [2, 0.3]


def test_sweeps_of_earlier_files_name_their_models_otherwise():
    now = sweep([0.4, 0.3])
    then = {"model1": "a", "model2": "b", "sweep_results": now["sweep_results"]}
    for table in (choose, lambda one: k_sweep_table([one], "p", FOUR.labels)):
        assert table(then).to_csv() == table(now).to_csv()
    assert overlap_places([then], {}, "p", FOUR.labels)["model_b"].unique().tolist() == ["b"]
    with pytest.raises(KeyError, match="model_a"):
        choose({"sweep_results": now["sweep_results"]})


def test_means_are_over_layers_and_the_interval_over_prompts():
    given = sweep([0.4, 0.3])
    chosen = choose(given)
    contract = (
        "profile model_a model_b emotion k n_layers mean_overlap std_overlap ci_lower ci_upper"
    )
    assert list(chosen.columns[:10]) == contract.split()
    row = chosen[(chosen["emotion"] == "anger") & (chosen["k"] == 2)].iloc[0]
    assert row["n_layers"] == 3
    assert row["mean_overlap"] == pytest.approx(0.31)
    assert row["std_overlap"] == pytest.approx(0.01)
    leaves = [given["sweep_results"][layer]["anger"][2] for layer in range(3)]
    resampled = np.mean([leaf["overlap_bootstrap"] for leaf in leaves], axis=0)
    distance = np.sqrt(np.mean((resampled - 0.31) ** 2))
    wanted = stats.norm.interval(0.95, loc=0.31, scale=distance)
    assert row["standard_error"] == pytest.approx(np.std(resampled, ddof=1))
    assert (row["ci_lower"], row["ci_upper"]) == pytest.approx(tuple(wanted), abs=1e-12)
    null = np.mean([leaf["overlap_null"] for leaf in leaves], axis=0)
    assert row["p_value"] == pytest.approx((1 + (null >= 0.31).sum()) / 401)
    assert row["ci_unit"] == "prompts"


def test_the_smallest_k_within_an_error_of_the_best_is_chosen():
    chosen = choose(sweep([0.30, 0.50, 0.502, 0.12]))
    for _, rows in chosen.groupby("emotion"):
        assert rows.loc[rows["selected"], "k"].tolist() == [2]


@pytest.mark.slow
def test_where_overlap_is_one_more_draw_of_the_null_k_is_chosen_at_the_rate_of_alpha():
    rng = np.random.default_rng(0)
    found = []
    for seed in range(500):
        curve = 0.1 + rng.normal(0, 0.02, 4)
        chosen = choose(sweep(curve, seed=seed, layers=(0,), draws=200))
        found.append(chosen.loc[chosen["emotion"] == "anger", "selected"].any())
    assert 0.025 <= np.mean(found) <= 0.08


def test_the_correction_for_several_ks_is_by_the_best_of_each_shuffle():
    given = sweep([0.13, 0.12], layers=(0,), draws=50)
    leaves = given["sweep_results"][0]["anger"]
    chosen = choose(given).set_index(["emotion", "k"]).loc["anger"]
    nulls = np.stack([leaves[k]["overlap_null"] for k in (1, 2)])
    every = [[*null, overlap] for null, overlap in zip(nulls, (0.13, 0.12), strict=True)]
    means, units = np.mean(every, axis=1), np.std(every, axis=1, ddof=1)
    largest = [max((nulls[j][draw] - means[j]) / units[j] for j in (0, 1)) for draw in range(50)]
    for k, overlap in ((1, 0.13), (2, 0.12)):
        z = (overlap - means[k - 1]) / units[k - 1]
        wanted = (1 + sum(value >= z for value in largest)) / 51
        assert chosen.loc[k, "p_value_corrected"] == pytest.approx(wanted)
        assert chosen.loc[k, "p_value_corrected"] >= chosen.loc[k, "p_value"]


def test_without_a_null_nothing_is_chosen_and_the_interval_is_over_layers():
    chosen = choose(sweep([0.4, 0.3], extras=False))
    assert not chosen["selected"].any()
    assert set(chosen["reason"]) == {NO_NULL}
    assert set(chosen["ci_unit"]) == {"layers"}
    assert (chosen["ci_lower"] < chosen["mean_overlap"]).all()
    assert chosen["p_value"].isna().all()


def test_one_layer_alone_has_no_interval_over_layers():
    chosen = choose(sweep([0.4], layers=(3,), extras=False))
    assert chosen[["ci_lower", "ci_upper", "std_overlap"]].isna().all(axis=None)


def test_the_order_of_sweeps_and_layers_does_not_matter():
    first, second = sweep([0.4, 0.3]), sweep([0.2, 0.3], extras=False) | {"model_b": "c"}
    turned = second | {"sweep_results": dict(reversed(second["sweep_results"].items()))}
    settings = {"n_bootstrap": 100, "alpha": 0.05, "seed": 0}
    one = select_k([first, second], "p", FOUR.labels, **settings)
    two = select_k([turned, first], "p", FOUR.labels, **settings)
    assert one.to_csv() == two.to_csv()


def test_where_layers_give_only_their_p_values_the_least_counts_times_their_number():
    given = sweep([0.4, 0.1], extras=False)
    for layer, emotions in given["sweep_results"].items():
        for leaves in emotions.values():
            for k, leaf in leaves.items():
                p_value = 0.001 * (layer + 1) if k == 1 else 0.4
                leaf.update(null_mean=0.1, null_p95=0.15, p_value=p_value)
    chosen = choose(given)
    first = chosen[chosen["k"] == 1]
    np.testing.assert_allclose(first["p_value"], 0.003)
    np.testing.assert_allclose(first["p_value_corrected"], 0.006)
    np.testing.assert_allclose(first["excess"], 0.31)
    assert first["selected"].all()
    assert not chosen.loc[chosen["k"] == 2, "selected"].any()
    np.testing.assert_allclose(chosen.loc[chosen["k"] == 2, "p_value"], 1)


def with_others(given, other, *, noise=0.02, seed=1, shift=0.0, n_clusters=12):
    """The sweep with comparisons on disjoint halves, of k one by one.

    Shares are twice the overlaps; the draws of exchanges scatter about 0.
    """
    rng = np.random.default_rng(seed)
    for emotions in given["sweep_results"].values():
        for leaves in emotions.values():
            for k, leaf in leaves.items():
                leaf["overlap_other"] = other[k - 1]
                own = leaf["overlap_cos_squared"] + shift
                difference = 2 * (own - other[k - 1])
                comparison = {
                    "own": own,
                    "other": other[k - 1],
                    "own_share": 2 * own,
                    "other_share": 2 * other[k - 1],
                    "swapped": rng.normal(0, noise, 200),
                    "left_out": difference + rng.normal(0, noise / 10, n_clusters),
                }
                further = comparison | {"other": 0.0, "other_share": 0.0}
                leaf["specificity"] = {"apology": comparison, "gratitude": further}
    return given


def of_anger(chosen):
    return chosen[chosen["emotion"] == "anger"].set_index("k")


def test_an_overlap_that_another_emotion_has_too_is_above_the_null_and_not_specific():
    """At k = 2 after mapping .342, with one other emotion .334 and with the second nothing."""
    given = with_others(sweep([0.1, 0.342], layers=(0,)), [0.1, 0.334])
    found = of_anger(choose(given))
    assert found["selected"].tolist() == [False, True]
    assert found.loc[2, "specificity"] == pytest.approx(0.016)
    assert found.loc[2, "closest_emotion"] == "apology"
    assert not found["specificity_excludes_0"].all()
    assert not found["selected_specific"].any()
    assert set(found["specific_reason"]) == {NOT_SPECIFIC}


def test_specificity_is_the_difference_of_shares_averaged_over_layers():
    given = with_others(sweep([0.5, 0.4]), [0.1, 0.3])
    found = of_anger(choose(given))
    leaves = [given["sweep_results"][layer]["anger"] for layer in range(3)]
    own = np.mean([leaf[2]["specificity"]["apology"]["own_share"] for leaf in leaves])
    row = found.loc[2]
    assert row["specificity"] == pytest.approx(own - 0.6)
    assert row["own_share"] == pytest.approx(own)
    assert row["overlap_halves"] == pytest.approx(own / 2)
    assert row["overlap_halves_closest"] == pytest.approx(0.3)
    assert row["mean_overlap_other"] == pytest.approx(0.3)
    left_out = np.mean([leaf[2]["specificity"]["apology"]["left_out"] for leaf in leaves], axis=0)
    # The jackknife in its pseudo-values, which are independent samples of the estimate.
    pseudo = 12 * row["specificity"] - 11 * left_out
    wanted = stats.t.interval(0.95, 11, loc=row["specificity"], scale=stats.sem(pseudo))
    ends = row["specificity_ci_lower"], row["specificity_ci_upper"]
    assert ends == pytest.approx(wanted, abs=1e-12)
    assert found["specificity_excludes_0"].all()
    assert found["selected_specific"].tolist() == [True, False]
    assert found["n_clusters"].tolist() == [12, 12]
    for k in (1, 2):
        p_values = []
        for other in ("apology", "gratitude"):
            means = [
                np.mean([leaf[j]["specificity"][other]["swapped"] for leaf in leaves], axis=0)
                for j in (1, 2)
            ]
            observed = [
                np.mean(
                    [
                        leaf[j]["specificity"][other]["own_share"]
                        - leaf[j]["specificity"][other]["other_share"]
                        for leaf in leaves
                    ]
                )
                for j in (1, 2)
            ]
            p_values.append(max_t_p(np.array(observed), np.stack(means, axis=1))[k - 1])
        assert found.loc[k, "specificity_p_corrected"] == pytest.approx(max(p_values))


def test_specific_is_what_is_above_the_null_too():
    found = of_anger(choose(with_others(sweep([0.1, 0.1]), [0.0, 0.0])))
    assert found["specificity_excludes_0"].all()
    assert not found["selected_specific"].any()


def test_without_comparisons_on_halves_nothing_is_specific_and_the_table_says_why():
    found = choose(sweep([0.4, 0.3]))
    assert set(found["specific_reason"]) == {NO_OTHER}
    assert found["specificity"].isna().all()
    assert found.groupby("emotion")["selected"].sum().tolist() == [1, 1]
    given = sweep([0.4, 0.3])
    for emotions in given["sweep_results"].values():
        for leaves in emotions.values():
            for leaf in leaves.values():
                leaf.update(overlap_other=0.1, overlap_other_bootstrap=np.full(400, 0.1))
    assert set(choose(given)["specific_reason"]) == {NO_OTHER}, "a sweep of the earlier form"


def test_one_layer_may_be_specific_where_the_average_is_not():
    given = with_others(sweep([0.4], layers=(0, 1, 2, 3)), [0.4])
    for layer, emotions in given["sweep_results"].items():
        for comparison in emotions["anger"][1]["specificity"].values():
            comparison["own_share"] = 0.9 if layer == 3 else 0.67
            comparison["other_share"] = 0.75
    row = of_anger(choose(given)).loc[1]
    assert row["specificity_p_corrected"] > 0.1
    assert (row["specific_layer"], row["specific_layer_value"]) == (3, pytest.approx(0.15))
    leaves = [given["sweep_results"][layer]["anger"][1]["specificity"] for layer in range(4)]
    p_values = []
    for other in ("apology", "gratitude"):
        null = np.stack([leaf[other]["swapped"] for leaf in leaves], axis=1)
        p_values.append(max_t_p(np.array([-0.08, -0.08, -0.08, 0.15]), null)[3])
    assert row["specific_layer_p_corrected"] == pytest.approx(max(p_values))
    assert row["specific_layer_p_corrected"] <= 0.05


def test_an_interval_holds_its_own_estimate_though_all_resamples_are_below_it():
    """The review's finding: anger at k = 9, .449, with percentiles .394 to .446."""
    resampled = np.random.default_rng(0).normal(0.42, 0.013, 200)
    lower, upper = np.quantile(resampled, [0.025, 0.975])
    assert not lower <= 0.449 <= upper
    lower, upper, error = interval_of(0.449, resampled, 0.05, least=0.0)
    assert lower <= 0.449 <= upper
    assert error == pytest.approx(0.013, rel=0.15)
    assert interval_of(0.99, resampled + 0.5, 0.05, least=0.0)[1] <= 1


WORLDS = [(0, 0.5, 0.6), (1, 0.2, 0.8)]


@pytest.mark.parametrize(
    ("n_studies", "world"),
    [(60, WORLDS[0]), *(pytest.param(1000, world, marks=pytest.mark.slow) for world in WORLDS)],
)
def test_intervals_cover_the_mean_of_studies_of_as_many_pairs(n_studies, world):
    """With directions refitted in every draw; the second overlap is that with another emotion."""
    seed, noise, share = world
    planted = Planted(seed=seed, noise=noise, share=share)
    rng = np.random.default_rng(0)
    mean = np.mean([planted.overlaps(planted.draw(40, rng)) for _ in range(1500)], axis=0)
    covered = []
    for _ in range(n_studies):
        pairs = planted.draw(40, rng)
        estimate = planted.overlaps(pairs)
        draws = rng.integers(0, 40, (120, 40))
        resampled = np.stack([planted.overlaps([side[rows] for side in pairs]) for rows in draws])
        reach = [
            interval_of(estimate[place], resampled[(slice(None), *place)], 0.05, least=-1.0)
            for place in np.ndindex(estimate.shape)
        ]
        lower, upper = np.array(reach)[:, :2].T.reshape(2, *estimate.shape)
        assert ((lower <= estimate) & (estimate <= upper)).all()
        covered.append((lower <= mean) & (mean <= upper))
    coverage = np.mean(covered, axis=0)
    # Bias counts as error, so coverage may be larger than asked for, and hardly less.
    slack = 3 * np.sqrt(0.07 * 0.93 / n_studies)
    assert (coverage >= 0.93 - slack).all(), coverage


class Planted:
    """Two models' pairs of one emotion, and B's of another, that share latents in part."""

    def __init__(self, seed, *, noise, share, d_model=16, n_latents=8, k=4):
        rng = np.random.default_rng(seed)
        sizes = np.geomspace(2, 0.4, n_latents)[:, None] / np.sqrt(d_model)
        one, two, three = rng.normal(size=(3, n_latents, d_model)) * sizes
        two = share * one + (1 - share) * two
        self.directions = one, two, (two + three) / 2
        self.noise, self.k = noise, k

    def draw(self, n_pairs, rng):
        latents = rng.normal(size=(n_pairs, len(self.directions[0])))
        other = 0.7 * latents + 0.7 * rng.normal(size=latents.shape)
        means = (2 * self.directions[0][0], 2 * self.directions[1][0], 2 * self.directions[2][1])
        return [
            mean + held @ directions + self.noise * rng.normal(size=(n_pairs, directions.shape[1]))
            for mean, held, directions in zip(
                means, (latents, latents, other), self.directions, strict=True
            )
        ]

    def overlaps(self, pairs):
        """Overlap of A's with B's, and that minus overlap with B's other: ``[2, k]``."""
        first, own, other = (np.linalg.svd(rows, full_matrices=False)[2] for rows in pairs)
        found = [
            [((first[:k] @ second[:k].T) ** 2).sum() / k for k in range(1, self.k + 1)]
            for second in (own, other)
        ]
        return np.stack([found[0], np.subtract(*found)])
