"""Dataset for a GoEmotions file, with all labels of each comment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.project_paths import relative_to_project
from emotion_circuits.datasets.prompt_source import read_goemotions_lines, read_utf8
from emotion_circuits.errors import InputError


class GoEmotionsDataset(AbstractDataset[NoReturn, pd.DataFrame]):
    """A TSV file of comments: text, indices of labels, id (Demszky et al. 2020)."""

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str] | None,
        label_names: str | os.PathLike[str] | None,
        parameter: str = "filepath",
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a file.

        Args:
            filepath: The comments; None if the user has no such file.
            label_names: The file with one label name per line, or None.
            parameter: Name of the parameter that gives the file, for the error without it.
            metadata: Used only by kedro-viz.
        """
        self._filepath = Path(filepath) if filepath else None
        self._label_names = Path(label_names) if label_names else None
        self._parameter = parameter
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "label_names": str(self._label_names)}

    def _exists(self) -> bool:
        return self._filepath is not None and self._filepath.is_file()

    def load(self) -> pd.DataFrame:
        """Read all comments.

        Returns:
            ``text``, and for each label a column of booleans, in the order of the label file.

        Raises:
            InputError: If a file is not given or missing, or a line is malformed; the message
                names it.
        """
        if self._filepath is None or self._label_names is None:
            missing = self._parameter if self._filepath is None else "goemotions_labels"
            raise InputError(f"{missing} is not given")
        labels = read_utf8(self._label_names).split()
        lines = read_goemotions_lines(
            read_utf8(self._filepath), relative_to_project(self._filepath), labels
        )
        texts, named = zip(*((text, set(names)) for _, text, names in lines), strict=True)
        columns = {label: [label in names for names in named] for label in labels}
        return pd.DataFrame({"text": texts, **columns})

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; the file is read-only."""
        raise DatasetError(f"{self._filepath} is read-only")
