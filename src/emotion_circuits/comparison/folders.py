"""Comparison of all files of two results folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import pandas as pd

from emotion_circuits.comparison.nested import compare_nested
from emotion_circuits.comparison.tables import compare_tables
from emotion_circuits.comparison.tally import Tally
from emotion_circuits.errors import InputError
from emotion_circuits.progress import progress_bar

# Key for the file itself, where only one folder has it or it cannot be read.
FILE: Final = "(file)"

Readers = Mapping[str, Callable[[], Any]]


def compare_results(
    reference: Readers, candidate: Readers, *, tolerance: float, progress: bool = True
) -> pd.DataFrame:
    """Compare two folders file by file.

    Args:
        reference: By file path within the folder, a function that reads the file as a table or as
            nested containers.
        candidate: The same for the other folder.
        tolerance: Largest difference of two numbers that passes: absolute where the reference is
            below 1, relative above.
        progress: Whether to show a progress bar.

    Returns:
        One line per file and column, or per file and path of keys: ``file``, ``key``, ``rows``
        (number of values compared), ``missing_reference`` and ``missing_candidate`` (number of
        values that one side lacks), ``different`` (number of values that do not pass),
        ``max_abs_difference``, ``mean_abs_difference`` (NaN without numbers), ``tolerance``,
        ``passed``, ``note``.
    """
    new_tally = partial(Tally, tolerance)
    lines: list[dict[str, Any]] = []
    files = sorted(reference.keys() | candidate.keys())
    for file in progress_bar(files, desc="files compared", unit="file", disable=not progress):
        tallies = _compare_file(reference.get(file), candidate.get(file), new_tally)
        lines += [{"file": file, "key": key, **tally.line()} for key, tally in tallies.items()]
    return pd.DataFrame(lines)


def _compare_file(
    first: Callable[[], Any] | None,
    second: Callable[[], Any] | None,
    new_tally: Callable[[], Tally],
) -> dict[str, Tally]:
    tally = new_tally()
    if first is None or second is None:
        tally.missing_reference, tally.missing_candidate = int(first is None), int(second is None)
        return {FILE: tally}
    try:
        contents = first(), second()
    except InputError as error:
        tally.note = str(error)
        return {FILE: tally}
    if all(isinstance(content, pd.DataFrame) for content in contents):
        return compare_tables(*contents, new_tally=new_tally)
    return compare_nested(*contents, new_tally=new_tally)
