"""From the records of a file to checked rows: every text of a study comes in this way."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, Final, Literal, NamedTuple

import pandas as pd

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.emotion_words import emotion_word
from emotion_circuits.prompts.records import GOEMOTIONS_LABEL, PromptSource, SourceRecord

COLUMNS: Final = (
    *("text", "emotion", "lang", "pair_id", "template_id", "explicit", "split", "cue"),
)


class StandardForm(NamedTuple):
    """Checked texts.

    Attributes:
        table: One line a text, with ``COLUMNS``; what a record does not say is empty, but for
            ``explicit``, which then goes by a list of words.
        n_dropped: Records left out since their text occurred before.
    """

    table: pd.DataFrame
    n_dropped: int


def standard_form(
    source: PromptSource,
    emotions: EmotionSet,
    *,
    lang: str = "en",
    on_duplicate: Literal["error", "drop"] = "error",
) -> StandardForm:
    """Check the records of a file and bring them into one form.

    Args:
        source: The records.
        emotions: The study's; any other label is an error. Records of GoEmotions whose label
            stands for no emotion of the study are left out instead.
        lang: Language of texts that do not say theirs.
        on_duplicate: Whether a text that occurs twice, blanks aside, is an error or dropped.

    Raises:
        InputError: If a record is wrong; the line names file, line and value.
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
        elif on_duplicate == "drop":
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
    """Give each record with the study's own name for its label."""
    own_name = goemotions_labels(emotions)
    for record in source.records:
        label = record.fields.get(GOEMOTIONS_LABEL)
        if label is None:
            yield record, record.fields
        elif label in own_name:
            yield record, {**record.fields, "emotion": own_name[label]}


def goemotions_labels(emotions: EmotionSet) -> dict[str, str]:
    """Give the study's label for each label of GoEmotions that stands for one.

    That is the label an emotion's target metric reads, such as remorse for apology, or else the
    label of the emotion's own name.
    """
    found = {"neutral": emotions.neutral}
    for name in emotions.names:
        metric, _, label = emotions.target_metrics.get(name, "").partition("/")
        found[label if metric == "goemotions" else name] = name
    return found


def _standard_line(
    fields: dict[str, Any], place: str, emotions: EmotionSet, lang: str
) -> dict[str, Any]:
    for key in ("text", "emotion"):
        if key not in fields:
            raise InputError(f"{place}: key {key!r} is missing; found {', '.join(fields)}")
    text, emotion = fields["text"], fields["emotion"]
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{place}: text is {text!r}; it must not be empty")
    if emotion not in emotions.labels:
        raise InputError(f"{place}: {unknown_name('label', emotion, emotions.labels)}")
    split = str(fields.get("split") or "")
    if split not in ("", "train", "test"):
        raise InputError(f"{place}: split is {split!r}; allowed are train and test")
    cue = str(fields.get("cue") or "")
    if cue and cue not in text:
        raise InputError(f"{place}: cue {cue!r} does not occur in the text")
    return {
        "text": text,
        "emotion": emotion,
        "lang": str(fields.get("lang") or lang),
        "pair_id": str(fields.get("pair_id") or ""),
        "template_id": str(fields.get("template_id") or ""),
        "explicit": _explicit(fields.get("explicit"), text, emotion, place, emotions),
        "split": split,
        "cue": cue,
    }


def _explicit(value: Any, text: str, emotion: str, place: str, emotions: EmotionSet) -> bool:
    if value is None or value == "":
        return emotion != emotions.neutral and bool(emotion_word(text, emotions, emotion))
    known = {"true": True, "false": False, "1": True, "0": False}
    if str(value).lower() not in known:
        raise InputError(f"{place}: explicit is {value!r}; allowed are true and false")
    return known[str(value).lower()]
