"""Lock of a results folder: one run at a time writes to it."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from emotion_circuits.errors import InputError
from emotion_circuits.process_identity import ProcessIdentity

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger(__name__)

LOCK_NAME: Final = ".lock"
# More than runs that could remove an empty folder just before this one opens its lock.
_ATTEMPTS: Final = 100


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a results folder.

    The lock of a process that has ended is taken over, with one line in the log. Folders that did
    not exist before and in which nothing was written are removed again.

    Args:
        folder: The results folder of one profile.

    Raises:
        InputError: If another process holds the lock, or the folder cannot be written.
    """
    path = folder / LOCK_NAME
    created: list[Path] = []
    try:
        try:
            created = [place for place in (folder, *folder.parents) if not place.exists()]
            me = _take(path)
        except OSError as error:
            raise InputError(
                f"results folder {str(folder)!r} cannot be written: {error.strerror or error}"
            ) from error
        try:
            yield
        finally:
            _release(path, me)
    finally:
        _remove_empty(created)


def _take(path: Path) -> ProcessIdentity:
    """Write this process into the lock file, unless a running process is there; return it."""
    me = ProcessIdentity.of_this_process()
    with _alone_with(path) as descriptor:
        holder = _read(descriptor)
        if holder is not None and holder.is_alive():
            raise InputError(
                f"results folder {str(path.parent)!r} is in use by {holder}; wait until that run "
                f"is done, use another results_root, or, if it is no run, delete {path}"
            )
        if holder is not None:
            logger.warning("The results folder's lock is taken over from %s; it has ended", holder)
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, json.dumps(me._asdict()).encode())
        os.fsync(descriptor)
    return me


def _release(path: Path, me: ProcessIdentity) -> None:
    """Delete the lock file, unless it was deleted by hand and another run holds it now."""
    with _alone_with(path) as descriptor:
        if _read(descriptor) in (None, me):
            path.unlink()


def _read(descriptor: int) -> ProcessIdentity | None:
    """Read the holder; None for an empty or torn file, whose writer never held the lock."""
    try:
        values = json.loads(os.read(descriptor, 4096))
        return ProcessIdentity(int(values["pid"]), float(values["started"]), str(values["host"]))
    except (ValueError, KeyError, TypeError):
        return None


@contextmanager
def _alone_with(path: Path) -> Iterator[int]:
    """Open the lock file; no other process of this package reads or writes it meanwhile."""
    while True:
        descriptor = _open(path)
        try:
            if fcntl is not None:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                # The former holder may have deleted the file while this process waited for it.
                if not _is_at(descriptor, path):
                    continue
            yield descriptor
            return
        finally:
            os.close(descriptor)


def _open(path: Path) -> int:
    """Open the lock file and create it and its folder, which other runs may be removing."""
    for remaining in reversed(range(_ATTEMPTS)):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            return os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except (FileNotFoundError, FileExistsError):
            if not remaining:
                raise
    raise AssertionError


def _is_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def _remove_empty(folders: list[Path]) -> None:
    """Remove folders, the innermost first, up to the first that has files."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return
