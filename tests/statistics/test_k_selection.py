"""k is chosen where overlap exceeds the null, and not where there is nothing."""

import numpy as np
import pytest

from emotion_circuits.statistics import k_sweep_table, select_k
from emotion_circuits.statistics.k_selection import NO_NULL


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
    return select_k([given], "p", **settings)


def test_the_raw_table_lists_every_overlap_in_order():
    raw = k_sweep_table([sweep([0.4, 0.3])], "p")
    columns = "profile model_a model_b layer emotion k overlap mean_principal_angle"
    assert list(raw.columns) == columns.split()
    assert len(raw) == 3 * 2 * 2
    assert raw["emotion"].head(4).tolist() == ["gratitude"] * 2 + ["anger"] * 2
    assert raw.loc[1, ["k", "overlap"]].tolist() == [2, 0.3]


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
    wanted = np.quantile(resampled, [0.025, 0.975])
    assert (row["ci_lower"], row["ci_upper"]) == pytest.approx(tuple(wanted), abs=1e-12)
    null = np.mean([leaf["overlap_null"] for leaf in leaves], axis=0)
    assert row["p_value"] == pytest.approx((1 + (null >= 0.31).sum()) / 401)
    assert row["ci_unit"] == "prompts"


def test_the_smallest_k_within_an_error_of_the_best_is_chosen():
    chosen = choose(sweep([0.30, 0.50, 0.502, 0.12]))
    for _, rows in chosen.groupby("emotion"):
        assert rows.loc[rows["selected"], "k"].tolist() == [2]


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
    largest = [
        max((null[draw] - null.mean()) / null.std(ddof=1) for null in nulls) for draw in range(50)
    ]
    for k, overlap in ((1, 0.13), (2, 0.12)):
        z = (overlap - nulls[k - 1].mean()) / nulls[k - 1].std(ddof=1)
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
    one = select_k([first, second], "p", **settings)
    two = select_k([turned, first], "p", **settings)
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
