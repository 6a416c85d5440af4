"""Validation of a file's records and conversion to one form, used for every text of a study."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts.column_names import missing_column
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.emotion_words import emotion_word
from emotion_circuits.prompts.records import GOEMOTIONS_LABEL, PromptSource, SourceRecord

COLUMNS: Final = (
    *("text", "emotion", "lang", "pair_id", "template_id", "explicit", "split", "cue"),
)


class StandardForm(NamedTuple):
    """Validated texts.

    Attributes:
        table: One line per text, with ``COLUMNS``. Fields that a record lacks are empty, except
            ``explicit``, which a list of emotion words then decides.
        n_dropped: Number of records dropped because their text occurred before.
    """

    table: pd.DataFrame
    n_dropped: int


def standard_form(
    source: PromptSource,
    emotions: EmotionSet,
    *,
    lang: str = "en",
    on_duplicate: Literal["auto", "error", "drop"] = "error",
) -> StandardForm:
    """Validate the records of a file and convert them to one form.

    Args:
        source: The records.
        emotions: The study's emotions; any other label is an error, except in GoEmotions records,
            which are then left out.
        lang: Language of texts whose record states none.
        on_duplicate: Whether a repeated text, ignoring white space, is an error or is dropped;
            ``auto``: dropped in GoEmotions records, whose comments repeat, and an error elsewhere.

    Raises:
        InputError: If a record is invalid; the message names file, line and value.
    """
    first: dict[str, SourceRecord] = {}
    lines: list[dict[str, Any]] = []
    n_dropped = 0
    for record, fields in _labelled(source, emotions):
        line = _standard_line(fields, source.place(record), emotions, lang)
        key = " ".join(unicodedata.normalize("NFC", line["text"]).split())
        if key not in first:
            first[key] = record
            lines.append(line)
        elif on_duplicate == "drop" or (on_duplicate == "auto" and GOEMOTIONS_LABEL in fields):
            n_dropped += 1
        else:
            raise InputError(
                f"{source.place(record)}: text {line['text'][:60]!r} stands already in "
                f"{first[key].unit} {first[key].line}; on_duplicate=drop keeps the first"
            )
    if not lines:
        raise InputError(f"{source.name} has no usable records")
    return StandardForm(pd.DataFrame(lines, columns=list(COLUMNS)), n_dropped)


def _labelled(
    source: PromptSource, emotions: EmotionSet
) -> Iterator[tuple[SourceRecord, dict[str, Any]]]:
    """Yield each record with its fields, GoEmotions labels replaced by the study's labels."""
    own_name = goemotions_labels(emotions)
    for record in source.records:
        label = record.fields.get(GOEMOTIONS_LABEL)
        if label is None:
            yield record, record.fields
        elif label in own_name:
            yield record, {**record.fields, "emotion": own_name[label]}


def goemotions_labels(emotions: EmotionSet) -> dict[str, str]:
    """Return the study's label for each corresponding GoEmotions label.

    The GoEmotions label is that of the emotion's target metric, such as remorse for apology, or
    else the emotion's own name.
    """
    own_labels = {"neutral": emotions.neutral}
    for name in emotions.names:
        metric, _, label = emotions.target_metrics.get(name, "").partition("/")
        own_labels[label if metric == "goemotions" else name] = name
    return own_labels


def _standard_line(
    fields: dict[str, Any], where: str, emotions: EmotionSet, lang: str
) -> dict[str, Any]:
    for key in ("text", "emotion"):
        if key not in fields:
            raise missing_column(where, key, fields)
    text, emotion = fields["text"], fields["emotion"]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{where}: text is {text!r}; it must not be empty")
    if emotion not in emotions.labels:
        raise InputError(f"{where}: {unknown_name('label', emotion, emotions.labels)}")
    split = str(fields.get("split") or "")
    if split not in ("", "train", "test"):
        raise InputError(f"{where}: split is {split!r}; allowed are train and test")
    cue = str(fields.get("cue") or "")
    if cue and cue not in text:
        raise InputError(f"{where}: cue {cue!r} does not occur in the text")
    return {
        "text": text,
        "emotion": emotion,
        "lang": str(fields.get("lang") or lang),
        "pair_id": str(fields.get("pair_id") or ""),
        "template_id": str(fields.get("template_id") or ""),
        "explicit": _explicit(fields.get("explicit"), text, emotion, where, emotions),
        "split": split,
        "cue": cue,
    }


def _explicit(value: Any, text: str, emotion: str, where: str, emotions: EmotionSet) -> bool:
    if value is None or value == "":
        return emotion != emotions.neutral and bool(emotion_word(text, emotions, emotion))
    known = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in known:
        raise InputError(f"{where}: explicit is {value!r}; allowed are true and false")
    return known[str(value).lower()]
