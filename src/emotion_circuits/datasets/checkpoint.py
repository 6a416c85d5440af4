"""Where a sweep keeps its finished rows until its result is saved."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.interventions import Checkpoint


class CheckpointDataset(AbstractDataset[NoReturn, Checkpoint]):
    """A private checkpoint, whether or not there is anything in it yet.

    The result that makes it needless names the same path as its ``checkpoint`` and deletes it.
    """

    def __init__(
        self, *, filepath: str | os.PathLike[str], metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}

    def _exists(self) -> bool:
        return True

    def load(self) -> Checkpoint:
        """Give the checkpoint; the sweep reads and writes it."""
        return Checkpoint(self._filepath)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Refuse: only a sweep writes its checkpoint."""
        raise DatasetError(f"{self._filepath} is written by its sweep alone")
