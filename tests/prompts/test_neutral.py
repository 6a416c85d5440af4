"""Prompts that choose and prompts that report have nothing in common, whatever their order."""

import pandas as pd
import pytest

from emotion_circuits.datasets.records import PromptSource, SourceRecord
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.residual_patching.prompts import choose_prompts, split_halves
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings

TABLE = pd.DataFrame(
    {
        "text": [f"{emotion} {n}" for emotion in ("anger", "neutral") for n in range(8)],
        "emotion": ["anger"] * 8 + ["neutral"] * 8,
        "split": (["train"] * 5 + ["test"] * 3) * 2,
    }
)
FRESH = PromptSource(
    "fresh.jsonl",
    tuple(
        SourceRecord(line, {"text": text, "emotion": emotion})
        for line, (text, emotion) in enumerate(
            [("new 1", "neutral"), ("neutral 3", "neutral"), ("new 2", "neutral"),
             ("new 1", "neutral"), ("loud", "anger")]
        )
    ),
)  # fmt: skip


def choose(**settings):
    return choose_prompts(TABLE, FRESH, ResidualPatchingSettings(**settings))


def test_neutral_prompts_of_the_split_are_patched():
    assert choose() == ["neutral 5", "neutral 6", "neutral 7"]
    assert choose(split="train") == [f"neutral {n}" for n in range(5)]
    assert choose(split="all", max_samples_per_emotion=2) == ["neutral 0", "neutral 1"]


def test_fresh_prompts_are_neutral_distinct_and_not_in_the_dataset():
    assert choose(split="fresh") == ["new 1", "new 2"]


def test_too_few_prompts_are_one_line():
    table = TABLE[TABLE["text"] != "neutral 6"]
    table = table[table["text"] != "neutral 7"]
    with pytest.raises(InputError, match=r"two neutral prompts or more; split 'test' .* has 1"):
        choose_prompts(table, FRESH, ResidualPatchingSettings())
    with pytest.raises(InputError, match=r"fresh_prompts of the profile\) .* has 0"):
        choose_prompts(TABLE, PromptSource("d", ()), ResidualPatchingSettings(split="fresh"))


@pytest.mark.parametrize("n", [2, 3, 5, 8, 101])
def test_halves_share_nothing_and_leave_nothing_out(n):
    prompts = [f"prompt {number}" for number in range(n)]
    halves = split_halves(prompts, 0)
    assert len(halves.select) == n // 2
    assert sorted(halves.select + halves.confirm) == sorted(prompts)
    assert not set(halves.select) & set(halves.confirm)


def test_halves_depend_on_the_seed_and_not_on_the_order():
    prompts = [f"prompt {number}" for number in range(40)]
    halves = split_halves(prompts, 0)
    backwards = split_halves(prompts[::-1], 0)
    assert set(backwards.select) == set(halves.select)
    assert set(split_halves(prompts, 1).select) != set(halves.select)
    assert halves.select != prompts[:20]


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"alphas": []}, "alphas is"),
        ({"alphas": [1.0, 1.0]}, "alphas is .*: the same value stands twice"),
        ({"alphas": [float("nan")]}, "alphas.0 is nan"),
        ({"rows": 0}, "rows is 0: allowed are auto and whole numbers from 1"),
        ({"window": 0}, "window is 0"),
        ({"schedule": "list"}, "schedule list needs strengths"),
        ({"strengths": [1.0]}, "no other schedule has them"),
        ({"target_metrics": {"anger": "a/b"}}, "must name a metric for each of gratitude"),
        ({"operator": "ad"}, "operator is 'ad'"),
        ({"num_randm": 1}, "'num_randm' is unknown; .*nearest: num_random"),
    ],
)
def test_an_impossible_setting_is_one_line(raw, line):
    with pytest.raises(InputError, match=line) as caught:
        ResidualPatchingSettings.model_validate(raw)
    assert "\n" not in str(caught.value)
