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


def test_where_overlap_is_chance_no_k_is_chosen():
    selected = [
        choose(sweep([0.09] * 4, seed=seed, layers=(0,)))["selected"].any() for seed in range(20)
    ]
    assert not any(selected)


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
