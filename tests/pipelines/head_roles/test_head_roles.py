"""The table of heads against single calls, and against a head that writes nothing."""

import numpy as np
import pytest
import torch

from embedded_heads import SILENT, load_model_with_a_silent_head, load_prompts, vectors_of
from emotion_circuits.circuits.reading import (
    attention_weights,
    composition_scores,
    copying,
    direction_gain,
    token_streams,
    top_writes,
    unembedding,
)
from emotion_circuits.circuits.roles import Probes, head_roles, read_roles
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.pipelines.head_roles.nodes import compare_roles, describe_heads
from emotion_circuits.pipelines.head_roles.settings import HeadRolesSettings
from study_emotions import FOUR

# Four scenarios have 16 sign flips, so that no p is below 1/8.
SETTINGS = HeadRolesSettings(
    rules={"alpha": None}, max_samples_per_emotion=4, n_bootstrap=20, n_permutations=99, n_random=1
)


@pytest.fixture(scope="module")
def model(project_root):
    return load_model_with_a_silent_head(project_root)


@pytest.fixture(scope="module")
def prompts(project_root):
    return load_prompts(project_root)


@pytest.fixture(scope="module")
def vectors(model, prompts):
    return vectors_of(model, prompts[prompts["split"] == "train"])


@pytest.fixture(scope="module")
def described(model, prompts, vectors):
    return describe_heads(model, prompts, vectors, FOUR, SETTINGS)


def test_each_head_has_a_line_with_weights_and_role(described, model, prompts, vectors):
    table = described.heads
    assert len(table) == model.n_layers * model.n_heads
    assert table["node"].is_unique
    assert set(table["stage"]) == {"text", "last", "after"}
    data = PairedPrompts.prepare(model, prompts, FOUR, split="test", limit=4)
    readings = read_roles(data, Probes.of(model, vectors, FOUR))
    assert table["role"].tolist() == head_roles(readings, SETTINGS.rules, n_permutations=99)
    assert table["detect_share"].to_numpy() == pytest.approx(
        readings.text_drop.mean(0) / readings.text_effect.mean()
    )
    assert {f"role_{name}" for name in FOUR.names} <= set(table)


def test_a_line_holds_what_single_calls_give(described, model, prompts, vectors):
    layer, head = 3, 4
    line = described.heads.set_index(["layer", "head"]).loc[(layer, head)]
    tokens = torch.tensor(sorted({t for text in prompts["text"] for t in model.encode(text)}))
    weights, unembed = attention_weights(model, layer), unembedding(model)
    streams = token_streams(model, tokens, kind="first_mlp")
    best = top_writes(weights, head, streams, unembed, n_top=1)
    assert line["ov_write_logit"] == pytest.approx(float(best.values[0]), rel=1e-4)
    found = copying(weights, head, streams, tokens, unembed)
    assert line["copying_eigenvalues"] == pytest.approx(found.eigenvalues, abs=1e-4)
    probes = Probes.of(model, vectors, FOUR)
    gain = direction_gain(weights, head, probes.last.vectors["anger"][None])
    assert line["ov_gain_anger"] == pytest.approx(float(gain), rel=1e-4)
    layers = [attention_weights(model, number) for number in range(model.n_layers)]
    scores = composition_scores(layers, "v")[:layer, :, layer, head]
    assert line["v_composition"] == pytest.approx(float(scores.max()))
    source, number = np.unravel_index(int(scores.argmax()), scores.shape)
    assert line["v_source"] == f"a{source}.h{number}"


def test_a_head_that_writes_nothing_has_no_role_and_no_write(described):
    line = described.heads.set_index(["layer", "head"]).loc[SILENT]
    assert line["role"] == "none"
    assert line["ov_write_logit"] == 0
    assert all(line[f"ov_gain_{name}"] == 0 for name in FOUR.names)
    assert np.isnan(line["copying_eigenvalues"])


def test_words_of_each_emotion_are_those_that_its_last_direction_raises(described):
    lens = described.lens.set_index(["probe", "emotion"])
    raised = {name: lens.loc[("late_text", name), "raised"] for name in FOUR.names}
    assert len(set(raised.values())) == len(FOUR.names)
    assert len(described.stability) == SETTINGS.n_splits
    assert {"is_double", "detect_lowers_probe"} <= set(described.dissociation)


def test_a_model_has_its_own_roles_at_its_own_depth(described):
    table = described.heads
    assert (table["role"] != "none").any()
    found = compare_roles(table, table.assign(model_name="twin"), FOUR, SETTINGS)
    pooled = found[found["roles"] == "role"].set_index("null")
    assert pooled.loc["any_layer", "distance"] == 0
    assert len(found) == 2 * (1 + len(FOUR.names))


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"rules": {"detect_share": 0}}, "detect_share"),
        ({"rules": {"detekt_share": 0.1}}, "nearest: detect_share"),
        ({"text_layer": 1.5}, "text_layer"),
    ],
)
def test_impossible_parameters_are_one_line(values, line):
    with pytest.raises(InputError, match=line) as error:
        HeadRolesSettings(**values)
    assert "\n" not in str(error.value)


def test_a_layer_without_vectors_is_one_line(model, prompts, vectors):
    few = {**vectors, "metadata": {**vectors["metadata"], "layer_indices": [0, 1, 3, 4, 5, 6]}}
    with pytest.raises(InputError, match="vector_layer '2' is not in the emotion vectors"):
        describe_heads(model, prompts, few, FOUR, SETTINGS)
