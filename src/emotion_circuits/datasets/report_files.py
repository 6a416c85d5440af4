"""Dataset for the files of a report in one folder."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from kedro.io import AbstractDataset

from emotion_circuits.datasets.atomic import atomic_path

_ENDINGS: Final = (".md", ".svg")


class ReportFilesDataset(AbstractDataset[Mapping[str, str], dict[str, str]]):
    """Markdown files in a folder, and SVG files in its subfolder ``figures``.

    Saving deletes the Markdown and SVG files of an earlier report that the new one lacks; other
    files stay.
    """

    def __init__(
        self, *, folder: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        """Describe the files.

        Args:
            folder: Folder of the report.
            metadata: Used only by kedro-viz.
        """
        self._folder = Path(folder)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"folder": str(self._folder)}

    def _exists(self) -> bool:
        return bool(self._files())

    def _files(self) -> list[Path]:
        folders = (self._folder, self._folder / "figures")
        return sorted(
            path
            for folder in folders
            if folder.is_dir()
            for path in folder.iterdir()
            if path.suffix in _ENDINGS and path.is_file()
        )

    def load(self) -> dict[str, str]:
        """Read all files: text by path relative to the folder, with ``/``."""
        return {
            path.relative_to(self._folder).as_posix(): path.read_text(encoding="utf-8")
            for path in self._files()
        }

    def save(self, data: Mapping[str, str]) -> None:
        """Write the files, and delete those of an earlier report.

        Raises:
            ValueError: If a name is not that of a Markdown file, or of an SVG file in ``figures``.
        """
        for name in data:
            parts = Path(name).parts
            if parts[:-1] not in ((), ("figures",)) or Path(name).suffix not in _ENDINGS:
                raise ValueError(
                    f"a report's file is named {name!r}; allowed are x.md, figures/x.svg"
                )
        for name, text in data.items():
            with atomic_path(self._folder / name) as path:
                path.write_text(text, encoding="utf-8")
        for path in self._files():
            if path.relative_to(self._folder).as_posix() not in data:
                path.unlink()
