"""Records from tables of the package datasets: hub names, saved folders, and Parquet files."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts.records import GOEMOTIONS_LABEL, SourceRecord

if TYPE_CHECKING:
    from datasets import Dataset

PACKAGES: Final = ("datasets", "pyarrow")
# A folder that ``save_to_disk`` wrote has one of these: of one table, or of several splits.
_SAVED: Final = ("dataset_info.json", "dataset_dict.json")


def is_saved_folder(path: Path) -> bool:
    """Return whether a folder was written by ``save_to_disk`` of the package datasets."""
    return any((path / name).is_file() for name in _SAVED)


def read_parquet(path: Path, name: str) -> Iterator[SourceRecord]:
    """Read a Parquet file.

    Args:
        path: The file.
        name: The file's name in messages.

    Raises:
        InputError: If a package is missing, or the file is missing or broken.
    """
    _require_packages(name)
    import pyarrow
    from pyarrow import parquet

    from datasets import Dataset

    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    try:
        table = Dataset(parquet.read_table(path))
    except (pyarrow.ArrowException, OSError) as error:
        raise InputError(f"{name}: this is no whole Parquet file: {_first(error)}") from error
    return _records(table)


def read_datasets(
    path: Path, name: str, *, split: str | None, subset: str | None
) -> Iterator[SourceRecord]:
    """Read a folder that ``save_to_disk`` wrote, or a dataset of the hub.

    Args:
        path: The folder; if it is not there, ``name`` is one of the hub.
        name: Its name in messages, relative to the project.
        split: The split to read; None if there is only one.
        subset: The dataset's configuration on the hub; None for its only one.

    Raises:
        InputError: If a package is missing, the dataset cannot be read, or the split is not there
            or not named.
    """
    _require_packages(name)
    from kedro_datasets.huggingface import ArrowDataset, HFDataset

    from datasets import DatasetDict

    try:
        if path.is_dir():
            tables = ArrowDataset(path=str(path.absolute())).load()
        else:
            # Since version 4, datasets runs no code of a dataset.
            tables = HFDataset(dataset_name=name, dataset_kwargs={"name": subset}).load()
    # The network, the hub, or a folder's content: whatever the package comes upon.
    except Exception as error:
        raise InputError(
            f"{name}: cannot be read as a folder of save_to_disk or from the hub: {_first(error)}"
        ) from error
    if not isinstance(tables, DatasetDict):
        tables = DatasetDict({str(tables.split or "all"): tables})
    if split is None and len(tables) > 1:
        raise InputError(
            f"{name}: dataset.source_split is not given; known: {', '.join(map(str, tables))}"
        )
    chosen = next(iter(tables)) if split is None else split
    if chosen not in tables:
        raise unknown_name("dataset.source_split", chosen, tables, where=name)
    return _records(tables[chosen])


def _require_packages(name: str) -> None:
    missing = [package for package in PACKAGES if importlib.util.find_spec(package) is None]
    if missing:
        raise InputError(
            f"{name}: this format is read with the package {missing[0]}; install "
            "emotion-circuits[data]"
        )


def _first(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).split("\n")[0]


def _records(table: Dataset) -> Iterator[SourceRecord]:
    """Yield a table's lines, with the names of labels in the place of their numbers.

    A column that holds lists of labels is GoEmotions': lines with one label are read, under it.
    """
    from datasets import ClassLabel, List

    names = {
        column: feature.names
        for column, feature in table.features.items()
        if isinstance(feature, ClassLabel)
    }
    listed = {
        column: feature.feature.names
        for column, feature in table.features.items()
        if isinstance(feature, List) and isinstance(feature.feature, ClassLabel)
    }
    for number, line in enumerate(table, start=1):
        fields = {
            column: _named(value, names[column]) if column in names else value
            for column, value in line.items()
            if value is not None and column not in listed
        }
        labels = {column: line[column] or [] for column in listed}
        if all(len(numbers) == 1 for numbers in labels.values()):
            for column, numbers in labels.items():
                fields[GOEMOTIONS_LABEL] = _named(numbers[0], listed[column])
            yield SourceRecord(number, fields, unit="record")


def _named(number: int, names: list[str]) -> str:
    """Return a label's name; datasets gives unlabelled lines the number -1."""
    return names[number] if number >= 0 else ""
