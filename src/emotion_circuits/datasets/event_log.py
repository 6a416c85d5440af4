"""A log of JSON objects, one a line, that only ever grows."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset


class EventLogDataset(AbstractDataset[dict[str, Any], pd.DataFrame]):
    """JSON lines: saving appends one object, loading gives all of them as a table."""

    def __init__(
        self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()

    def load(self) -> pd.DataFrame:
        """Read all events; nested objects stay dictionaries in their cells."""
        lines = self._filepath.read_text(encoding="utf-8").splitlines()
        return pd.DataFrame([json.loads(line) for line in lines if line])

    def save(self, data: dict[str, Any]) -> None:
        """Append one event.

        The line goes out in a single write to a file opened for appending, so that events of
        several processes never mix within a line.
        """
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self._filepath, flags, 0o666)
        try:
            os.write(descriptor, line.encode("utf-8"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
