"""Digests of files, kept between runs so that a large file is read only once."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Final

from emotion_circuits.datasets.atomic import atomic_path

_NAME: Final = ".file_digests.json"


class FileDigests:
    """SHA-256 of files; a file whose size and time of change are as before is not read again."""

    def __init__(self, folder: Path) -> None:
        """Read the digests of earlier runs.

        Args:
            folder: Where they are kept; a missing or broken file counts as empty.
        """
        self._path = path = folder / _NAME
        self._known: dict[str, list[object]] = {}
        self._is_new = False
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            self._known = {str(name): list(entry) for name, entry in known.items()}
        except (OSError, ValueError, TypeError, AttributeError, RecursionError):
            pass

    def __call__(self, path: Path) -> str:
        """Return the digest of a file's content."""
        status = path.stat()
        name, state = str(path.resolve()), [status.st_size, status.st_mtime_ns]
        entry = self._known.get(name, [])
        if entry[:2] != state:
            with path.open("rb") as file:
                entry = [*state, hashlib.file_digest(file, "sha256").hexdigest()]
            self._known[name], self._is_new = entry, True
        return str(entry[2])

    def save(self) -> None:
        """Keep the digests of all files that still exist."""
        if not self._is_new:
            return
        known = {name: entry for name, entry in sorted(self._known.items()) if Path(name).is_file()}
        with atomic_path(self._path) as path:
            path.write_text(json.dumps(known, indent=0) + "\n", encoding="utf-8")
        self._is_new = False
