"""Dataset for all result files of a folder, which are read on demand."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError

# Timings differ from run to run, records of provenance from profile to profile, and comparisons are
# not results of the study.
_LEFT_OUT: Final = frozenset({"timing", "compare", "provenance"})


class ResultsFolderDataset(AbstractDataset[NoReturn, dict[str, Callable[[], Any]]]):
    """The result files of a folder, by their paths within it.

    Loading returns for each file a function that reads it: CSV and JSON lines as a table, JSON and
    pickles as containers, Markdown, HTML and text files as text, and any other file as bytes.
    Timings, comparisons, records of provenance and hidden files, such as checkpoints, are left out.
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
            name: The runtime parameter that names the folder, for messages.
            filepath: The folder; None if the parameter is missing.
            metadata: Used only by kedro-viz.
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
            InputError: If the parameter or the folder is missing, or the folder has no results.
        """
        if self._folder is None:
            raise InputError(
                f"{self._name} is missing; give two results folders: "
                "--params=reference=<folder>,candidate=<folder>"
            )
        if not self._folder.is_dir():
            raise InputError(f"{self._name}: there is no folder {str(self._folder)!r}")
        readers: dict[str, Callable[[], Any]] = {}
        for path in sorted(self._folder.rglob("*")):
            parts = path.relative_to(self._folder).parts
            hidden = any(part.startswith(".") for part in parts)
            if path.is_file() and not hidden and not _LEFT_OUT.intersection(parts[:-1]):
                readers["/".join(parts)] = partial(read_result, path)
        if not readers:
            raise InputError(f"{self._name}: folder {str(self._folder)!r} holds no results")
        return readers

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; the folder is read-only."""
        raise DatasetError(f"{self._folder} is read-only")


def read_result(path: Path) -> Any:
    """Read one result file in the format of its suffix.

    Raises:
        InputError: If the content does not match the suffix; the message names the file.
    """
    try:
        match path.suffix:
            case ".csv":
                return pd.read_csv(path, low_memory=False)
            case ".jsonl":
                return pd.read_json(path, lines=True, dtype=False)
            case ".json":
                return parse_json(path.read_text(encoding="utf-8"), path.name)
            case ".pkl":
                with path.open("rb") as file:
                    return load_pickle(file)
            case ".md" | ".html" | ".txt":
                return path.read_text(encoding="utf-8")
        return path.read_bytes()
    except (ValueError, OSError) as error:
        raise InputError(f"{path}: {error}") from error
