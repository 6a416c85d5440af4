"""Recipes of vectors: recomputed by hand, with a planted best recipe and one without effect."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.vector_recipes import VectorRecipe
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.pipelines.vector_comparison.nodes import read_recipes, steer_recipes
from emotion_circuits.pipelines.vector_comparison.settings import VectorComparisonSettings
from emotion_circuits.pipelines.vector_comparison.summary import compare_recipes
from study_emotions import FOUR

RECIPES = [
    {"position_strategy": "last_token"},
    {"position_strategy": "mean_over_tokens", "texts": "explicit", "method": "against_others"},
]


@pytest.fixture(scope="module")
def settings():
    return VectorComparisonSettings(
        recipes=RECIPES,
        layer=3,
        relative_doses=[0.5, 1.0],
        split="fresh",
        max_samples_per_emotion=8,
        sequence_length=8,
        n_bootstrap=100,
        max_fluency_loss=100.0,
    )


@pytest.fixture(scope="module")
def read(activations, prompts, settings):
    return read_recipes(activations, prompts, FOUR, settings)


@pytest.fixture(scope="module")
def sweep(model, evaluator, read, prompts, fresh, settings, tmp_path_factory):
    checkpoint = Checkpoint(tmp_path_factory.mktemp("sweep") / "rows")
    return steer_recipes(model, evaluator, read[0], prompts, fresh, checkpoint, FOUR, settings)


def test_vectors_and_readings_are_those_of_plain_numpy(read, activations, prompts):
    found, readings = read
    layer = activations["layer_indices"].index(3)
    last = np.asarray(activations["attention_mask"]).sum(1) - 1
    stream = activations["resid_post"][:, layer]
    values = stream.numpy()[np.arange(len(last)), last].astype(float)
    labels, splits = np.array(activations["labels"]), np.array(activations["splits"])
    means = {
        label: values[(labels == label) & (splits == "train")].mean(0) for label in FOUR.labels
    }
    naming = prompts[prompts["explicit"] & (prompts["emotion"] != "neutral")]["pair_id"]
    implicit = ~np.isin(activations["pair_ids"], naming)
    for emotion in FOUR.names:
        wanted = means[emotion] - means["neutral"]
        np.testing.assert_allclose(found["vectors"][0][emotion], wanted, rtol=1e-5, atol=1e-5)
        chosen = implicit & (splits == "test") & np.isin(labels, [emotion, "neutral"])
        line = readings[(readings["recipe"] == 0) & (readings["emotion"] == emotion)].iloc[0]
        auroc = roc_auc_score(labels[chosen] == emotion, values[chosen] @ wanted)
        assert line["auroc"] == pytest.approx(auroc, abs=1e-9)
        assert line["auroc_ci_lower"] <= auroc <= line["auroc_ci_upper"]
    assert len(readings) == 2 * len(FOUR.names)
    assert readings["reliability"].dropna().between(-1, 1).all()


def test_a_dose_of_one_adds_the_length_of_the_stream(sweep, read, model, prompts, fresh, settings):
    lines = pd.DataFrame(sweep["lines"])
    assert len(lines) == 8 * (1 + 2 * 2 * 3)
    line = lines[(lines["draw"] == 1) & (lines["alpha"] == 1.0) & (lines["emotion"] == "anger")]
    vector = read[0]["vectors"][1]["anger"]
    added = vector / np.linalg.norm(vector) * sweep["residual_norm"]
    prompt = line["prompt"].iloc[0]
    assert line["text"].iloc[0] == continued_by_hand(model, prompt, added, 3, 8)
    baseline = lines[(lines["kind"] == "baseline") & (lines["prompt"] == prompt)]["text"].iloc[0]
    assert baseline == continued_by_hand(model, prompt, added * 0, 3, 8)


def continued_by_hand(model, prompt, added, layer, n_tokens):
    """Feed the whole text at each step, without a cache, and add at all read positions."""
    import torch

    ids = list(model.encode(prompt))
    first = len(ids) - 1
    direction = torch.tensor(added, dtype=torch.float32)

    def add(module, inputs, output):
        hidden = output[0] if isinstance(output, tuple) else output
        hidden = hidden.clone()
        hidden[:, first:] += direction
        return (hidden, *output[1:]) if isinstance(output, tuple) else hidden

    new = []
    handle = model.plain_blocks[layer].register_forward_hook(add)
    try:
        with torch.no_grad():
            for _ in range(n_tokens):
                logits = model.plain_model(torch.tensor([ids + new]), use_cache=False).logits
                new.append(int(logits[0, -1].argmax()))
                if new[-1] == model.tokenizer.eos_token_id:
                    break
    finally:
        handle.remove()
    return model.tokenizer.decode(new, skip_special_tokens=True)


def planted(settings, gains):
    """Lines of recipes that raise the own score by some gain per dose."""
    rng = np.random.default_rng(0)
    keys = list(FOUR.target_metrics.values())
    lines = []
    for index in range(40):
        half = "select" if index % 2 else "confirm"
        base = {"prompt": f"p{index}", "cluster": f"c{index // 4}", "half": half, "text": ""}
        before = dict(zip(keys, rng.normal(0, 0.1, len(keys)), strict=True))
        lines.append(
            base
            | {"kind": "baseline", "emotion": "", "draw": 0, "alpha": None, "layer": None}
            | {"fluency": 1.0}
            | before
        )
        for number, gain in enumerate(gains):
            for emotion, own in FOUR.target_metrics.items():
                for dose in settings.relative_doses:
                    after = {key: value + rng.normal(0, 0.05) for key, value in before.items()}
                    after[own] += gain * dose
                    where = {"kind": "emotion", "emotion": emotion, "draw": number, "alpha": dose}
                    where |= {"layer": 3}
                    lines.append(base | where | {"fluency": 1.0 + dose} | after)
    return {"lines": pd.DataFrame(lines).astype(object).to_dict("list")}


def readings():
    return pd.DataFrame(
        [
            {"recipe": number, **VectorRecipe(**recipe).model_dump(), "layer": 3}
            | {"emotion": emotion, "common_share": 0.3, "reliability": 0.9, "auroc": 0.8}
            | {"style_auroc": 0.6, "style_auroc_random": 0.55}
            for number, recipe in enumerate(RECIPES)
            for emotion in FOUR.names
        ]
    )


def test_the_planted_recipe_comes_first_and_the_other_has_no_effect(settings):
    sweep = planted(settings, [0.0, 1.0])
    table, summary = compare_recipes(readings(), sweep, FOUR, settings)
    assert summary["recipe"].tolist() == [1, 0]
    assert summary["min_d"].iloc[0] > 3
    assert abs(summary["mean_d"].iloc[1]) < 0.6
    assert (table.loc[table["recipe"] == 1, "relative_dose"] == 1.0).all()
    assert (table.loc[table["recipe"] == 1, "off_target_share"] < 0.1).all()
    lines = pd.DataFrame(sweep["lines"])
    confirm = lines[lines["half"] == "confirm"]
    own = FOUR.target_metrics["anger"]
    base = confirm[confirm["kind"] == "baseline"].set_index("prompt")[own]
    steered = confirm[
        (confirm["draw"] == 1) & (confirm["emotion"] == "anger") & (confirm["alpha"] == 1.0)
    ].set_index("prompt")[own]
    change = (steered - base).astype(float)
    line = table[(table["recipe"] == 1) & (table["emotion"] == "anger")].iloc[0]
    assert line["mean_diff"] == pytest.approx(change.mean())
    assert line["cohen_d"] == pytest.approx(change.mean() / change.std())
    assert line["fluency_loss"] == pytest.approx(1.0)


def test_a_dose_that_costs_too_much_is_not_chosen(settings):
    limited = settings.model_copy(update={"max_fluency_loss": 0.7})
    table, _ = compare_recipes(readings(), planted(settings, [0.0, 1.0]), FOUR, limited)
    assert (table.loc[table["recipe"] == 1, "relative_dose"] == 0.5).all()
    none = settings.model_copy(update={"max_fluency_loss": 0.1})
    table, summary = compare_recipes(readings(), planted(settings, [0.0, 1.0]), FOUR, none)
    assert not table["within_fluency"].any()
    assert not summary["all_within_fluency"].any()


def test_the_sweep_of_a_real_model_gives_a_line_for_each_recipe_and_emotion(read, sweep, settings):
    table, summary = compare_recipes(read[1], sweep, FOUR, settings)
    assert len(table) == 2 * len(FOUR.names)
    assert table["cohen_d"].notna().all()
    assert len(summary) == 2


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"recipes": [RECIPES[0], RECIPES[0]]}, "recipe 2 stands twice"),
        ({"recipes": [{"method": "pcaa"}]}, "pcaa"),
        ({"recipes": []}, "recipes is"),
        ({"relative_doses": [0.0]}, "relative_doses"),
    ],
)
def test_impossible_settings_are_one_line(change, line):
    with pytest.raises(InputError, match=line) as error:
        VectorComparisonSettings(**({"recipes": RECIPES} | change))
    assert "\n" not in str(error.value)
