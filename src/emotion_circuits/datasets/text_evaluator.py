"""Dataset for the evaluators: loaded together for their first reader, released after the last."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.project_paths import find_in_project
from emotion_circuits.evaluation import (
    EvaluatorSpec,
    TextEvaluator,
    check_evaluator,
)
from emotion_circuits.language_models.fingerprint import source_fingerprint
from emotion_circuits.language_models.residency import process_pool

# A separate pool, so that loading a language model never evicts the evaluators.
resident_evaluators: Final = process_pool("_emotion_circuits_evaluator_pool")


class TextEvaluatorDataset(AbstractDataset[NoReturn, TextEvaluator]):
    """All evaluators of the profile.

    The first ``load`` loads them; later ones share them until ``release``.
    """

    # Kedro's ParallelRunner refuses such datasets; a loaded model cannot move between processes.
    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        evaluators: dict[str, dict[str, Any]] | None,
        device: str = "auto",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe evaluators without loading them.

        Args:
            evaluators: The profile's evaluator table: the fields of ``EvaluatorSpec`` by metric.
            device: Device of all evaluators: ``auto`` or a torch device.
            metadata: Used only by kedro-viz.
        """
        self._evaluators = evaluators
        self._device = device
        self.metadata = metadata

    @property
    def specs(self) -> tuple[EvaluatorSpec, ...]:
        """The evaluators' specifications.

        Raises:
            InputError: If the profile has no evaluators, or an entry is invalid.
        """
        return tuple(
            spec.model_copy(update={"source": spec.source and find_in_project(spec.source)})
            for spec in EvaluatorSpec.from_table(self._evaluators)
        )

    def fingerprint(self, digest: Callable[[Path], str], *, ask: bool) -> dict[str, Any]:
        """Identify the evaluators without loading them.

        Args:
            digest: Returns the digest of a file's content.
            ask: Whether to ask the hub; see ``commit_of``.

        Returns:
            By metric, the fields of the specification, and digests of a classifier's files.

        Raises:
            InputError: If the profile has no evaluators, or files are missing.
        """
        found = {}
        for own, spec in zip(EvaluatorSpec.from_table(self._evaluators), self.specs, strict=True):
            what = f"evaluator {spec.name!r}"
            files = {}
            if spec.source is not None:
                files = source_fingerprint(what, spec.source, spec.revision, digest, ask=ask)
            found[spec.name] = own.with_effect() | files
        return found

    def check(self) -> list[str]:
        """Check that every evaluator exists, without loading its weights.

        Returns:
            The ``metric/label`` keys of all evaluators.

        Raises:
            InputError: If an evaluator does not exist; the message names it.
        """
        return [key for spec in self.specs for key in check_evaluator(spec)]

    def _describe(self) -> dict[str, Any]:
        return {"evaluators": self._evaluators, "device": self._device}

    def _exists(self) -> bool:
        return bool(self._evaluators)

    def load(self) -> TextEvaluator:
        """Return the loaded evaluators."""
        specs = self.specs
        key = (specs, self._device)
        return resident_evaluators.get(key, lambda: TextEvaluator(self._device, specs))

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; the study never writes evaluators."""
        raise DatasetError("text evaluators are read-only")

    def _release(self) -> None:
        if self._exists():
            resident_evaluators.release((self.specs, self._device))
