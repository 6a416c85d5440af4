"""Specification of an evaluator, read from a profile's evaluator table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from pydantic import Field, model_validator

from emotion_circuits.errors import InputError
from emotion_circuits.phase_settings import PhaseSettings

ProblemType = Literal["single_label_classification", "multi_label_classification"]
PROBLEM_TYPES: Final = ("single_label_classification", "multi_label_classification")
Kind = Literal["transformers", "vader", "markers"]
MASKED: Final = "_masked"
# What only classifiers have.
_OF_CLASSIFIERS: Final = ("source", "revision", "problem_type", "masked")


class EvaluatorSpec(PhaseSettings):
    """One entry of a profile's evaluator table."""

    name: str = Field(
        pattern=r"^[^./]+$", description="the metric's name; the first part of every key"
    )
    kind: Kind = Field(
        "transformers",
        description="transformers: a text classifier; vader: sentiment by a lexicon; "
        "markers: share of words that name an emotion",
    )
    source: str | None = Field(
        None, description="of a classifier: a hub id, a folder, a file, or package:<name>/<path>"
    )
    revision: str | None = Field(None, description="branch, tag or commit of the hub repository")
    problem_type: ProblemType | None = Field(
        None,
        description="one label per text or several; null: as the model's config.json says",
    )
    masked: bool = Field(
        False, description="also score each text with its emotion words masked, as <name>_masked"
    )
    words: dict[str, tuple[str, ...]] | None = Field(
        None, description="of markers: beginnings of words by label; null: the lexicon's"
    )

    @model_validator(mode="after")
    def _fits_its_kind(self) -> EvaluatorSpec:
        if self.kind == "transformers" and self.source is None:
            raise ValueError("a classifier needs a source: a hub id, a folder or a file")
        for field in _OF_CLASSIFIERS:
            if self.kind != "transformers" and getattr(self, field):
                raise ValueError(f"{field} is for kind transformers; this is kind {self.kind}")
        if self.kind != "markers" and self.words is not None:
            raise ValueError(f"words are for kind markers; this is kind {self.kind}")
        if self.words is not None and not all(self.words.values()):
            raise ValueError("words must name at least one word for each label")
        return self

    @classmethod
    def from_table(
        cls, table: Mapping[str, Mapping[str, object]] | None
    ) -> tuple[EvaluatorSpec, ...]:
        """Read a profile's evaluator table.

        Raises:
            InputError: If the table is empty, an entry is invalid, or two have one name.
        """
        if not table:
            raise InputError("the profile has no evaluators; add 'evaluators:' to its globals.yml")
        specs = []
        for name, fields in table.items():
            try:
                specs.append(cls.model_validate({"name": name, **fields}))
            except InputError as error:
                raise InputError(f"evaluator {name!r}: {error}") from error
        for spec in specs:
            if spec.masked and spec.name + MASKED in table:
                raise InputError(
                    f"evaluator {spec.name + MASKED!r} is an entry of its own, and what "
                    f"{spec.name!r} with masked: true adds; rename one"
                )
        return tuple(specs)
