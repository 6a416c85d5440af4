"""The record of how one result was made, and the folder of all records of a profile."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Final

from emotion_circuits.datasets.atomic import atomic_path
from emotion_circuits.errors import InputError

_PLANNED: Final = ".planned.json"


@dataclass(frozen=True)
class Record:
    """How one result was made.

    Attributes:
        dataset: The result's name in the catalog.
        node: The node that made it.
        version: Version of this package.
        digest: Digest of the node's name, the version, the parameters that it read and the digests
            of its inputs, and so of all that came before it.
        parameters: Values that the node read and that affect results, by dotted name.
        inputs: Digest of each input.
        before: The same of all nodes before it: parameters, and digests of data and models. A
            value that differed between two of them is a table ``{mixed: [value, value]}``.
        files: SHA-256 of the result's files, by path in the profile's results folder.
    """

    dataset: str
    node: str
    version: str
    digest: str
    parameters: Mapping[str, Any]
    inputs: Mapping[str, str]
    before: Mapping[str, Any]
    files: Mapping[str, str]

    @property
    def conditions(self) -> dict[str, Any]:
        """All values that the result depends on, by name."""
        return {**self.before, **self.parameters}

    @classmethod
    def from_json(cls, values: Any) -> Record:
        """Read a record.

        Raises:
            ValueError: If it has another form.
        """
        texts, tables = ("dataset", "node", "version", "digest"), ("parameters", "inputs", "before")
        if (
            not isinstance(values, dict)
            or set(values) != {field.name for field in fields(cls)}
            or not all(isinstance(values[name], str) for name in texts)
            or not all(isinstance(values[name], dict) for name in (*tables, "files"))
        ):
            raise ValueError("this is no record of a result")
        return cls(**values)


class RecordFolder:
    """The records of a profile's results, one file each, and those of results to come."""

    def __init__(self, path: Path) -> None:
        """Describe a folder without touching the disk."""
        self.path = path

    def _file(self, dataset: str) -> Path:
        return self.path / f"{dataset}.json"

    def read(self, dataset: str) -> Record | None:
        """Return a result's record; None if there is none or it is broken."""
        try:
            return Record.from_json(json.loads(self._file(dataset).read_text(encoding="utf-8")))
        except (OSError, ValueError, RecursionError):
            return None

    def write(self, record: Record) -> None:
        """Write a record and replace the former one."""
        with atomic_path(self._file(record.dataset)) as path:
            text = json.dumps(asdict(record), indent=1, ensure_ascii=False)
            path.write_text(text + "\n", encoding="utf-8")

    def all(self) -> Iterator[Record]:
        """Yield all records that can be read, by the names of their results."""
        for path in sorted(self.path.glob("*.json")):
            record = None if path.name.startswith(".") else self.read(path.stem)
            if record is not None:
                yield record

    def announce(self, records: Iterable[Record]) -> None:
        """Write the records, without files, of the results that a run is about to make.

        They are on disk so that a node's own process, if it has one, finds them.
        """
        with atomic_path(self.path / _PLANNED) as path:
            planned = {record.dataset: asdict(record) for record in records}
            path.write_text(json.dumps(planned), encoding="utf-8")

    def announced(self) -> dict[str, Record]:
        """Return the records of the results that the current run makes.

        Raises:
            InputError: If their file is broken.
        """
        path = self.path / _PLANNED
        if not path.is_file():
            return {}
        try:
            planned = json.loads(path.read_text(encoding="utf-8"))
            return {name: Record.from_json(values) for name, values in planned.items()}
        except ValueError as error:
            raise InputError(f"{path} is broken: {error}; run again") from error

    def forget_announced(self) -> None:
        """Delete the records of results that were to be made."""
        (self.path / _PLANNED).unlink(missing_ok=True)
