"""Dataset for files of directions that replace a model's own emotion vectors."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.project_paths import find_in_project, relative_to_project
from emotion_circuits.direction_files import Directions, read_directions
from emotion_circuits.errors import InputError, unknown_name


class ImportedVectorsDataset(AbstractDataset[NoReturn, dict[str, Directions]]):
    """The files that a profile names for one model; it always exists, possibly empty."""

    def __init__(
        self,
        *,
        model: str,
        models: Mapping[str, Any],
        files: Mapping[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the files without reading them.

        Args:
            model: The model's name in the profile.
            models: The profile's model table.
            files: By model and emotion, a file as ``read_directions`` reads it.
            metadata: Used only by kedro-viz.
        """
        self._model = model
        self._models = models
        self._files = files
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"model": self._model, "files": self._files}

    def _exists(self) -> bool:
        return True

    def load(self) -> dict[str, Directions]:
        """Read the model's files.

        Returns:
            Directions by emotion. Their metadata further have ``file`` and ``file_sha256``.

        Raises:
            InputError: If the table has another form or an unknown model, or a file cannot be read.
        """
        return {emotion: _read(path) for emotion, path in self._paths().items()}

    def fingerprint(self, digest: Callable[[Path], str], *, ask: bool) -> dict[str, Any]:  # noqa: ARG002
        """Identify the model's files.

        Args:
            digest: Returns the digest of a file's content.
            ask: Without effect; these are files of this machine.

        Returns:
            By emotion, the digest of its file.

        Raises:
            InputError: As ``load``.
        """
        return {
            emotion: digest(path) if path.is_file() else "missing"
            for emotion, path in self._paths().items()
        }

    def _paths(self) -> dict[str, Path]:
        """Return the model's files by emotion."""
        table = {} if self._files is None else self._files
        if not isinstance(table, Mapping) or not all(
            isinstance(files, Mapping) and all(isinstance(path, str) for path in files.values())
            for files in table.values()
        ):
            raise InputError(
                f"imported_vectors is {str(table)[:60]!r}; allowed is a table of models, emotions "
                "and files, such as gpt2: {anger: anger.gguf}"
            )
        for model in table:
            if model not in self._models:
                raise unknown_name("model of imported_vectors", model, self._models)
        return {
            str(emotion): Path(find_in_project(path))
            for emotion, path in table.get(self._model, {}).items()
        }

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; files to import are read-only."""
        raise DatasetError("imported vectors are read-only")


def _read(path: Path) -> Directions:
    directions = read_directions(path)
    named = {
        "file": relative_to_project(path),
        "file_sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
    }
    return replace(directions, metadata={**directions.metadata, **named})
