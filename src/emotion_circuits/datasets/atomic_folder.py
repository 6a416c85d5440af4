"""Atomic writes of folders: a reader sees the old folder or the new one, even after a kill."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp

from emotion_circuits.datasets.atomic import flush_to_disk
from emotion_circuits.process_identity import ProcessIdentity


@contextmanager
def atomic_folder(target: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``target``, which replaces it on success.

    A folder cannot be replaced in one step. A kill between the two steps leaves no ``target``;
    ``recover_folder`` then puts the old folder or the whole new one in its place.

    Args:
        target: The final path. Missing parent folders are created.

    Yields:
        An empty folder.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    me = ProcessIdentity.of_this_process()
    fresh, former = (
        Path(mkdtemp(prefix=f".{target.name}.{kind}.{me.pid}.{me.started:.0f}.", dir=target.parent))
        for kind in ("new", "old")
    )
    fresh.chmod(0o755)
    try:
        yield fresh
        for path in fresh.iterdir():
            if path.is_file():
                flush_to_disk(path)
        if target.exists():
            target.replace(former / "folder")
        fresh.replace(target)
        flush_to_disk(target.parent)
    finally:
        if not target.exists() and (former / "folder").exists():
            (former / "folder").replace(target)
        shutil.rmtree(former, ignore_errors=True)
        shutil.rmtree(fresh, ignore_errors=True)


def recover_folder(target: Path, is_whole: Callable[[Path], bool]) -> bool:
    """Put a folder back whose replacement was cut off by a kill, and remove what that left.

    Args:
        target: The folder that ``atomic_folder`` replaces.
        is_whole: Tells whether a new folder was written to its end.

    Returns:
        Whether a folder was put into its place.
    """
    if not target.parent.is_dir():
        return False
    new = [path for path in _left(target, "new") if is_whole(path)]
    old = [path / "folder" for path in _left(target, "old") if (path / "folder").is_dir()]
    recovered = not target.exists() and bool(new or old)
    if recovered:
        (new or old)[0].replace(target)
    for kind in ("new", "old"):
        for path in _left(target, kind):
            shutil.rmtree(path)
    return recovered


def _left(target: Path, kind: str) -> list[Path]:
    """Find temporary folders of processes that have ended, the newest first."""
    prefix = f".{target.name}.{kind}."
    paths = [path for path in target.parent.glob(f"{prefix}*") if _has_ended(path, prefix)]
    return sorted(paths, key=lambda path: path.stat().st_mtime_ns, reverse=True)


def _has_ended(path: Path, prefix: str) -> bool:
    pid, _, rest = path.name.removeprefix(prefix).partition(".")
    started = rest.partition(".")[0]
    if not (pid.isdecimal() and started.isdecimal()):
        return False
    host = ProcessIdentity.of_this_process().host
    return not ProcessIdentity(int(pid), float(started), host).is_alive()
