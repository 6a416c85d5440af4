"""Catalog datasets for results: pickles, tables, JSON and figures, each written atomically."""

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
from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError


def _require(path: str | os.PathLike[str]) -> None:
    """Refuse to read a file that is not there, instead of stacking tracebacks."""
    if not Path(path).is_file():
        raise DatasetError(
            f"{path} is not there yet; `kedro run`, with the --env of its profile, makes it"
        )


class _Result:
    """A result that kedro-datasets reads, if it is there."""

    _filepath: Any

    def load(self) -> Any:
        """Read the result.

        Raises:
            DatasetError: If it is not there.
        """
        _require(self._filepath)
        return super().load()  # type: ignore[misc]


class ResultPickleDataset(AbstractDataset[Any, Any]):
    """A pickle of plain data: containers, numbers, numpy arrays and torch tensors.

    Written atomically, and read with an unpickler that refuses every other class by its name.
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
            checkpoint: What a killed run would have gone on from; deleted once this is saved.
            metadata: Ignored here; read by kedro-viz.
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
            DatasetError: If the file is not there.
            InputError: If it is broken or holds anything but plain data.
        """
        _require(self._filepath)
        try:
            with self._filepath.open("rb") as file:
                return load_pickle(file)
        except InputError as error:
            raise InputError(f"{self._filepath}: {error}") from error

    def save(self, data: Any) -> None:
        """Write the object in place of the file's former content."""
        with atomic_path(self._filepath) as path, path.open("wb") as file:
            pickle.dump(data, file, protocol=5)
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)


class ResultCSVDataset(_Result, CSVDataset):
    """A table as CSV without an index, written atomically; kedro-viz previews it."""

    # Read whole: piece by piece a column's type would depend on where a file is cut.
    DEFAULT_LOAD_ARGS = {"low_memory": False}  # noqa: RUF012 - kedro-datasets' own is a plain dict

    def save(self, data: pd.DataFrame) -> None:
        """Write the table in place of the file's former content."""
        with atomic_path(Path(self._filepath)) as path:
            data.to_csv(path, **self._save_args)
        self._invalidate_cache()


class ResultJSONDataset(_Result, JSONDataset):
    """JSON with stable key order and two spaces of indent, written atomically.

    NaN and infinities are refused: JSON has no such numbers, and readers differ on them.
    """

    def __init__(self, *, checkpoint: str | os.PathLike[str] | None = None, **options: Any) -> None:
        """Describe a result.

        Args:
            checkpoint: What a killed run would have gone on from; deleted once this is saved.
            options: Of Kedro's own dataset.
        """
        super().__init__(**options)
        self._checkpoint = None if checkpoint is None else Path(checkpoint)

    def save(self, data: Any) -> None:
        """Write the data in place of the file's former content."""
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
        with atomic_path(Path(self._filepath)) as path:
            path.write_text(text + "\n", encoding="utf-8")
        self._invalidate_cache()
        if self._checkpoint is not None:
            self._checkpoint.unlink(missing_ok=True)


class ResultJSONLinesDataset(_Result, JSONLinesDataset):
    """A table as JSON lines, one object a row in the order of the columns, written atomically."""

    # Without dtype=False, pandas would turn texts that look like dates or numbers into them.
    DEFAULT_LOAD_ARGS: ClassVar[dict[str, Any]] = {"lines": True, "dtype": False}

    def save(self, data: pd.DataFrame) -> None:
        """Write the table in place of the file's former content."""
        rows = data.to_dict(orient="records")
        text = "".join(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n" for row in rows)
        with atomic_path(Path(self._filepath)) as path:
            path.write_text(text, encoding="utf-8")
        self._invalidate_cache()


class ResultTextDataset(AbstractDataset[str, str]):
    """A text file in UTF-8, written atomically."""

    def __init__(
        self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def load(self) -> str:
        """Read the text."""
        return self._filepath.read_text(encoding="utf-8")

    def save(self, data: str) -> None:
        """Write the text in place of the file's former content."""
        with atomic_path(self._filepath) as path:
            path.write_text(data, encoding="utf-8")


class ResultPlotlyDataset(_Result, PlotlyJSONDataset):
    """A plotly figure as JSON, written atomically; kedro-viz draws it."""

    def save(self, data: go.Figure) -> None:
        """Write the figure in place of the file's former content."""
        with atomic_path(Path(self._filepath)) as path:
            data.write_json(path, **self._save_args)
        self._invalidate_cache()
