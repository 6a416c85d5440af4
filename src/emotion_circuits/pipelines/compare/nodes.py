"""Comparison of two results folders, with an error if they differ."""

import logging
from collections.abc import Callable
from typing import Any

import pandas as pd

from emotion_circuits.comparison import compare_results
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.compare.settings import CompareSettings

logger = logging.getLogger(__name__)

Readers = dict[str, Callable[[], Any]]


def compare_folders(
    reference: Readers, candidate: Readers, settings: CompareSettings
) -> pd.DataFrame:
    """Compare two folders with ``compare_results``, which documents the columns."""
    return compare_results(reference, candidate, tolerance=settings.tolerance)


def judge_differences(differences: pd.DataFrame, settings: CompareSettings) -> None:
    """Log one line per file, and refuse results that differ.

    Raises:
        InputError: If a value differs by more than the tolerance, or is missing in one folder.
    """
    files = summarize_files(differences)
    shown = files.head(settings.shown)
    rest = len(files) - len(shown)
    more = f"\n… and {rest} more files" if rest else ""
    logger.info("Differences:\n%s%s", shown.to_string(index=False), more)
    failed = differences[~differences["passed"].astype(bool)]
    if len(failed):
        worst = failed.iloc[0]
        raise InputError(
            f"{len(failed)} of {len(differences)} columns and keys differ, in "
            f"{failed['file'].nunique()} of {len(files)} files (tolerance {settings.tolerance:g}); "
            f"the first is {worst['key']} of {worst['file']}; all are in compare/differences.csv"
        )


def summarize_files(differences: pd.DataFrame) -> pd.DataFrame:
    """Return one line per file: numbers of keys and values, differences, and the largest one."""
    failed = ~differences["passed"].astype(bool)
    files = (
        differences.assign(failed_keys=failed)
        .groupby("file", sort=True)
        .agg(
            keys=("key", "size"),
            failed_keys=("failed_keys", "sum"),
            values=("rows", "sum"),
            different=("different", "sum"),
            missing_reference=("missing_reference", "sum"),
            missing_candidate=("missing_candidate", "sum"),
            max_abs_difference=("max_abs_difference", "max"),
        )
        .reset_index()
    )
    return files.sort_values(
        ["failed_keys", "max_abs_difference", "file"], ascending=[False, False, True]
    )
