"""An append-only log of JSON objects, one per line."""

from __future__ import annotations

import json
import logging
import os
from typing import Any

import pandas as pd

from emotion_circuits.datasets.one_path import OnePathDataset

logger = logging.getLogger(__name__)


class EventLogDataset(OnePathDataset[dict[str, Any], pd.DataFrame]):
    """JSON lines: saving appends one object, loading returns all objects as a table.

    A log without a file is empty, and exists: its events may be written later in the same run.
    """

    def _exists(self) -> bool:
        return True

    def load(self) -> pd.DataFrame:
        """Read all events; nested objects remain dictionaries.

        A line that a kill cut off, or that is no object, is left out with a warning.
        """
        if not self._filepath.is_file():
            return pd.DataFrame()
        lines = self._filepath.read_text(encoding="utf-8", errors="replace").splitlines()
        events = [_read_event(line) for line in lines if line.strip()]
        if None in events:
            logger.warning(
                "%s has %d lines that cannot be read; they are left out",
                self._filepath,
                events.count(None),
            )
        return pd.DataFrame([event for event in events if event is not None])

    def save(self, data: dict[str, Any]) -> None:
        """Append one event, on a line of its own even if a kill cut off the last one.

        One write to a file opened for appending keeps lines of concurrent processes intact.

        Raises:
            OSError: If the whole line could not be written, as on a full disk.
        """
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        line = json.dumps(data, ensure_ascii=False, allow_nan=False) + "\n"
        flags = os.O_RDWR | os.O_CREAT | os.O_APPEND
        descriptor = os.open(self._filepath, flags, 0o666)
        try:
            start = "\n" if _is_torn(descriptor) else ""
            _write_all(descriptor, (start + line).encode("utf-8"))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _read_event(line: str) -> dict[str, Any] | None:
    try:
        event = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return event if isinstance(event, dict) else None


def _is_torn(descriptor: int) -> bool:
    """Return whether a file's last line lacks its end."""
    if os.lseek(descriptor, 0, os.SEEK_END) == 0:
        return False
    os.lseek(descriptor, -1, os.SEEK_END)
    return os.read(descriptor, 1) != b"\n"


def _write_all(descriptor: int, data: bytes) -> None:
    """Write all bytes; the operating system may take fewer at once, and raises on a full disk."""
    while data:
        data = data[os.write(descriptor, data) :]
