"""Phase 1: from records to the standard table, with a report."""

import unicodedata
from typing import Any

import pandas as pd

from emotion_circuits.datasets.records import PromptSource, SourceRecord
from emotion_circuits.emotions import EMOTIONS, LABELS, NEUTRAL
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.pipelines.dataset.emotion_words import emotion_word
from emotion_circuits.pipelines.dataset.pairing import assign_splits, limit_samples, pair_texts
from emotion_circuits.pipelines.dataset.settings import DatasetSettings

COLUMNS = ("text", "emotion", "lang", "pair_id", "template_id", "explicit", "split", "cue")


def build_prompts(
    source: PromptSource, profile: str, settings: DatasetSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Check records and bring them into the standard form.

    What a file does not say is filled in: ``explicit`` by a list of emotion words, ``split`` by
    template (or text) at random, ``pair_id`` by joining each emotion text to the neutral text of
    the same split that is nearest in length and not yet taken.

    Args:
        source: The records.
        profile: The profile's name.
        settings: How strict to be.

    Returns:
        One row per distinct text, with ``COLUMNS``; and statistics.

    Raises:
        InputError: If a record is wrong; the line names file, line and value.
    """
    rows, dropped = _distinct_rows(source, settings)
    table = pd.DataFrame(rows)
    _check_labels(source, table)
    given = {column: bool((table[column] != "").all()) for column in ("split", "pair_id")}
    table = table if given["split"] else assign_splits(table, settings.test_fraction, settings.seed)
    table = table if given["pair_id"] else pair_texts(table)
    table = limit_samples(table, settings.max_samples_per_emotion)
    prompts = table[list(COLUMNS)].reset_index(drop=True)
    statistics = _statistics(prompts) | {
        "profile": profile,
        "input": source.name,
        "output": f"{profile}/dataset/emotion_dataset.jsonl",
        "duplicates_dropped": dropped,
        "split_assigned": not given["split"],
        "pairs_assigned": not given["pair_id"],
    }
    return prompts, statistics


def _distinct_rows(
    source: PromptSource, settings: DatasetSettings
) -> tuple[list[dict[str, Any]], int]:
    first: dict[str, SourceRecord] = {}
    rows, dropped = [], 0
    for record in source.records:
        row = _standard_row(source, record, settings)
        key = " ".join(unicodedata.normalize("NFC", row["text"]).split())
        if key in first:
            if settings.on_duplicate == "error":
                raise InputError(
                    f"{source.place(record)}: text {row['text'][:60]!r} stands already in "
                    f"{first[key].unit} {first[key].line}; on_duplicate=drop keeps the first"
                )
            dropped += 1
            continue
        first[key] = record
        rows.append(row)
    if not rows:
        raise InputError(f"{source.name} has no usable records")
    return rows, dropped


def _standard_row(
    source: PromptSource, record: SourceRecord, settings: DatasetSettings
) -> dict[str, Any]:
    fields, place = record.fields, source.place(record)
    for key in ("text", "emotion"):
        if key not in fields:
            raise InputError(f"{place}: key {key!r} is missing; found {', '.join(fields)}")
    text, emotion = fields["text"], fields["emotion"]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{place}: text is {text!r}; it must not be empty")
    if emotion not in LABELS:
        raise InputError(f"{place}: {unknown_name('label', emotion, LABELS)}")
    split = str(fields.get("split") or "")
    if split not in ("", "train", "test"):
        raise InputError(f"{place}: split is {split!r}; allowed are train and test")
    cue = str(fields.get("cue") or "")
    if cue and cue not in text:
        raise InputError(f"{place}: cue {cue!r} does not occur in the text")
    return {
        "text": text,
        "emotion": emotion,
        "lang": str(fields.get("lang") or settings.lang),
        "pair_id": str(fields.get("pair_id") or ""),
        "template_id": str(fields.get("template_id") or ""),
        "explicit": _explicit(fields.get("explicit"), text, emotion, place),
        "split": split,
        "cue": cue,
    }


def _explicit(value: Any, text: str, emotion: str, place: str) -> bool:
    if value is None or value == "":
        return emotion != NEUTRAL and bool(emotion_word(text, emotion))
    known = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in known:
        raise InputError(f"{place}: explicit is {value!r}; allowed are true and false")
    return known[str(value).lower()]


def _check_labels(source: PromptSource, table: pd.DataFrame) -> None:
    found = set(table["emotion"])
    if NEUTRAL not in found:
        raise InputError(
            f"{source.name} has no neutral texts; every emotion is measured against them"
        )
    missing = [emotion for emotion in EMOTIONS if emotion not in found]
    if missing:
        raise InputError(f"{source.name} has no texts with label {', '.join(missing)}")


def _statistics(prompts: pd.DataFrame) -> dict[str, Any]:
    words = prompts["text"].map(lambda text: len(text.split()))
    by_label = prompts.groupby("emotion")
    named = prompts["text"].map(lambda text: bool(emotion_word(text)))
    return {
        "total_samples": len(prompts),
        "emotion_counts": _counts(prompts["emotion"]),
        "text_length": _lengths(words),
        "text_length_unit": "words",
        "text_length_by_emotion": {
            label: _lengths(words[by_label.groups[label]]) for label in LABELS
        },
        "split_counts": {
            split: _counts(prompts.loc[prompts["split"] == split, "emotion"])
            for split in ("train", "test")
        },
        "explicit_counts": _counts(prompts.loc[prompts["explicit"], "emotion"]),
        "emotion_word_rate": {
            label: round(float(named[by_label.groups[label]].mean()), 4) for label in LABELS
        },
        "template_count": int(prompts["template_id"].nunique()),
    }


def _counts(labels: pd.Series) -> dict[str, int]:
    return {label: int((labels == label).sum()) for label in LABELS}


def _lengths(words: pd.Series) -> dict[str, float]:
    return {
        "avg": round(float(words.mean()), 3), "min": int(words.min()), "max": int(words.max())
    }  # fmt: skip
