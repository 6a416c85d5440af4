"""Dataset for files of prompts in several formats; each record keeps its line number."""

from __future__ import annotations

import csv
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from emotion_circuits.datasets.dataset_tables import (
    is_saved_folder,
    read_datasets,
    read_parquet,
)
from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.datasets.project_paths import relative_to_project
from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts.column_names import DELIMITERS
from emotion_circuits.prompts.records import GOEMOTIONS_LABEL, PromptSource, SourceRecord

FORMATS = ("jsonl", "csv", "prompt_json", "goemotions", "parquet", "datasets")
_BY_SUFFIX = {
    ".jsonl": "jsonl",
    ".csv": "csv",
    ".json": "prompt_json",
    ".tsv": "goemotions",
    ".parquet": "parquet",
}


class PromptSourceDataset(AbstractDataset[NoReturn, PromptSource]):
    """Prompts: JSONL, CSV, prompt JSON, GoEmotions TSV, Parquet, or of the package datasets.

    Loading checks the format only; phase 1 checks the content of the records.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        format: str = "auto",
        label_names: str | None = None,
        delimiter: str = "comma",
        source_split: str | None = None,
        subset: str | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a file.

        Args:
            filepath: The file; for ``datasets``, a folder of ``save_to_disk`` or a name on the hub.
            format: One of ``FORMATS``, or ``auto`` to infer it from the suffix.
            label_names: For GoEmotions, the file with one label name per line.
            delimiter: For CSV, the name of the sign between fields, one of ``DELIMITERS``.
            source_split: For ``datasets``, the split to read; None if there is only one.
            subset: For ``datasets`` of the hub, the configuration; None for the only one.
            metadata: Used only by kedro-viz.
        """
        self._filepath = Path(filepath)
        self._format = format
        self._label_names = Path(label_names) if label_names else None
        self._delimiter = delimiter
        self._source_split = source_split
        self._subset = subset
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "format": self._format}

    def _exists(self) -> bool:
        return self._filepath.is_file() or is_saved_folder(self._filepath)

    def load(self) -> PromptSource:
        """Read all records.

        Raises:
            InputError: If the file is missing or not UTF-8, or a line is malformed; the message
                names file and line.
        """
        name = relative_to_project(self._filepath)
        kind = self._kind()
        if kind == "parquet":
            return PromptSource(name, tuple(read_parquet(self._filepath, name)))
        if kind == "datasets":
            records = read_datasets(
                self._filepath, name, split=self._source_split, subset=self._subset
            )
            return PromptSource(name, tuple(records))
        return PromptSource(name, tuple(self._read_text(kind, name)))

    def fingerprint(self, digest: Callable[[Path], str], *, ask: bool) -> dict[str, Any]:  # noqa: ARG002
        """Identify the records.

        Args:
            digest: Returns the digest of a file's content.
            ask: Without effect; these are files of this machine.

        Returns:
            The file's digest and what decides how it is read; of a dataset of several files or of
            the hub, a digest of its records.

        Raises:
            InputError: If such a dataset cannot be read.
        """
        how = {"format": self._format, "delimiter": self._delimiter, "split": self._source_split}
        if self._label_names is not None:
            how["label_names"] = _digest_or_missing(self._label_names, digest)
        if self._filepath.is_file() or (self._format != "datasets" and not self._exists()):
            return how | {"file": _digest_or_missing(self._filepath, digest)}
        records = repr([(record.line, record.fields) for record in self.load().records])
        return how | {"records": hashlib.sha256(records.encode()).hexdigest()}

    def _kind(self) -> str:
        kind = self._format
        if kind == "auto" and is_saved_folder(self._filepath):
            return "datasets"
        if kind == "auto":
            kind = _BY_SUFFIX.get(self._filepath.suffix, "")
        if kind not in FORMATS:
            raise unknown_name("dataset.format", kind or self._filepath.suffix, FORMATS)
        return kind

    def _read_text(self, kind: str, name: str) -> Iterator[SourceRecord]:
        text = read_utf8(self._filepath)
        if kind == "goemotions":
            if self._label_names is None:
                raise InputError(
                    f"{name}: dataset.label_names is missing; GoEmotions files need the file with "
                    "one label name a line"
                )
            return _read_goemotions(text, name, read_utf8(self._label_names).split())
        if kind == "csv":
            if self._delimiter not in DELIMITERS:
                raise unknown_name("dataset.delimiter", self._delimiter, DELIMITERS)
            return _read_csv(text, name, DELIMITERS[self._delimiter])
        return {"jsonl": _read_jsonl, "prompt_json": _read_prompt_json}[kind](text, name)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002
        """Raise an error; prompt files are read-only."""
        raise DatasetError(f"{self._filepath} is read-only")


