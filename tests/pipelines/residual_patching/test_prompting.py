"""Prompting beside steering: recomputed by hand, and null where the instruction does nothing."""

import numpy as np
import pytest
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import BASELINE, Add, Checkpoint, decode, steer
from emotion_circuits.pipelines.residual_patching.nodes import sweep_emotions
from emotion_circuits.pipelines.residual_patching.prompting import (
    compare_prompting,
    report_readings,
)
from recomputation import reference_generate
from study_emotions import FOUR

# In the models' world, a situation settles the emotion; so it can be "asked for" by another one.
ASKED = {"anger": "Dana broke my lamp.", "gratitude": "Dana mended my lamp."}
SETTINGS = {
    "split": "fresh",
    "max_samples_per_emotion": 8,
    "layers": [1, 3],
    "alphas": [0.5, 2.0],
    "sequence_length": 10,
    "n_bootstrap": 50,
    "instructions": ASKED,
    "neutral_instruction": "Dana looked at my lamp.",
}


@pytest.fixture(scope="module")
def sweep(model, evaluator, vectors, subspaces, prompts, fresh, tmp_path_factory):
    checkpoint = Checkpoint(tmp_path_factory.mktemp("sweep") / "rows")
    shared = (model, evaluator, vectors, subspaces, prompts, fresh, checkpoint)
    return sweep_emotions(*shared, "baseline_smoke", FOUR, SteeringSettings(**SETTINGS))


@pytest.fixture(scope="module")
def compare(model, evaluator, vectors, subspaces, sweep):
    def call(**settings):
        chosen = SteeringSettings(**(SETTINGS | settings))
        return compare_prompting(model, evaluator, vectors, subspaces, sweep, FOUR, chosen)

    return call


@pytest.fixture(scope="module")
def compared(compare):
    return compare()


def test_instructed_texts_are_those_of_the_full_recomputation(compared, model, vectors):
    table, texts = compared
    assert len(texts) == 8 * (1 + 2 * 2)
    both = table[(table["condition"] == "both") & (table["emotion"] == "anger")].iloc[0]
    vector = vectors["emotion_vectors"]["anger"][int(both["layer"])]
    steered = steer("anger", Add(vector), int(both["layer"]), alpha=both["alpha"])
    for condition, intervention in (("prompting", BASELINE), ("both", steered)):
        chosen = texts[(texts["condition"] == condition) & (texts["emotion"] == "anger")]
        for _, line in chosen.iterrows():
            ids = model.encode(f"{ASKED['anger']} {line['prompt']}")
            wanted, _ = reference_generate(model.plain_model, "gpt2", ids, intervention, 10)
            assert line["text"] == decode(model, wanted)


def test_the_same_instruction_for_an_emotion_and_for_none_has_the_same_effect(compare):
    table, _ = compare(instructions={"anger": SETTINGS["neutral_instruction"]})
    changes = table.pivot_table(index="metric_name", columns="condition", values="mean_diff")
    np.testing.assert_array_equal(changes["prompting"], changes["neutral_instruction"])
    assert (changes["both"] != changes["prompting"]).any()


def test_effects_are_differences_on_the_reporting_half_with_costs_after_the_plain_prompt(
    compared, evaluator, model, sweep
):
    table, texts = compared
    confirm = sweep["halves"]["confirm"]
    key = FOUR.target_metrics["anger"]
    metric, label = key.split("/")
    chosen = texts[(texts["condition"] == "prompting") & (texts["emotion"] == "anger")]
    chosen = chosen[chosen["half"] == "confirm"].set_index("prompt")["text"]
    assert sorted(chosen.index) == sorted(confirm)
    after = evaluator.evaluate_batch(list(chosen), 8)[key]
    before = [sweep["baseline"]["metrics"][prompt][metric][label] for prompt in chosen.index]
    line = table[
        (table["emotion"] == "anger")
        & (table["condition"] == "prompting")
        & (table["metric_name"] == f"{metric}.{label}")
    ].iloc[0]
    assert line["n"] == len(confirm)
    assert line["mean_diff"] == pytest.approx(np.mean(after - np.array(before)), abs=1e-5)
    costs = [
        nats(model, prompt, text) - sweep["baseline"]["fluency"][prompt]
        for prompt, text in chosen.items()
    ]
    assert line["fluency_loss"] == pytest.approx(np.mean(costs), abs=1e-3)


def nats(model, prompt, text):
    """Likelihood of a continuation after the plain prompt, in one pass without a cache."""
    ids = list(model.encode(prompt))
    said = model.tokenizer(text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logits = model.plain_model(torch.tensor([ids + said])).logits[0].log_softmax(-1)
    return -float(
        np.mean([float(logits[len(ids) - 1 + step, token]) for step, token in enumerate(said)])
    )


def test_prompting_and_steering_stand_side_by_side(compared, sweep):
    table, _ = compared
    names = {"steering", "steering_at_cost", "prompting", "both", "neutral_instruction"}
    for emotion in ASKED:
        assert set(table[table["emotion"] == emotion]["condition"]) == names
    assert "apology" not in set(table["emotion"])
    at = SteeringSettings(**SETTINGS).choose(
        read_residual_sweep(sweep), FOUR, sweep["metadata"]["n_layers"]
    )["headline"]["anger"]
    steered = table[(table["emotion"] == "anger") & (table["condition"].isin(["steering", "both"]))]
    assert set(steered["layer"]) == {at.layer}
    assert set(steered["alpha"]) == {at.alpha}
    assert table["cohen_d"].notna().any()


def test_an_instruction_to_be_angry_makes_a_model_of_this_world_angry(compared):
    table, _ = compared
    own = table[
        (table["metric_name"] == FOUR.target_metrics["anger"].replace("/", "."))
        & (table["emotion"] == "anger")
    ].set_index("condition")["mean_diff"]
    assert own["prompting"] > own["neutral_instruction"]


def test_without_instructions_there_is_an_empty_table(compare):
    table, texts = compare(instructions={})
    assert table.empty
    assert texts.empty
    assert "cohen_d" in table
    assert list(texts)[:2] == ["prompt", "half"]


def test_an_instruction_for_another_emotion_is_one_line(compare):
    with pytest.raises(InputError, match="'angre' is unknown") as error:
        compare(instructions={"angre": "x"})
    assert "anger" in str(error.value)


def test_in_a_chat_the_instruction_is_the_users_and_the_prompt_begins_the_answer(
    compare, model, monkeypatch
):
    with pytest.raises(InputError, match="no chat template"):
        compare(chat=True)
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    monkeypatch.setattr(model.tokenizer, "chat_template", template)
    _, texts = compare(chat=True, system_prompt="Dana and I talked.")
    line = texts[(texts["condition"] == "prompting") & (texts["emotion"] == "anger")].iloc[0]
    ids = model.encode_chat(ASKED["anger"], line["prompt"], system="Dana and I talked.")
    wanted, _ = reference_generate(model.plain_model, "gpt2", ids, BASELINE, 10)
    assert line["text"] == decode(model, wanted)


def test_readings_show_each_condition_once_and_in_order(compared):
    prompting, _ = compared
    steering = prompting[prompting["condition"] == "steering"]
    specificity = steering.rename(columns={"emotion": "steered"}).assign(choice="headline")
    table, figure = report_readings(specificity, prompting, FOUR)
    shown = ["headline", "steering_at_cost", "prompting", "both", "neutral_instruction"]
    for emotion in ASKED:
        own = table[(table["emotion"] == emotion) & (table["reading"] == "score")]
        assert own["condition"].tolist() == shown
    assert len(figure.data) == len(ASKED)
