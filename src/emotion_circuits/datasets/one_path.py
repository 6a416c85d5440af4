"""Base of datasets that are described by one path."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, TypeVar

from kedro.io import AbstractDataset

_Saved = TypeVar("_Saved")
_Loaded = TypeVar("_Loaded")


class OnePathDataset(AbstractDataset[_Saved, _Loaded]):
    """A dataset of one file, which exists if the file does; a subclass loads and saves it."""

    def __init__(
        self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        """Describe a file.

        Args:
            filepath: The file.
            metadata: Used only by kedro-viz.
        """
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return self._filepath.is_file()
