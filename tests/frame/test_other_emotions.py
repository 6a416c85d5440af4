"""A study of joy, sadness and fear against calm, by a profile alone."""

import json
import pickle
import shutil
from itertools import product

import click
import numpy as np
import pandas as pd
import pytest
import yaml

from emotion_circuits.language_models.residency import resident
from studies import SMALL, files_of, files_of_study, run

EMOTIONS, NEUTRAL = ("joy", "sadness", "fear"), "calm"
LABELS = {*EMOTIONS, NEUTRAL}
HAPPENED = {
    "joy": "won the prize",
    "sadness": "lost the ring",
    "fear": "saw a wolf nearby",
    "calm": "read a long book",
}
TEMPLATES = ("{} {} today.", "In the garden {} {}.")
NAMES = ("Dana", "Mira", "Ben", "Tom", "Ada")
GIVEN = {
    "target_metrics": {name: f"goemotions/{name}" for name in EMOTIONS},
    "marking_words": {"joy": ["happy", "glad"], "sadness": ["sad", "cry"], "fear": ["afraid"]},
}
CHANGED = {
    "dataset": {"max_samples_per_emotion": None, "test_fraction": 0.5},
    "residual_patching": {"split": "all", "layers": [2, 3]},
    "head_screening": {"split": "all", "layers": [3]},
    "head_patching": {"split": "all", "single_heads": False, "modes": ["pattern_v"]},
}
PARAMETERS = {name: group | CHANGED.get(name, {}) for name, group in SMALL.items()}


def prompts():
    """Ten scenarios, each with a text of every label, after two templates."""
    for (number, template), name in product(enumerate(TEMPLATES), NAMES):
        for label, happened in HAPPENED.items():
            text = template.format(name, happened)
            pair = {"pair_id": f"{name} {number}", "template_id": str(number)}
            yield {"text": text, "emotion": label, "cue": happened, **pair}


def write_profile(project, folder, given):
    """Copy the configuration and add a profile; give the folder."""
    shutil.copytree(project / "conf", folder / "conf")
    data = folder / "prompts.jsonl"
    data.write_text("".join(json.dumps(line) + "\n" for line in prompts()))
    smoke = yaml.safe_load((project / "conf/baseline_smoke/globals.yml").read_text())
    kept = {name: smoke[name] for name in ("models", "pairs", "evaluators")}
    emotions = {"dataset_input": str(data), "emotions": list(EMOTIONS), "neutral": NEUTRAL}
    profile = folder / "conf" / "joyful"
    profile.mkdir()
    (profile / "globals.yml").write_text(yaml.safe_dump(kept | emotions | given))
    (profile / "parameters.yml").write_text(yaml.safe_dump(PARAMETERS))
    return str(folder / "conf")


def run_joyful(project, folder, source, **arguments):
    run(project, folder, env="joyful", settings={}, conf_source=source, **arguments)
    return folder / "joyful"


@pytest.fixture(scope="module")
def finished(in_project, tmp_path_factory):
    folder = tmp_path_factory.mktemp("joyful")
    source = write_profile(in_project, folder, GIVEN)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(in_project)
        return run_joyful(in_project, folder / "results", source)


def tables(folder):
    for name in sorted(files_of(folder)):
        if name.endswith(".csv"):
            yield name, pd.read_csv(folder / name)


@pytest.mark.slow
def test_every_file_of_a_study_is_there(finished):
    assert files_of(finished) == files_of_study()


