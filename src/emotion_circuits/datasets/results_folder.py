"""All results of a folder, each read when it is asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError

# Run times differ from run to run, and a comparison is no result of the study.
_LEFT_OUT: Final = frozenset({"timing", "compare"})


class ResultsFolderDataset(AbstractDataset[NoReturn, dict[str, Callable[[], Any]]]):
    """The result files of a folder, by their paths within it.

    Loading gives a function for each file that reads it: CSV and JSON lines to a table, JSON and
    pickles to containers, anything else to its bytes. Run times, checkpoints and hidden files are
    left out.
    """

    def __init__(
        self,
        *,
        name: str,
        filepath: str | os.PathLike[str] | None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a folder.

        Args:
            name: Its parameter, for messages.
            filepath: The folder; None if it was not given.
            metadata: Ignored here; read by kedro-viz.
        """
        self._name = name
        self._folder = None if filepath is None else Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"name": self._name, "filepath": str(self._folder)}

    def _exists(self) -> bool:
        return self._folder is not None and self._folder.is_dir()

    def load(self) -> dict[str, Callable[[], Any]]:
        """Find all files.

        Raises:
            InputError: If the folder was not given, is not there or holds no result.
        """
        if self._folder is None:
            raise InputError(
                f"{self._name} is missing; give two results folders: "
                "--params=reference=<folder>,candidate=<folder>"
            )
        if not self._folder.is_dir():
            raise InputError(f"{self._name}: there is no folder {str(self._folder)!r}")
        found: dict[str, Callable[[], Any]] = {}
        for path in sorted(self._folder.rglob("*")):
            parts = path.relative_to(self._folder).parts
            hidden = any(part.startswith(".") for part in parts)
            if path.is_file() and not hidden and not _LEFT_OUT.intersection(parts[:-1]):
                found["/".join(parts)] = partial(read_result, path)
        if not found:
            raise InputError(f"{self._name}: folder {str(self._folder)!r} holds no results")
        return found

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Refuse: whole folders are read only."""
        raise DatasetError(f"{self._folder} is read-only")


def read_result(path: Path) -> Any:
    """Read one result file by its suffix.

    Raises:
        InputError: If it is not what its suffix says; the line names the file.
    """
    try:
        match path.suffix:
            case ".csv":
                return pd.read_csv(path, low_memory=False)
            case ".jsonl":
                return pd.read_json(path, lines=True, dtype=False)
            case ".json":
                return json.loads(path.read_text(encoding="utf-8"))
            case ".pkl":
                with path.open("rb") as file:
                    return load_pickle(file)
            case ".md" | ".html" | ".txt":
                return path.read_text(encoding="utf-8")
        return path.read_bytes()
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: {error}") from error
