"""Records of a prompt file, each with its line number."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any, Final

# Field of a record with a GoEmotions label, which may differ from the study's label.
GOEMOTIONS_LABEL: Final = "goemotions_label"


@dataclass(frozen=True)
class SourceRecord:
    """One record of a prompt file, before validation.

    Attributes:
        line: Number of the line, or of the record where the format has no lines; from 1.
        fields: Values by field name.
        unit: What ``line`` counts: ``line`` or ``record``.
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
        """Return file and line of a record, for messages."""
        return f"{self.name}, {record.unit} {record.line}"

    def with_labels(self, labels: Collection[str]) -> PromptSource:
        """Return the records whose emotion is one of some labels, or that state none."""
        kept = (
            record for record in self.records if record.fields.get("emotion", "") in {"", *labels}
        )
        return replace(self, records=tuple(kept))
