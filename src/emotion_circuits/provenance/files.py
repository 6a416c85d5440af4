"""Files of a result, by its dataset."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emotion_circuits.datasets.project_paths import relative_to_project

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol


def result_files(catalog: CatalogProtocol, name: str) -> list[Path] | None:
    """Return the files that hold a result.

    Args:
        catalog: Knows the dataset.
        name: The dataset's name.

    Returns:
        All files, or none if one of them is missing; None for a dataset that is not on disk.
    """
    dataset: Any = catalog.get(name)
    if hasattr(dataset, "files"):
        return list(dataset.files())
    path = getattr(dataset, "_filepath", None)
    if path is None:
        return None
    return [Path(path)] if Path(path).is_file() else []


def digests_of(files: list[Path], results: Path, digest: Callable[[Path], str]) -> dict[str, str]:
    """Return the digests of files by their paths in the results folder, or else in the project."""
    return {
        path.relative_to(results).as_posix()
        if path.is_relative_to(results)
        else relative_to_project(path): digest(path)
        for path in files
    }
