"""Specification of an evaluator, read from a profile's evaluator table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import Field
from transformers import AutoConfig

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.pretrained import check_folder, from_pretrained
from emotion_circuits.language_models.sources import resolve_source
from emotion_circuits.phase_settings import PhaseSettings

ProblemType = Literal["single_label_classification", "multi_label_classification"]
PROBLEM_TYPES: Final = ("single_label_classification", "multi_label_classification")


class EvaluatorSpec(PhaseSettings):
    """One entry of a profile's evaluator table."""

    name: str = Field(
        pattern=r"^[^./]+$", description="the metric's name; the first part of every key"
    )
    source: str = Field(description="a hub id, or a folder written by save_pretrained")
    revision: str | None = Field(None, description="branch, tag or commit of the hub repository")
    problem_type: ProblemType | None = Field(
        None,
        description="one label per text or several; null: as the model's config.json says",
    )

    @classmethod
    def from_table(cls, table: Mapping[str, Mapping[str, Any]] | None) -> tuple[EvaluatorSpec, ...]:
        """Read a profile's evaluator table.

        Raises:
            InputError: If the table is empty, or an entry is invalid.
        """
        if not table:
            raise InputError("the profile has no evaluators; add 'evaluators:' to its globals.yml")
        specs = []
        for name, fields in table.items():
            try:
                specs.append(cls.model_validate({"name": name, **fields}))
            except InputError as error:
                raise InputError(f"evaluator {name!r}: {error}") from error
        return tuple(specs)


def check_evaluator(spec: EvaluatorSpec) -> Any:
    """Check that an evaluator exists and has a problem type, without loading its weights.

    A folder must hold all its files. For a hub repository the configuration is fetched, so that a
    wrong id, a missing licence or a missing network stops a run at its start.

    Returns:
        The model's configuration with its ``problem_type`` set.

    Raises:
        InputError: If the evaluator does not exist, or neither its configuration nor the profile
            states the problem type; the message names the evaluator.
    """
    what = f"evaluator {spec.name!r}"
    source = resolve_source(what, spec.source)
    check_folder(what, source)
    # transformers takes a name without a slash for a hub repository; here it means a path.
    if "/" not in source and not Path(source).is_dir():
        raise InputError(f"{what}: there is no folder {source!r}, and a hub id has a slash")
    config = from_pretrained(AutoConfig, what, source=source, revision=spec.revision)
    config.problem_type = _problem_type(spec, config)
    return config


def evaluator_keys(spec: EvaluatorSpec, config: Any) -> tuple[str, ...]:
    """Return ``metric/label`` for each label of a classifier.

    Args:
        spec: Names the metric.
        config: The model's configuration.

    Raises:
        InputError: If the configuration names a label twice.
    """
    labels = [str(config.id2label[index]) for index in range(config.num_labels)]
    if len(set(labels)) < len(labels):
        raise InputError(
            f"evaluator {spec.name!r}: {spec.source!r} names a label twice: {', '.join(labels)}"
        )
    return tuple(f"{spec.name}/{label}" for label in labels)


def _problem_type(spec: EvaluatorSpec, config: Any) -> ProblemType:
    """Return the stated problem type; it is never guessed, since it defines what a score means."""
    own: Any = getattr(config, "problem_type", None)
    stated: Any = spec.problem_type if own is None else own
    what = f"evaluator {spec.name!r}: {spec.source!r}"
    if stated is None:
        raise InputError(
            f"{what} does not say whether several labels may apply; set problem_type in its row "
            f"of the profile's evaluators to one of {', '.join(PROBLEM_TYPES)}"
        )
    if stated not in PROBLEM_TYPES:
        raise InputError(f"{what} has problem_type {stated!r}; allowed: {', '.join(PROBLEM_TYPES)}")
    if spec.problem_type not in (None, stated):
        raise InputError(
            f"{what} has problem_type {stated!r} by its own config.json, but its row in the "
            f"profile says {spec.problem_type!r}; remove one of them"
        )
    problem_type: ProblemType = stated
    return problem_type
