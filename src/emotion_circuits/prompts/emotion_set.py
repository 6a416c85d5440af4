"""The emotions of a study, their neutral class, target metrics and marking words."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, Final, Literal

from pydantic import Field, field_validator, model_validator

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.phase_settings import PhaseSettings

NAMES: Final = ("gratitude", "anger", "apology")
NEUTRAL: Final = "neutral"

_TARGET_METRICS: Final = {
    "gratitude": "goemotions/gratitude",
    "anger": "goemotions/anger",
    "apology": "goemotions/remorse",
}
_MARKING_WORDS: Final = {
    "gratitude": ("thank", "thanks", "grateful", "thankful", "appreciate", "kind"),
    "anger": ("angry", "furious", "mad", "outrage", "annoyed", "hate", "stop"),
    "apology": ("sorry", "apologize", "apology", "forgive", "regret", "ashamed", "guilty"),
}
_DEFAULTS: Final[dict[str, dict[str, Any]]] = {
    "target_metrics": _TARGET_METRICS,
    "marking_words": _MARKING_WORDS,
}
# Labels that result tables use in place of an emotion's name.
_RESERVED: Final = ("baseline", "pooled", "all", "both", "other_emotions")

_LONGEST_NAME: Final = 80

Need = Literal["target_metrics", "marking_words"]


class EmotionSet(PhaseSettings):
    """The emotions of a study, read from the profile's ``globals.yml``.

    Gratitude, anger and apology have default target metrics and marking words; for other emotions
    the profile must state those that its phases need.
    """

    names: tuple[str, ...] = Field(NAMES, description="the emotions, in the order of tables")
    neutral: str = Field(NEUTRAL, description="the class that every emotion is measured against")
    target_metrics: dict[str, str] = Field(
        default={},
        description="by emotion, the metric/label that scores it in a text",
    )
    marking_words: dict[str, tuple[str, ...]] = Field(
        default={}, description="by emotion, words whose tokens mark it"
    )

    @model_validator(mode="before")
    @classmethod
    def _fill_in_defaults(cls, raw: Any) -> Any:
        if not isinstance(raw, dict):
            return raw
        values = {name: value for name, value in raw.items() if value is not None}
        names = values.get("names", NAMES)
        for field, known in _DEFAULTS.items():
            own = values.get(field, {})
            if isinstance(own, dict) and isinstance(names, list | tuple):
                defaults = {name: known[name] for name in names if name in known}
                values[field] = {**defaults, **own}
        return values

    @field_validator("names")
    @classmethod
    def _are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        if not names:
            raise ValueError("give at least one emotion")
        for name in names:
            _check_name(name)
        if len(set(names)) < len(names):
            raise ValueError("an emotion stands twice in the list")
        return names

    @field_validator("neutral")
    @classmethod
    def _is_a_name(cls, neutral: str) -> str:
        _check_name(neutral)
        return neutral

    @model_validator(mode="after")
    def _belong_together(self) -> EmotionSet:
        if self.neutral in self.names:
            raise ValueError(f"{self.neutral!r} is both an emotion and the neutral class")
        for field in ("target_metrics", "marking_words"):
            for name in getattr(self, field):
                if name not in self.names:
                    raise unknown_name(f"{field}: emotion", name, self.names)
        for name, metric in self.target_metrics.items():
            if metric.count("/") != 1:
                raise ValueError(f"target_metrics of {name} is {metric!r}; it must be metric/label")
        for name, words in self.marking_words.items():
            if not words:
                raise ValueError(f"marking_words of {name} is empty")
        return self

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels that a text may have: the emotions in order, then the neutral class."""
        return (*self.names, self.neutral)

    def place(self, label: str) -> int:
        """Return a label's position in the order of tables; unknown labels come last."""
        return self.labels.index(label) if label in self.labels else len(self.labels)

    def in_order(self, labels: Iterable[str]) -> list[str]:
        """Sort labels into the order of tables; unknown labels come last, by name."""
        return sorted(labels, key=lambda label: (self.place(label), label))

    def require(self, needs: Iterable[Need]) -> None:
        """Refuse a study that lacks target metrics or marking words that its phases need.

        Raises:
            InputError: If an emotion lacks one of ``needs``.
        """
        for need in needs:
            missing = [name for name in self.names if name not in getattr(self, need)]
            if missing:
                raise InputError(
                    f"{need} are missing for {', '.join(missing)}; add {need} to the profile's "
                    f"globals.yml, by emotion"
                )

    def check_metrics(self, known: Collection[str]) -> None:
        """Refuse a target metric that no evaluator computes.

        Args:
            known: The evaluators' ``metric/label`` keys.

        Raises:
            InputError: If a target metric is not among ``known``.
        """
        for metric in self.target_metrics.values():
            if metric not in known:
                raise unknown_name("target metric", metric, known, where="the evaluators")


def _check_name(name: str) -> None:
    fits = 0 < len(name) <= _LONGEST_NAME and name.isprintable() and name not in _RESERVED
    if not fits or any(sign in name for sign in "./\\ "):
        raise ValueError(
            f"{name!r} cannot be an emotion: names have no blank, dot or slash, at most "
            f"{_LONGEST_NAME} characters, and are none of {', '.join(_RESERVED)}"
        )
