"""Records of a prompt file, with the place each was read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

# Field of a record that holds a label of GoEmotions, which is not the study's own name for it.
GOEMOTIONS_LABEL: Final = "goemotions_label"


@dataclass(frozen=True)
class SourceRecord:
    """One record as it was read.

    Attributes:
        line: Line number, or the record's number where the format has no lines; from 1.
        fields: What it says.
        unit: ``line`` or ``record``.
    """

    line: int
    fields: dict[str, Any]
    unit: str = "line"


@dataclass(frozen=True)
class PromptSource:
    """All records of a file.

    Attributes:
        name: The file's path, for messages.
        records: In the file's order.
    """

    name: str
    records: tuple[SourceRecord, ...]

    def place(self, record: SourceRecord) -> str:
        """Say where a record stands."""
        return f"{self.name}, {record.unit} {record.line}"
