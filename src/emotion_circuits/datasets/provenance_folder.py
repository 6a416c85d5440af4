"""Dataset for the records of how a profile's results were made."""

from __future__ import annotations

from typing import NoReturn

import pandas as pd
from kedro.io import DatasetError

from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.datasets.one_path import OnePathDataset


class ProvenanceDataset(OnePathDataset[NoReturn, pd.DataFrame]):
    """A folder with one JSON file for each result; runs write it, notebooks read it as a table."""

    def _exists(self) -> bool:
        return self._filepath.is_dir()

    def load(self) -> pd.DataFrame:
        """Read all records.

        Returns:
            One line per result: ``dataset``, ``node``, ``version``, ``digest``, and the tables
            ``parameters``, ``inputs``, ``before`` and ``files``.

        Raises:
            InputError: If a record is not JSON.
        """
        paths = [path for path in sorted(self._filepath.glob("*.json")) if path.name[0] != "."]
        return pd.DataFrame([parse_json(path.read_text("utf-8"), str(path)) for path in paths])

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; only runs write records."""
        raise DatasetError(f"{self._filepath} is written by runs alone")