@pytest.mark.slow
def test_tables_are_of_these_labels_only(finished):
    """Beside them stand the names that tables use for several emotions, or for none."""
    columns = ("emotion", "emotion_a", "emotion_b", "steered", "target_of", "label", "read_as")
    seen = set()
    for name, table in tables(finished):
        for column in table.columns.intersection(columns):
            found = set(table[column].dropna())
            assert found <= {*LABELS, "pooled", "baseline"}, (name, column)
            seen |= found
    assert seen >= LABELS
    contrasts = pd.read_csv(finished / "emotion_vectors/tiny_gpt2_probes.csv")["contrast"].unique()
    assert list(contrasts) == [
        *("joy_vs_sadness", "joy_vs_fear", "joy_vs_calm"),
        *("sadness_vs_fear", "sadness_vs_calm", "fear_vs_calm"),
    ]
    statistics = json.loads((finished / "dataset/statistics.json").read_text())
    assert statistics["emotion_counts"] == dict.fromkeys((*EMOTIONS, NEUTRAL), 10)


@pytest.mark.slow
def test_nested_results_are_of_these_labels_in_their_order(finished):
    def load(name):
        with (finished / name).open("rb") as file:
            return pickle.load(file)

    subspaces = load("emotion_subspaces/tiny_gpt2_subspaces.pkl")
    assert list(subspaces["subspaces"]) == [*EMOTIONS, NEUTRAL]
    sweep = load("patching/residual/tiny_gpt2_residual_sweep.pkl")
    controls = load("patching_random/tiny_gpt2_random_sweep.pkl")
    vectors = load("emotion_vectors/tiny_gpt2_vectors_token_based.pkl")
    for nested in (
        *(sweep["sweep_results"], controls["random_results"], controls["shuffled_results"]),
        *(controls["emotion_results"], vectors["emotion_vectors"]),
    ):
        assert list(nested) == list(EMOTIONS)
    patching = load("patching/head_patching/tiny_gpt2_head_patching.pkl")
    assert {record["emotion"] for record in patching["records"]} == set(EMOTIONS)


@pytest.mark.slow
def test_each_emotion_is_measured_by_its_own_metric(finished):
    for model in ("tiny_gpt2", "tiny_llama"):
        chosen = pd.read_csv(finished / f"patching/residual/{model}_selection.csv")
        assert chosen["emotion"].tolist() == list(EMOTIONS)
        assert chosen["metric_name"].tolist() == [f"goemotions.{name}" for name in EMOTIONS]
        pairs = pd.read_csv(finished / f"patching/head_patching/{model}_head_metrics.csv")
        assert set(zip(pairs["emotion"], pairs["metric"], strict=True)) == {
            (name, f"goemotions.{name}") for name in EMOTIONS
        }


@pytest.mark.slow
def test_effect_sizes_are_of_every_phase_and_in_the_studys_order(finished):
    table = pd.read_csv(finished / "statistics/effect_sizes.csv")
    assert set(table["phase"]) == {"residual", "random", "head", "head_screening"}
    residual = table[(table["phase"] == "residual") & (table["model_name"] == "tiny_llama")]
    assert list(dict.fromkeys(residual["emotion"])) == list(EMOTIONS)
    assert np.isfinite(residual["mean_diff"]).all()


def test_what_a_profile_does_not_say_of_its_emotions_is_said_before_anything_is_loaded(
    project, tmp_path
):
    source = write_profile(project, tmp_path, {})
    before = resident.loads.copy()

    def refused(phase, line, **emotions):
        given = {"pipeline_names": [phase], "parameters": {"emotions": emotions}}
        with pytest.raises(click.ClickException, match=line) as caught:
            run_joyful(project, tmp_path / "results", source, **given)
        assert "\n" not in caught.value.message

    metrics = r"^target_metrics are missing for joy, sadness, fear; add target_metrics to the prof"
    for phase in ("residual_patching", "transfer_steering", "head_screening", "head_patching"):
        refused(phase, metrics)
    words = r"^marking_words are missing for joy, sadness, fear; add marking_words to the profile"
    refused("head_screening", words, target_metrics=GIVEN["target_metrics"])
    assert not resident.loads - before
    assert not files_of(tmp_path / "results")
    # Vectors need no more than the names.
    made = run_joyful(
        project, tmp_path / "results", source, pipeline_names=["activations", "emotion_vectors"]
    )
    assert (made / "emotion_vectors/tiny_llama_norms.csv").is_file()
