"""Comparing all files of two results folders."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

import pandas as pd
from tqdm.auto import tqdm

from emotion_circuits.comparison.nested import compare_nested
from emotion_circuits.comparison.tables import compare_tables
from emotion_circuits.comparison.tally import Tally
from emotion_circuits.errors import InputError

# The file itself, where only one folder has it or it cannot be read.
FILE: Final = "(file)"

Readers = Mapping[str, Callable[[], Any]]


def compare_results(
    reference: Readers, candidate: Readers, *, tolerance: float, progress: bool = True
) -> pd.DataFrame:
    """Compare two folders file by file.

    Args:
        reference: For each file's path within its folder a function that reads it, to a table or
            to nested containers.
        candidate: Likewise.
        tolerance: Largest difference of two numbers that passes: absolute where the reference is
            below 1, relative above.
        progress: Whether to show a bar with files per second and the time left.

    Returns:
        One line a file and column, or file and path of keys: ``file``, ``key``, ``rows``
        (values compared), ``missing_reference`` and ``missing_candidate`` (values that one side
        lacks), ``different`` (values that do not pass), ``max_abs_difference``,
        ``mean_abs_difference`` (NaN where there is no number), ``tolerance``, ``passed``,
        ``note``.
    """
    new_tally = partial(Tally, tolerance)
    lines: list[dict[str, Any]] = []
    files = sorted(reference.keys() | candidate.keys())
    for file in tqdm(files, desc="files compared", unit="file", disable=not progress):
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
