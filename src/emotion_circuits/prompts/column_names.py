"""Names of a file's columns, in the place of the study's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.prompts.records import PromptSource

# Signs between the fields of a CSV file, by the name that the parameter dataset.delimiter has.
DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t"}


def rename_columns(source: PromptSource, columns: Mapping[str, str]) -> PromptSource:
    """Give a file's columns the study's names.

    Args:
        source: The records.
        columns: By the study's name, such as ``text``, the file's.

    Returns:
        The records with the study's names. Where a file has both names, the file's column that was
        named replaces the other.

    Raises:
        InputError: If no record has a column that was named.
    """
    if not columns:
        return source
    known = list(dict.fromkeys(name for record in source.records for name in record.fields))
    for own, name in columns.items():
        if name not in known:
            raise unknown_name(f"dataset.columns.{own}", name, known, where=source.name)
    records = []
    for record in source.records:
        named = {own: record.fields[name] for own, name in columns.items() if name in record.fields}
        kept = {
            name: value
            for name, value in record.fields.items()
            if name not in columns.values() and name not in columns
        }
        records.append(replace(record, fields=kept | named))
    return PromptSource(source.name, tuple(records))


def missing_column(where: str, column: str, found: Iterable[str]) -> InputError:
    """Return the error for a record without a column, which names the parameter that helps.

    Args:
        where: The record's file and line.
        column: The study's name of the column.
        found: The names that the record has.
    """
    names = list(found)
    message = f"{where}: key {column!r} is missing; found {', '.join(names)[:200]}"
    for delimiter, sign in DELIMITERS.items():
        if any(sign in name for name in names):
            return InputError(
                f"{message}; fields that {delimiter}s separate need dataset.delimiter={delimiter}"
            )
    return InputError(
        f"{message}; dataset.columns names a file's columns, such as "
        f"dataset.columns.{column}={names[0] if names else 'name'}"
    )