def read_utf8(path: Path) -> str:
    """Read a text file.

    Raises:
        InputError: If the file is missing or not UTF-8; the message names the line.
    """
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}: byte 0x{data[error.start]:02x} is not UTF-8; save it as UTF-8"
        ) from error


def _read_jsonl(text: str, name: str) -> Iterator[SourceRecord]:
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = parse_json(line, name, number)
        if not isinstance(fields, dict):
            raise InputError(f"{name}, line {number}: {line[:40]!r} is not a JSON object")
        yield SourceRecord(number, fields)


def _read_csv(text: str, name: str, delimiter: str) -> Iterator[SourceRecord]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, delimiter=delimiter)
    try:
        header = next(reader, [])
        start = reader.line_num + 1
        for cells in reader:
            if cells and len(cells) != len(header):
                raise InputError(
                    f"{name}, line {start}: {len(cells)} fields, but the header has {len(header)}"
                )
            if cells:
                # An empty cell is a missing value, but an empty text is a mistake.
                fields: dict[str, Any] = {
                    key: value
                    for key, value in zip(header, cells, strict=True)
                    if value or key == "text"
                }
                yield SourceRecord(start, fields)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{name}, line {reader.line_num}: broken CSV: {error}") from error


def _read_prompt_json(text: str, name: str) -> Iterator[SourceRecord]:
    """Read ``{label: [text, …]}`` or a list of objects; records are numbered instead of lines."""
    data = parse_json(text, name)
    if isinstance(data, dict):
        for label, prompts in data.items():
            if not isinstance(prompts, list):
                raise InputError(
                    f"{name}: {label!r} has {str(prompts)[:40]!r}; allowed is a list of texts"
                )
        records: list[Any] = [
            {"emotion": label, "text": prompt}
            for label, prompts in data.items()
            for prompt in prompts
        ]
    elif isinstance(data, list):
        records = data
    else:
        raise InputError(f"{name}: prompt JSON is an object of lists, or a list of objects")
    for number, record in enumerate(records, start=1):
        if not isinstance(record, dict):
            raise InputError(f"{name}, record {number}: {str(record)[:40]!r} is not a JSON object")
        names = {"prompt": "text", "label": "emotion"}
        renamed = {names.get(str(key), str(key)): value for key, value in record.items()}
        yield SourceRecord(number, renamed, unit="record")


def _read_goemotions(text: str, name: str, labels: list[str]) -> Iterator[SourceRecord]:
    """Read the lines with a single label; the others are skipped."""
    for number, comment, named in read_goemotions_lines(text, name, labels):
        if len(named) == 1:
            yield SourceRecord(number, {"text": comment, GOEMOTIONS_LABEL: named[0]})


def _digest_or_missing(path: Path, digest: Callable[[Path], str]) -> str:
    return digest(path) if path.is_file() else "missing"


def _index(digits: str) -> int:
    """Read an index from 0; Python's ``int`` would also read -1, which counts from the end."""
    if not (digits.isascii() and digits.isdigit()):
        raise ValueError(digits)
    return int(digits)


def read_goemotions_lines(
    text: str, name: str, labels: list[str]
) -> Iterator[tuple[int, str, list[str]]]:
    """Read ``text<TAB>label indices<TAB>id`` lines without special treatment of quotes.

    Args:
        text: The file's content.
        name: The file's name in error messages.
        labels: Names of the labels.

    Yields:
        Line number, comment, and the names of its labels.

    Raises:
        InputError: If a line is malformed; the message names file and line.
    """
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        fields = line.rstrip("\r").split("\t")
        if len(fields) != 3:
            raise InputError(f"{name}, line {number}: {len(fields)} fields; GoEmotions has 3")
        try:
            named = [labels[_index(digits)] for digits in fields[1].split(",")]
        except (ValueError, IndexError) as error:
            raise InputError(
                f"{name}, line {number}: {fields[1][:40]!r} are not label indices from 0 to "
                f"{len(labels) - 1}"
            ) from error
        yield number, fields[0], named
