"""Phase 1: the standard table of prompts from records, with statistics."""

import logging
from typing import Any

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.dataset.settings import DatasetSettings
from emotion_circuits.pipelines.dataset.word_report import (
    log_word_probes,
    rate_forms,
    rate_word_probes,
)
from emotion_circuits.prompts import (
    COLUMNS,
    EmotionSet,
    PromptSource,
    assign_splits,
    emotion_word,
    limit_samples,
    pair_texts,
    standard_form,
)
from emotion_circuits.prompts.column_names import rename_columns

logger = logging.getLogger(__name__)


def build_prompts(
    source: PromptSource, profile: str, emotions: EmotionSet, settings: DatasetSettings
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Check records and bring them into standard form.

    Missing columns are filled in: ``explicit`` by a list of emotion words, ``split`` by drawing
    templates (or texts), ``pair_id`` by pairing each emotion text with a neutral text of the same
    split by rank in length.

    Args:
        source: The records.
        profile: The profile's name.
        emotions: The study's emotions.
        settings: Parameters of phase 1.

    Returns:
        One line per distinct text, with ``COLUMNS``; and statistics.

    Raises:
        InputError: If a record is invalid; the message names file, line and value.
    """
    source = rename_columns(source, {str(own): name for own, name in settings.columns.items()})
    n_records = len(source.records)
    if settings.other_labels == "drop":
        source = source.with_labels(emotions.labels)
    table, dropped = standard_form(
        source, emotions, lang=settings.lang, on_duplicate=settings.on_duplicate
    )
    if dropped:
        logger.info("%s: %d texts that occurred before were dropped", source.name, dropped)
    _check_labels(source, table, emotions)
    is_complete = {column: bool((table[column] != "").all()) for column in ("split", "pair_id")}
    if not is_complete["split"]:
        table = assign_splits(table, emotions, settings.test_fraction, settings.seed)
    if not is_complete["pair_id"]:
        table = pair_texts(table, emotions)
        logger.warning(
            "%s has texts without pair_id: each emotion text was paired with a neutral text of "
            "its rank in length. These pairs are no scenarios, and their differences hold those of "
            "the texts' topics",
            source.name,
        )
    n_texts = len(table)
    table = limit_samples(table, settings.max_samples_per_emotion)
    if len(table) < n_texts:
        logger.warning(
            "%s: %d of %d texts are used, since dataset.max_samples_per_emotion is %d; null uses "
            "all",
            *(source.name, len(table), n_texts, settings.max_samples_per_emotion),
        )
    prompts = table[list(COLUMNS)].reset_index(drop=True)
    word_probes = rate_word_probes(prompts, emotions, settings.word_probes, settings.seed)
    log_word_probes(word_probes)
    statistics = _statistics(prompts, emotions) | {
        "profile": profile,
        "input": source.name,
        "output": settings.output or f"{profile}/dataset/emotion_dataset.jsonl",
        "duplicates_dropped": dropped,
        "other_labels_dropped": n_records - len(source.records),
        "split_assigned": not is_complete["split"],
        "pairs_assigned": not is_complete["pair_id"],
        "form_rates": rate_forms(prompts, emotions),
        "word_probes": word_probes,
    }
    return prompts, statistics


def _check_labels(source: PromptSource, table: pd.DataFrame, emotions: EmotionSet) -> None:
    labels = set(table["emotion"])
    if emotions.neutral not in labels:
        raise InputError(
            f"{source.name} has no {emotions.neutral} texts; every emotion is measured against them"
        )
    missing = [emotion for emotion in emotions.names if emotion not in labels]
    if missing:
        raise InputError(f"{source.name} has no texts with label {', '.join(missing)}")


def _statistics(prompts: pd.DataFrame, emotions: EmotionSet) -> dict[str, Any]:
    words = prompts["text"].map(lambda text: len(text.split()))
    by_label = prompts.groupby("emotion")
    named = prompts["text"].map(lambda text: bool(emotion_word(text, emotions)))

    def counts(labels: pd.Series) -> dict[str, int]:
        return {label: int((labels == label).sum()) for label in emotions.labels}

    return {
        "total_samples": len(prompts),
        "emotion_counts": counts(prompts["emotion"]),
        "text_length": _lengths(words),
        "text_length_unit": "words",
        "text_length_by_emotion": {
            label: _lengths(words[by_label.groups[label]]) for label in emotions.labels
        },
        "split_counts": {
            split: counts(prompts.loc[prompts["split"] == split, "emotion"])
            for split in ("train", "test")
        },
        "explicit_counts": counts(prompts.loc[prompts["explicit"], "emotion"]),
        "emotion_word_rate": {
            label: round(float(named[by_label.groups[label]].mean()), 4)
            for label in emotions.labels
        },
        "template_count": int(prompts["template_id"].nunique()),
    }


def _lengths(words: pd.Series) -> dict[str, float]:
    return {
        "avg": round(float(words.mean()), 3), "min": int(words.min()), "max": int(words.max())
    }  # fmt: skip
