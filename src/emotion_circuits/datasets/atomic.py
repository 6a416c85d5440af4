"""Writing a file so that it is either the old one or the new one, never half of it."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``target``; it takes the target's place on success.

    The temporary file is flushed to disk before the rename and deleted when the block raises, so
    a killed run leaves the previous file, or none, and a reader never sees a partial one.

    Args:
        target: Where the file shall be. Missing parent folders are created.

    Yields:
        A path in the same folder to write to. It keeps the target's suffix, since some writers
        choose their format by it.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(
        prefix=f".{target.stem}.", suffix=f".tmp{target.suffix}", dir=target.parent
    )
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        _flush_to_disk(temporary)
        # mkstemp makes private files; results are meant to be shared like any other file.
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(target)
        _flush_to_disk(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _flush_to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":
        return  # Windows cannot open a folder
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
