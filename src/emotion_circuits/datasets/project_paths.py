"""Paths inside the project: found from anywhere in it, and written without where it lies."""

from __future__ import annotations

from pathlib import Path

from kedro.utils import find_kedro_project


def find_in_project(source: str) -> str:
    """Give the folder that a profile names relative to the project, from wherever a run started.

    Args:
        source: A folder, or a hub id, which is given back as it is.
    """
    root = find_kedro_project(Path.cwd())
    return str(root / source) if root is not None and (root / source).is_dir() else source


def relative_to_project(path: Path) -> str:
    """Write a path inside the project relative to it, and any other one as it is.

    Results name the files they were made from; where the project lies is nobody's business, and
    would differ between two machines that have the same results.
    """
    root = find_kedro_project(Path.cwd())
    inside = root is not None and path.is_absolute() and path.is_relative_to(root)
    return path.relative_to(root).as_posix() if root is not None and inside else str(path)
