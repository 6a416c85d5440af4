"""An append-only log of JSON objects, one per line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset


class EventLogDataset(AbstractDataset[dict[str, Any], pd.DataFrame]):
    """JSON lines: saving appends one object, loading returns all objects as a table.

    A log without a file is empty, and exists: its events may be written later in the same run.
    """

    def __init__(
        self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return True

    def load(self) -> pd.DataFrame:
        """Read all events; nested objects remain dictionaries."""
        if not self._filepath.is_file():
            return pd.DataFrame()
        lines = self._filepath.read_text(encoding="utf-8").splitlines()
        return pd.DataFrame([json.loads(line) for line in lines if line])

    def save(self, data: dict[str, Any]) -> None:
        """Append one event.

        One write to a file opened for appending keeps lines of concurrent processes intact.
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
