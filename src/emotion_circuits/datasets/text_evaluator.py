"""The catalog's evaluators: loaded together when a node asks, released when the run is over."""

from __future__ import annotations

from typing import Any, Final, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.project_paths import find_in_project
from emotion_circuits.evaluation import (
    EvaluatorSpec,
    TextEvaluator,
    check_evaluator,
    evaluator_keys,
)
from emotion_circuits.language_models.residency import process_pool

# A pool of their own: evaluators serve every language model and must not make room for one.
resident_evaluators: Final = process_pool("_emotion_circuits_evaluator_pool")


class TextEvaluatorDataset(AbstractDataset[NoReturn, TextEvaluator]):
    """All evaluators of the profile.

    They are loaded by the first ``load`` and shared by all later ones, until ``release``.
    """

    # Loaded models cannot be handed to another process; ParallelRunner refuses such datasets.
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
            evaluators: The profile's table, from metric to the fields of ``EvaluatorSpec``.
            device: Where they shall run: ``auto``, or a device as torch names it.
            metadata: Ignored here; read by kedro-viz.
        """
        self._evaluators = evaluators
        self._device = device
        self.metadata = metadata

    @property
    def specs(self) -> tuple[EvaluatorSpec, ...]:
        """What to load.

        Raises:
            InputError: If the profile has no evaluators, or its table is wrong.
        """
        return tuple(
            spec.model_copy(update={"source": find_in_project(spec.source)})
            for spec in EvaluatorSpec.from_table(self._evaluators)
        )

    def check(self) -> list[str]:
        """Look for every evaluator without loading it.

        Returns:
            The ``metric/label`` keys of all evaluators.

        Raises:
            InputError: If one is not there; one line names it.
        """
        return [key for spec in self.specs for key in evaluator_keys(spec, check_evaluator(spec))]

    def _describe(self) -> dict[str, Any]:
        return {"evaluators": self._evaluators, "device": self._device}

    def _exists(self) -> bool:
        return bool(self._evaluators)

    def load(self) -> TextEvaluator:
        """Give the loaded evaluators."""
        specs = self.specs
        key = (specs, self._device)
        return resident_evaluators.get(key, lambda: TextEvaluator(self._device, specs))

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Refuse: evaluators are read, never written, by the study."""
        raise DatasetError("text evaluators are read-only")

    def _release(self) -> None:
        if self._exists():
            resident_evaluators.release((self.specs, self._device))
