"""Prompts that are steered are neutral, distinct, and new where they are to be."""

import pandas as pd
import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.prompts import PromptSource, SourceRecord, choose_neutral
from study_emotions import FOUR

TABLE = pd.DataFrame(
    {
        "text": [f"{emotion} {n}" for emotion in ("anger", "neutral") for n in range(8)],
        "emotion": ["anger"] * 8 + ["neutral"] * 8,
        "split": (["train"] * 5 + ["test"] * 3) * 2,
    }
)


def source(lines):
    return PromptSource(
        "fresh.jsonl",
        tuple(
            SourceRecord(line, {"text": text, "emotion": emotion})
            for line, (text, emotion) in enumerate(lines, start=1)
        ),
    )


FRESH = source(
    [
        *[("new 1", "neutral"), ("neutral 3", "neutral"), ("new 2", "neutral")],
        *[("new 1", "neutral"), ("loud", "anger")],
    ]
)


def choose(table=TABLE, fresh=FRESH, *, split="test", limit=None):
    return list(choose_neutral(table, fresh, FOUR, split=split, limit=limit))


def test_neutral_prompts_of_the_split_are_patched():
    assert choose() == ["neutral 5", "neutral 6", "neutral 7"]
    assert choose(split="train") == [f"neutral {n}" for n in range(5)]
    assert choose(split="all", limit=2) == ["neutral 0", "neutral 1"]


def test_fresh_prompts_are_neutral_distinct_and_not_in_the_dataset():
    assert choose(split="fresh") == ["new 1", "new 2"]


def test_too_few_prompts_are_one_line():
    table = TABLE[~TABLE["text"].isin(["neutral 6", "neutral 7"])]
    with pytest.raises(InputError, match=r"two neutral prompts or more; split 'test' .* has 1"):
        choose(table)
    known = source([("neutral 3", "neutral")])
    with pytest.raises(InputError, match=r"fresh_prompts of the profile\) .* has 0"):
        choose(fresh=known, split="fresh")
    with pytest.raises(InputError, match=r"^fresh\.jsonl has no usable records$"):
        choose(fresh=source([]), split="fresh")


@pytest.mark.parametrize(
    ("fields", "line"),
    [
        ({"text": " ", "emotion": "neutral"}, r"text is ' '; it must not be empty"),
        ({"emotion": "neutral"}, r"key 'text' is missing; found emotion"),
        ({"text": "a", "emotion": "netural"}, r"'netural' is unknown; .* nearest: neutral"),
    ],
)
def test_a_wrong_fresh_prompt_is_named_by_file_and_line(fields, line):
    fresh = PromptSource("fresh.jsonl", (*FRESH.records, SourceRecord(6, fields)))
    with pytest.raises(InputError, match=r"^fresh\.jsonl, line 6: .*" + line):
        choose(fresh=fresh, split="fresh")
    # Only where fresh prompts are asked for: those of the dataset are checked in phase 1.
    assert choose(fresh=fresh) == ["neutral 5", "neutral 6", "neutral 7"]
