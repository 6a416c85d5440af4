"""Dataset for a language model: loaded for its first reader, released after its last."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.project_paths import find_in_project
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model
from emotion_circuits.language_models.fingerprint import source_fingerprint
from emotion_circuits.language_models.residency import resident


class LanguageModelDataset(AbstractDataset[NoReturn, LanguageModel]):
    """One language model of the profile.

    The first ``load`` loads the model; later ones share it until ``release``.
    """

    # Kedro's ParallelRunner refuses such datasets; a loaded model cannot move between processes.
    _SINGLE_PROCESS = True

    def __init__(
        self,
        *,
        name: str,
        models: dict[str, dict[str, Any]],
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a model without loading it.

        Args:
            name: The model's name in the profile.
            models: The profile's model table: the fields of ``ModelSpec`` by model name.
            metadata: Used only by kedro-viz.
        """
        self._name = name
        self._models = models
        self.metadata = metadata

    @property
    def spec(self) -> ModelSpec:
        """The model's specification.

        Raises:
            InputError: If the profile has no such model, or its entry is invalid.
        """
        return ModelSpec.from_table(self._name, self._models)

    def fingerprint(self, digest: Callable[[Path], str], *, ask: bool) -> dict[str, Any]:
        """Identify the model without loading it.

        Args:
            digest: Returns the digest of a file's content.
            ask: Whether to ask the hub which commit a revision stands for now, even if files
                were downloaded earlier.

        Returns:
            The fields of its specification that affect results, and digests of its files.

        Raises:
            InputError: If the profile has no such model, or its files are missing.
        """
        spec, what = self.spec, f"model {self._name!r}"
        source = find_in_project(spec.source)
        return spec.with_effect() | source_fingerprint(what, source, spec.revision, digest, ask=ask)

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name, **self._models.get(self._name, {})}

    def _exists(self) -> bool:
        return self._name in self._models

    def load(self) -> LanguageModel:
        """Return the loaded and self-checked model."""
        spec = self.spec
        return resident.get(spec, lambda: _load_from_project(spec))

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; the study never writes models."""
        raise DatasetError(f"language model {self._name!r} is read-only")

    def _release(self) -> None:
        if self._exists():
            resident.release(self.spec)


def _load_from_project(spec: ModelSpec) -> LanguageModel:
    folder = find_in_project(spec.source)
    model = load_language_model(spec.model_copy(update={"source": folder}))
    # Results name the source as the profile does, independently of the project's location.
    return replace(model, spec=spec)
