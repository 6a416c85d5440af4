"""Datasets for results: pickles, tables, JSON, texts and figures, each written atomically."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any, ClassVar

import pandas as pd
import plotly.graph_objects as go
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets.json import JSONDataset
from kedro_datasets.pandas import CSVDataset
from kedro_datasets.pandas import JSONDataset as JSONLinesDataset
from kedro_datasets.plotly import JSONDataset as PlotlyJSONDataset

from emotion_circuits.datasets.atomic import atomic_path
from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.datasets.one_path import OnePathDataset
from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError


def _require(path: str | os.PathLike[str]) -> None:
    """Raise a short error if a result does not exist yet."""
    if not Path(path).is_file():
        raise DatasetError(
            f"{path} is not there yet; `kedro run`, with the --env of its profile, makes it"
        )


class _Result:
    """Mixin for results that kedro-datasets reads; adds a short error for a missing file."""

    _filepath: Any

    def __init__(self, *, checkpoint: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Describe a result.

        Args:
            checkpoint: File from which a killed run resumes; deleted when this result is saved.
            options: Arguments of Kedro's dataset.
        """
        super().__init__(**options)
        self._checkpoint = None if checkpoint is None else Path(checkpoint)

    def _saved(self) -> None:
        """Forget what was read before, and the checkpoint, which is not needed any more."""
        self._invalidate_cache()  # type: ignore[attr-defined]
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)

    def load(self) -> Any:
        """Read the result.

        Raises:
            DatasetError: If the file does not exist.
            InputError: If its content is broken.
        """
        _require(self._filepath)
        try:
            return super().load()  # type: ignore[misc]
        except DatasetError as error:
            raise _broken(self._filepath, error.__cause__ or error) from error


def _broken(path: str | os.PathLike[str], reason: BaseException) -> BaseException:
    """Return the line for a file that cannot be parsed; other faults, of the disk, as they are."""
    if isinstance(reason, OSError):
        return reason
    problem = reason if isinstance(reason, InputError) else f"{path} is broken: {reason}"
    return InputError(f"{problem}; delete it, and the next run makes it again")


class ResultPickleDataset(AbstractDataset[Any, Any]):
    """A pickle of plain data: containers, numbers, texts, numpy arrays and torch tensors.

    It is read with an unpickler that refuses every other class.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        checkpoint: str | os.PathLike[str] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a result.

        Args:
            filepath: The file.
            checkpoint: File from which a killed run resumes; deleted when this result is saved.
            metadata: Used only by kedro-viz.
        """
        self._filepath = Path(filepath)
        self._checkpoint = None if checkpoint is None else Path(checkpoint)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def load(self) -> Any:
        """Read the object; tensors come back on the CPU.

        Raises:
            DatasetError: If the file does not exist.
            InputError: If the file is corrupt or holds anything but plain data.
        """
        _require(self._filepath)
        try:
            with self._filepath.open("rb") as file:
                return load_pickle(file)
        except InputError as error:
            raise InputError(f"{self._filepath}: {error}") from error

    def save(self, data: Any) -> None:
        """Write the object and replace the previous file."""
        with atomic_path(self._filepath) as path, path.open("wb") as file:
            pickle.dump(data, file, protocol=5)
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)


class ResultCSVDataset(_Result, CSVDataset):
    """A table as CSV without an index; kedro-viz previews it."""

    # Without low_memory, a column's type does not depend on how pandas splits the file.
    DEFAULT_LOAD_ARGS = {"low_memory": False}  # noqa: RUF012 - kedro-datasets' own is a plain dict

    def save(self, data: pd.DataFrame) -> None:
        """Write the table and replace the previous file."""
        with atomic_path(Path(self._filepath)) as path:
            data.to_csv(path, **self._save_args)
        self._saved()


class ResultJSONDataset(_Result, JSONDataset):
    """JSON with stable key order and an indent of two.

    NaN and infinity are refused, since JSON does not define them and readers differ.
    """

    def load(self) -> Any:
        """Read the data.

        Raises:
            DatasetError: If the file does not exist.
            InputError: If it is not JSON, or is nested deeper than 100 levels.
        """
        _require(self._filepath)
        try:
            text = Path(self._filepath).read_text(encoding="utf-8")
            return parse_json(text, str(self._filepath))
        except ValueError as error:
            raise _broken(self._filepath, error) from error

    def save(self, data: Any) -> None:
        """Write the data and replace the previous file."""
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        with atomic_path(Path(self._filepath)) as path:
            path.write_text(text + "\n", encoding="utf-8")
        self._saved()


class ResultJSONLinesDataset(_Result, JSONLinesDataset):
    """A table as JSON lines, one object per record, with keys in the order of the columns."""

    # Without dtype=False, pandas converts texts that look like dates or numbers.
    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"lines": True, "dtype": False}

    def save(self, data: pd.DataFrame) -> None:
        """Write the table and replace the previous file."""
        records = data.to_dict(orient="records")
        lines = [json.dumps(record, ensure_ascii=False, allow_nan=False) for record in records]
        text = "".join(f"{line}\n" for line in lines)
        with atomic_path(Path(self._filepath)) as path:
            path.write_text(text, encoding="utf-8")
        self._invalidate_cache()


class ResultTextDataset(OnePathDataset[str, str]):
    """A text file in UTF-8."""

    def load(self) -> str:
        """Read the text.

        Raises:
            InputError: If the file is not UTF-8.
        """
        _require(self._filepath)
        try:
            return self._filepath.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise _broken(self._filepath, error) from error

    def save(self, data: str) -> None:
        """Write the text and replace the previous file."""
        with atomic_path(self._filepath) as path:
            path.write_text(data, encoding="utf-8")


class ResultPlotlyDataset(_Result, PlotlyJSONDataset):
    """A Plotly figure as JSON; kedro-viz draws it."""

    def save(self, data: go.Figure) -> None:
        """Write the figure and replace the previous file."""
        with atomic_path(Path(self._filepath)) as path:
            data.write_json(path, **self._save_args)
        self._invalidate_cache()
