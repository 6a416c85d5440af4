"""Plain pickles of the earlier implementation are read by the catalog and by phase 7."""

import json
import pickle

import numpy as np
import pandas as pd
import pytest
import torch

from phase_results import (
    PLANTED_D,
    head_ablation,
    head_scores,
    k_sweep,
    random_sweep,
    residual_sweep,
)
from studies import PAIR, catalog_of

MODEL, OTHER = PAIR.split("_vs_")
COLUMNS = {
    *("profile", "phase", "model_name", "emotion"),
    *("layer", "head", "head_spec", "alpha"),
    *("comparison", "metric_name", "paired", "n_baseline"),
    *("n_patched", "n_effective", "mean_baseline", "mean_patched"),
    *("std_baseline", "std_patched", "mean_diff", "cohen_d"),
    *("ci_lower", "ci_upper", "effect_size_ci_lower", "effect_size_ci_upper"),
    *("t_statistic", "p_value", "p_value_bonferroni", "p_value_fdr"),
    *("significant_bonferroni", "significant_fdr"),
}
QUICK = ["--n-bootstrap", 100, "--params", "statistics.n_permutations=100"]


def with_arrays(value):
    """Numbers as numpy scalars, as evaluators of arrays give them."""
    if isinstance(value, dict):
        return {key: with_arrays(item) for key, item in value.items()}
    if isinstance(value, list):
        return [with_arrays(item) for item in value]
    return np.float32(value) if isinstance(value, float) else value


def write(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(value))


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    results = tmp_path_factory.mktemp("earlier")
    root = results / "baseline_smoke"
    for model in (MODEL, OTHER):
        sweep = with_arrays(residual_sweep(model)) | {"alpha_values": np.array([0.0, 1.0, 4.0])}
        write(root / f"patching/residual/{model}_residual_sweep.pkl", sweep)
        write(root / f"patching_random/{model}_random_sweep.pkl", with_arrays(random_sweep(model)))
        write(
            root / f"patching/head_patching/{model}_head_ablation.pkl",
            head_ablation(model) | {"heads": torch.tensor([[3, 1], [1, 0]])},
        )
        (root / "screening").mkdir(exist_ok=True)
        (root / f"screening/head_scores_{model}.json").write_text(json.dumps(head_scores(model)))
    write(root / f"alignment/k_sweep_{PAIR}.pkl", k_sweep(MODEL, OTHER))
    write(
        root / f"activations/{MODEL}.pkl",
        {
            "model_name": MODEL,
            "prompts": ["Thanks", "Ok"],
            "labels": ["gratitude", "neutral"],
            "layer_indices": [0, 1],
            "token_ids": torch.tensor([[1, 2], [3, 4]]),
            "token_strings": [["Th", "anks"], ["O", "k"]],
            "resid_pre": None,
            "resid_post": torch.arange(16.0).reshape(2, 2, 2, 2),
            "metadata": {"source": "older"},
        },
    )
    return results


@pytest.fixture(scope="module")
def effects(main, older):
    words = ["--profile", "baseline_smoke", *QUICK, f"results_root={older}"]
    main("analysis.run_phase7_statistics", *words)
    return pd.read_csv(older / "baseline_smoke/statistics/effect_sizes.csv")


def test_the_catalog_reads_them(in_project, older):
    catalog = catalog_of(in_project, older)
    activations = catalog.load(f"{MODEL}.activations")
    assert torch.equal(activations["resid_post"], torch.arange(16.0).reshape(2, 2, 2, 2))
    sweep = catalog.load(f"{MODEL}.residual_sweep")
    np.testing.assert_array_equal(sweep["alpha_values"], [0, 1, 4])


def test_phase_7_finds_what_was_planted_in_them(effects):
    assert set(effects) >= COLUMNS
    assert set(effects["phase"]) == {"residual", "random", "head", "head_screening"}
    planted = effects.query(
        "phase == 'residual' and layer == 2 and alpha == 4 and metric_name == 'goemotions.anger' "
        "and emotion == 'anger'"
    )
    assert planted["model_name"].tolist() == [MODEL, OTHER]
    # The error of d at 60 texts is about 0.19.
    assert planted["cohen_d"].between(PLANTED_D - 0.5, PLANTED_D + 0.5).all()
    unsteered = effects.query("phase == 'residual' and alpha == 0")
    assert (unsteered["mean_diff"] == 0).all()
    assert set(effects.query("phase == 'head'")["head_spec"]) == {"1:0 3:1"}


@pytest.mark.slow
def test_models_and_phases_that_were_asked_for_have_the_same_numbers(
    main, older, effects, tmp_path
):
    """Families are of one phase of one model by default, so the others change nothing."""
    main(
        "analysis.run_phase7_statistics",
        *("--profile", "baseline_smoke", "--model", MODEL, "--mode", "power"),
        *("--phase-filter", "random", "head_screening", "--output-dir", tmp_path),
        *(*QUICK, f"results_root={older}"),
    )
    found = pd.read_csv(tmp_path / "effect_sizes.csv")
    wanted = effects[
        (effects["model_name"] == MODEL) & effects["phase"].isin(["random", "head_screening"])
    ]
    assert len(found) > 20
    # Columns that are blank for other phases have another type.
    pd.testing.assert_frame_equal(found, wanted.reset_index(drop=True), check_dtype=False)
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"effect_sizes.csv", "power_analysis.csv", "power_analysis.json"}
    report = json.loads((tmp_path / "power_analysis.json").read_text())
    assert report["post_hoc_power_csv"] == f"{tmp_path}/power_analysis.csv"


def test_a_model_has_the_pairs_it_is_in(main, older, tmp_path):
    words = [
        "--profile",
        "baseline_smoke",
        "--model",
        OTHER,
        "--mode",
        "k",
        "--output-dir",
        tmp_path,
    ]
    main("analysis.run_phase7_statistics", *words, *QUICK, f"results_root={older}")
    raw = pd.read_csv(tmp_path / "k_sweep_raw.csv")
    assert set(raw["model_b"]) == {OTHER}
    assert {path.name for path in tmp_path.iterdir()} == {
        *("k_sweep_raw.csv", "k_selection.csv", "overlap_places.csv")
    }
