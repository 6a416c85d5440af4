"""Paths relative to the project's root, independent of the working directory."""

from __future__ import annotations

from pathlib import Path

from kedro.utils import find_kedro_project

from emotion_circuits.datasets.pretrained_folder import recover_trained


def find_in_project(source: str) -> str:
    """Return the absolute path of a model that a profile names relative to the project's root.

    Args:
        source: A folder or file in the project. Anything else, such as a hub id, is returned
            unchanged. A folder that a kill left half replaced is put back first.
    """
    root = find_kedro_project(Path.cwd())
    if root is None:
        return source
    if not (root / source).exists():
        recover_trained(root / source)
    return str(root / source) if (root / source).exists() else source


def relative_to_project(path: Path) -> str:
    """Return a path in the project relative to its root; return any other path unchanged.

    Results name their input files by such paths, so that they are equal on all machines and do not
    reveal where the project is stored.
    """
    root = find_kedro_project(Path.cwd())
    inside = root is not None and path.is_absolute() and path.is_relative_to(root)
    return path.relative_to(root).as_posix() if root is not None and inside else str(path)
