"""A whole run of the study in its own folder: what users type, and what comes of it."""

import json

import numpy as np
import pytest

from studies import (
    MODELS,
    N_PATCHED,
    N_PROMPTS,
    PAIR,
    catalog_of,
    files_of,
    files_of_model,
    files_of_study,
    phase_3_files,
    phase_4_files,
    run,
)
from study_emotions import FOUR


def test_a_full_run_writes_every_file(finished):
    assert files_of(finished.results / "baseline_smoke") == files_of_study()


def test_each_model_is_loaded_once_and_leaves_memory_before_the_next(finished):
    assert sorted(finished.loaded) == sorted(MODELS)
    assert finished.others_alive == [0, 0]
    assert finished.evaluator_loads == 1
    assert finished.left == 0


@pytest.fixture(scope="module")
def alone(in_project, tmp_path_factory):
    """The study of one model, in a folder of its own."""
    results = tmp_path_factory.mktemp("alone")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(in_project)
        run(in_project, results, namespaces=["tiny_llama"])
    return results / "baseline_smoke"


def test_one_model_can_be_run_alone(alone):
    found = files_of(alone)
    assert files_of_model("tiny_llama") <= found
    assert not any("tiny_gpt2" in name for name in found)


def test_the_same_run_gives_the_same_numbers(alone, finished):
    """Bit for bit, whatever else was run beside it."""
    # A pickle of tensors numbers them anew each time: activations show in the vectors.
    for name in files_of_model("tiny_llama") - {"activations/tiny_llama.pkl"}:
        whole = finished.results / "baseline_smoke" / name
        assert (alone / name).read_bytes() == whole.read_bytes(), name


def test_a_phase_alone_computes_what_it_needs_first(project, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(project, tmp_path, pipeline_names=["emotion_vectors"])
    said = [record.message for record in caplog.records if "computed first" in record.message]
    assert said == ["Missing inputs are computed first: dataset, activations"]
    assert phase_3_files("tiny_llama") <= files_of(tmp_path / "baseline_smoke")


def test_a_pair_alone_computes_what_its_models_need_first(project, tmp_path):
    run(project, tmp_path, pipeline_names=["alignment"], namespaces=[PAIR])
    made = files_of(tmp_path / "baseline_smoke")
    assert phase_4_files() - made == {f"alignment/{PAIR}_transfer_steering.csv"}


def test_timings_tell_phase_model_and_memory(finished):
    lines = (finished.results / "baseline_smoke" / "timing" / "phase_timings.jsonl").read_text()
    events = [json.loads(line) for line in lines.splitlines()]
    phases = [(event["phase"], event["model"]) for event in events]
    assert phases[-1] == ("reporting", None)
    phases = phases[:-1]
    phases.remove(("statistics", None))
    # A phase's last node may wait while another phase runs; one model comes after the other.
    of_models = [
        (phase, model)
        for model in MODELS
        for phase in (
            *("activations", "emotion_vectors", "head_patching", "head_screening"),
            "residual_patching",
        )
    ]
    assert phases[0] == ("dataset", None)
    assert sorted(phases[1:6]) == of_models[:5]
    assert sorted(phases[6:11]) == of_models[5:]
    assert sorted(phases[11:]) == [("alignment", PAIR), ("transfer_steering", PAIR)]
    n_samples = N_PROMPTS * len(FOUR.labels)
    for event in events:
        patched = event["phase"] in ("transfer_steering", "reporting")
        assert event["samples"] == (N_PATCHED if patched else n_samples)
        assert event["elapsed_seconds"] > 0
        assert event["metadata"]["peak_rss_mib"] > 50
        assert event["device"] == "cpu"


def test_results_follow_the_file_contract(project, finished):
    catalog = catalog_of(project, finished.results)
    activations = catalog.load("tiny_gpt2.activations")
    vectors = catalog.load("tiny_gpt2.emotion_vectors")
    subspaces = catalog.load("tiny_gpt2.emotion_subspaces")
    batch, layers, seq, d_model = activations["resid_post"].shape
    assert activations["resid_pre"].shape == (batch, layers, seq, d_model)
    assert activations["token_ids"].shape == activations["attention_mask"].shape == (batch, seq)
    assert batch == len(activations["prompts"]) == len(activations["labels"]) == 20
    assert activations["layer_indices"] == [0, 1, 2, 3, 4]
    assert "source" in activations["metadata"]
    assert list(vectors["emotion_vectors"]) == ["gratitude", "anger", "apology"]
    assert vectors["emotion_vectors"]["anger"].shape == (layers, d_model)
    assert isinstance(vectors["emotion_vectors"]["anger"], np.ndarray)
    assert vectors["metadata"]["position_strategy"] == "mean_over_tokens"
    assert list(subspaces["subspaces"]) == ["gratitude", "anger", "apology", "neutral"]
    entry = subspaces["subspaces"]["apology"][3]
    assert entry["components"].shape == (2, d_model)
    assert entry["explained_variance_ratio"].sum() < 1


def test_pair_results_follow_the_file_contract(project, finished):
    catalog = catalog_of(project, finished.results)
    full, sweep = catalog.load(f"{PAIR}.alignment"), catalog.load(f"{PAIR}.k_sweep")
    mapped = catalog.load(f"{PAIR}.mapped_vectors")
    expected = {"layer", "k", "emotion", "overlap_before", "overlap_after"}
    assert all(expected <= set(row) for row in full["results"])
    assert {row["layer"] for row in full["results"]} == {0, 1, 2, 3, 4}
    assert full["metadata"]["profile"] == "baseline_smoke"
    assert (full["metadata"]["model_a"], full["metadata"]["model_b"]) == tuple(PAIR.split("_vs_"))
    assert (sweep["model_a"], sweep["model_b"]) == ("tiny_gpt2", "tiny_llama")
    # One held-out pair an emotion: one dimension.
    cell = sweep["sweep_results"][3]["apology"]
    assert list(cell) == [1]
    assert {"overlap_cos_squared", "mean_principal_angle"} <= set(cell[1])
    assert mapped["emotion_vectors"]["anger"].shape == (5, 96)
