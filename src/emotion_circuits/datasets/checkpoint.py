"""Dataset for the checkpoint that holds a sweep's finished rows until its result is saved."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import DatasetError

from emotion_circuits.datasets.one_path import OnePathDataset
from emotion_circuits.interventions import Checkpoint


class CheckpointDataset(OnePathDataset[NoReturn, Checkpoint]):
    """A sweep's checkpoint; it always exists, possibly empty.

    The dataset of the sweep's result has the same path as its ``checkpoint`` and deletes the file
    when the result is saved.
    """

    def fingerprint(self, digest: Callable[[Path], str], *, ask: bool) -> dict[str, Any]:  # noqa: ARG002
        """Return nothing: whether a sweep was resumed changes no result."""
        return {}

    def _exists(self) -> bool:
        return True

    def load(self) -> Checkpoint:
        """Return the checkpoint, which the sweep reads and writes."""
        return Checkpoint(self._filepath)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; only the sweep writes its checkpoint."""
        raise DatasetError(f"{self._filepath} is written by its sweep alone")
