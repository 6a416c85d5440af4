"""Dataset for the files of a model's exported vectors, with a list of them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.atomic import atomic_path
from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.direction_files import Directions, read_directions, write_directions
from emotion_circuits.errors import InputError


class DirectionFilesDataset(AbstractDataset[Mapping[str, Directions], dict[str, Directions]]):
    """Files ``<model>_<emotion>.<format>`` in one folder, and ``<model>_files.json``, their list.

    The list is deleted first and written last: without it, or without one of its files, the export
    does not exist, and a run makes it again.
    """

    def __init__(
        self,
        *,
        folder: str | os.PathLike[str],
        model: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe the files.

        Args:
            folder: Folder of all models' files.
            model: The model's name, with which each file's name begins.
            metadata: Used only by kedro-viz.
        """
        self._folder = Path(folder)
        self._model = model
        self._filepath = self._folder / f"{model}_files.json"
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder), "model": self._model}

    def _exists(self) -> bool:
        if not self._filepath.is_file():
            return False
        return all(self._path(name).is_file() for name in self._listed())

    def files(self) -> list[Path]:
        """Return all files and their list; none if one is missing."""
        if not self._exists():
            return []
        return [self._filepath, *(self._path(name) for name in self._listed())]

    def load(self) -> dict[str, Directions]:
        """Read all files of the list.

        Returns:
            Directions by ``<emotion>.<format>``.

        Raises:
            DatasetError: If there is no list.
            InputError: If a file is missing or broken.
        """
        if not self._filepath.is_file():
            raise DatasetError(f"{self._filepath} is not there yet; run --pipelines=vector_export")
        return {name: read_directions(self._path(name)) for name in self._listed()}

    def save(self, data: Mapping[str, Directions]) -> None:
        """Write all files and their list, and delete files of the former list.

        Args:
            data: Directions by ``<emotion>.<format>``.
        """
        former = self._listed() if self._filepath.is_file() else []
        self._filepath.unlink(missing_ok=True)
        for name, directions in data.items():
            with atomic_path(self._path(name)) as path:
                write_directions(path, directions)
        for name in former:
            if name not in data:
                self._path(name).unlink(missing_ok=True)
        with atomic_path(self._filepath) as path:
            path.write_text(json.dumps(list(data), indent=2) + "\n", encoding="utf-8")

    def _listed(self) -> list[str]:
        """Read the list; names that would lead out of the folder are refused."""
        names = parse_json(self._filepath.read_text(encoding="utf-8"), str(self._filepath))
        if not isinstance(names, list) or any(
            not isinstance(name, str) or Path(name).name != name for name in names
        ):
            raise InputError(
                f"{self._filepath}: allowed is a list of names such as anger.gguf; delete it and "
                "run --pipelines=vector_export again"
            )
        return names

    def _path(self, name: str) -> Path:
        return self._folder / f"{self._model}_{name}"
