"""The three readings of what heads move, against the texts scored once more by hand."""

import numpy as np
import pandas as pd
import pytest

from embedded_heads import load_model, load_prompts, score_table
from emotion_circuits.evaluation import TextEvaluator, masked_key
from emotion_circuits.experiments.head_readings import reading_table
from emotion_circuits.pipelines.head_patching.nodes import change_heads
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from study_emotions import FOUR

SETTINGS = HeadPatchingSettings(
    sequence_length=8,
    n_bootstrap=50,
    top_k=6,
    num_random=1,
    num_other=0,
    rank_random=1,
    rank_pairs=2,
    ablations=["zero"],
    directions=["neutral_to_emotion", "emotion_to_neutral"],
    modes=["pattern_v"],
    single_heads=False,
    score="drop_mean",
)


@pytest.fixture(scope="module")
def evaluator(project_root):
    source = str(project_root / "data/models/goemotions")
    table = {"goemotions": {"source": source, "masked": True}, "markers": {"kind": "markers"}}
    return TextEvaluator("cpu", table)


@pytest.fixture(scope="module")
def changed(evaluator, project_root):
    model = load_model(project_root)
    prompts = load_prompts(project_root, n_pairs=2)
    return change_heads(model, evaluator, prompts, score_table(model), FOUR, SETTINGS, "test")


@pytest.mark.parametrize("direction", ["", "neutral_to_emotion", "emotion_to_neutral"])
def test_each_reading_is_that_of_the_texts(changed, evaluator, direction):
    ablation, patching, tidy, _, _, readings = changed
    records = patching["records"] if direction else ablation["records"]
    (record,) = [
        each
        for each in records
        if each["head_set"] == "chosen" and each.get("direction", "") == direction
        if not direction or each["emotion"] == "anger"
    ]
    scores = {
        name: evaluator.evaluate_batch(record[f"{name}_texts"]) for name in ("patched", "baseline")
    }
    target = FOUR.target_metrics["anger"]
    sign = 1 if direction == "emotion_to_neutral" else -1
    lines = readings[(readings["emotion"] == "anger") & (readings["direction"] == direction)]
    assert lines["reading"].tolist() == ["score", "masked", "markers"]
    own = tidy[
        (tidy["head_set"] == "chosen")
        & (tidy["emotion"] == "anger")
        & (tidy["direction"] == direction)
    ]
    changes = {}
    for reading, key in zip(
        lines["reading"], (target, masked_key(target), "markers/anger"), strict=True
    ):
        patched, before = (scores[name][key] for name in ("patched", "baseline"))
        by_prompt = dict(zip(record["prompts"], sign * (patched - before), strict=True))
        wanted = [by_prompt[prompt] for prompt in own["prompt"]]
        name = "recovered" if reading == "score" else f"recovered_{reading}"
        np.testing.assert_allclose(own[name], wanted, atol=1e-6)
        changes[reading] = float(np.mean(wanted))
    assert lines["recovered"].tolist() == pytest.approx(list(changes.values()), abs=1e-6)


def test_readings_that_no_evaluator_gives_are_left_out(changed):
    tidy = changed[2].assign(recovered_masked=np.nan, recovered_markers=np.nan)
    table = reading_table(tidy, n_bootstrap=SETTINGS.n_bootstrap, seed=SETTINGS.seed)
    assert set(table["reading"]) == {"score"}
    kept = changed[5][changed[5]["reading"] == "score"].reset_index(drop=True)
    pd.testing.assert_frame_equal(table, kept)
