"""From texts to vectors, against plain transformers on one prompt at a time."""

import numpy as np
import pandas as pd
import pytest
import torch
from transformers import AutoModelForCausalLM

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import pool_positions
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.pipelines.activations.nodes import capture_activations
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import (
    fit_emotion_subspaces,
    fit_emotion_vectors,
    score_probes,
)
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from study_emotions import FOUR

EMOTIONS = FOUR.names


@pytest.fixture(scope="module")
def prompts(project_root):
    table = pd.read_json(project_root / "data/emotion_dataset_embedded.jsonl", lines=True)
    return pd.concat([table[table["split"] == "train"][:32], table[table["split"] == "test"][:24]])


@pytest.fixture(scope="module")
def source(project_root):
    return project_root / "data/models/tiny_llama"


@pytest.fixture(scope="module")
def model(source):
    return load_language_model(ModelSpec(name="tiny_llama", source=str(source), device="cpu"))


@pytest.fixture(scope="module")
def captured(model, prompts):
    return capture_activations(model, prompts, ActivationSettings(batch_size=5))


@torch.no_grad()
def mean_stream(source, model, text):
    """Mean of the plain model's hidden states over the text's own tokens, per layer."""
    plain = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    ids = torch.tensor([model.encode(text)])
    out = plain(input_ids=ids, output_hidden_states=True, use_cache=False)
    # The last entry has the final norm in it; the blocks before it are what is compared.
    return torch.stack([state[0, 1:].mean(0) for state in out.hidden_states[1:-1]])


def test_what_phase_2_writes_is_what_the_file_format_says(captured, model, prompts):
    n, longest = captured["token_ids"].shape
    shape = (n, model.n_layers, longest, model.d_model)
    assert captured["resid_post"].shape == captured["resid_pre"].shape == shape
    assert captured["labels"] == prompts["emotion"].tolist()
    assert captured["layer_indices"] == list(range(model.n_layers))
    assert [len(row) for row in captured["token_strings"]] == captured["attention_mask"].sum(
        1
    ).tolist()
    assert not captured["content_mask"][:, 0].any()
    assert captured["cue_mask"].any(1).all()


def test_vectors_are_differences_of_means_of_single_prompts(captured, source, model, prompts):
    result, norms, _ = fit_emotion_vectors(captured, FOUR, EmotionVectorSettings())
    train = prompts[prompts["split"] == "train"]
    means = {
        label: torch.stack([mean_stream(source, model, text) for text in rows["text"]]).mean(0)
        for label, rows in train.groupby("emotion")
    }
    for emotion in EMOTIONS:
        wanted = (means[emotion] - means["neutral"]).numpy()
        seen = np.asarray(result["emotion_vectors"][emotion])[:-1]
        np.testing.assert_allclose(seen, wanted, atol=1e-5)
    assert {"layer", "emotion"} <= set(norms.columns)


def test_cosines_are_corrected_for_the_reliability_of_both_vectors(captured):
    _, norms, cosines = fit_emotion_vectors(captured, FOUR, EmotionVectorSettings())
    reliability = norms.set_index(["layer", "emotion"])["reliability"]
    assert (reliability <= 1).all()
    for line in cosines.to_dict("records"):
        a, b = (line["layer_a"], line["emotion_a"]), (line["layer_b"], line["emotion_b"])
        wanted = line["cosine"] / np.sqrt(reliability[a] * reliability[b]) if a != b else 1.0
        assert line["cosine_corrected"] == pytest.approx(wanted, nan_ok=True)


def test_held_out_prompts_do_not_touch_vectors_or_subspaces(captured):
    spoiled = dict(captured)
    spoiled["resid_post"] = captured["resid_post"].clone()
    test = torch.tensor([split == "test" for split in captured["splits"]])
    spoiled["resid_post"][test] = 1e3
    settings = EmotionVectorSettings(n_components=2)
    for fit in (lambda data: fit_emotion_vectors(data, FOUR, settings)[0]["emotion_vectors"],):
        for emotion in EMOTIONS:
            np.testing.assert_array_equal(fit(captured)[emotion], fit(spoiled)[emotion])
    clean, changed = (fit_emotion_subspaces(data, FOUR, settings) for data in (captured, spoiled))
    np.testing.assert_array_equal(
        clean["subspaces"]["anger"][1]["components"], changed["subspaces"]["anger"][1]["components"]
    )


def test_probes_are_scored_on_every_layer_beside_their_controls(captured, prompts):
    settings = EmotionVectorSettings(n_shuffles=2)
    table, figure = score_probes(captured, prompts, FOUR, settings)
    assert set(table["probe"]) >= {"residual", "residual_shuffled_labels", "bag_of_words"}
    residual = table[table["probe"] == "residual"]
    assert set(residual["layer"]) == set(captured["layer_indices"])
    assert figure.data
    bands = [trace for trace in figure.data if trace.fill]
    assert {trace.mode for trace in bands} == {"lines"}


def test_a_cut_keeps_whole_pairs_of_both_splits(model, prompts):
    few = capture_activations(model, prompts, ActivationSettings(max_samples_per_emotion=3))
    assert {label: few["labels"].count(label) for label in few["labels"]} == dict.fromkeys(
        (*EMOTIONS, "neutral"), 3
    )
    assert len(set(few["pair_ids"])) == 3
    assert set(few["splits"]) == {"train", "test"}


def test_a_layer_that_is_not_there_is_refused(model, prompts):
    with pytest.raises(InputError, match=r"layer 99 is out of range .* 0 to 5"):
        capture_activations(model, prompts, ActivationSettings(layers=[99]))


def test_vectors_of_explicit_texts_are_those_of_their_scenarios_alone(captured, prompts):
    naming = prompts["explicit"].astype(bool) & (prompts["emotion"] != "neutral")
    scenarios = set(prompts.loc[naming, "pair_id"])
    rows = [pair in scenarios for pair in captured["pair_ids"]]
    assert 0 < sum(rows) < len(rows)
    settings = EmotionVectorSettings(texts="explicit")
    chosen, _, _ = fit_emotion_vectors(captured, FOUR, settings, prompts)
    pooled = pool_positions(captured, FOUR)
    train = np.array(rows) & (pooled.splits == "train")
    for emotion, vector in chosen["emotion_vectors"].items():
        means = [
            pooled.values[train & (pooled.labels == label)].mean(axis=0)
            for label in (emotion, "neutral")
        ]
        np.testing.assert_allclose(vector, means[0] - means[1], atol=1e-9)
    assert chosen["metadata"]["texts"] == "explicit"
    assert chosen["metadata"]["scenarios"] == sorted(scenarios & set(captured["pair_ids"]))
    with pytest.raises(InputError, match="texts is 'explicit', which needs the table of prompts"):
        fit_emotion_vectors(captured, FOUR, settings)


def test_the_vectors_file_says_its_method_and_what_emotions_share(captured, prompts):
    settings = EmotionVectorSettings(method="against_others", neutral_components_removed=1)
    result, norms, _ = fit_emotion_vectors(captured, FOUR, settings, prompts)
    metadata = result["metadata"]
    assert (metadata["method"], metadata["neutral_components_removed"]) == ("against_others", 1)
    assert list(metadata["common_share"]) == metadata["layer_indices"]
    plain, _, _ = fit_emotion_vectors(captured, FOUR, EmotionVectorSettings(), prompts)
    for layer in metadata["layer_indices"]:
        assert metadata["common_share"][layer] < plain["metadata"]["common_share"][layer]
    assert len(norms) == 3 * len(metadata["layer_indices"])
