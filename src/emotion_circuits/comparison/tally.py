"""Counts of compared values of one kind, and their differences."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Tally:
    """Counts and sums over the values under one key of two results.

    A number passes if it differs from the reference by at most ``tolerance``, times the
    reference's absolute value where that exceeds 1. NaN and None equal each other and nothing
    else. Other values must be equal.

    Attributes:
        tolerance: Largest difference that passes.
        rows: Number of values compared.
        different: Number of compared values that do not pass.
        missing_reference: Number of values that only the candidate has.
        missing_candidate: Number of values that only the reference has.
        n_numbers: Number of pairs of finite numbers.
        largest: Largest absolute difference of such pairs.
        total: Sum of the absolute differences of such pairs.
        note: Remark, for example on different shapes.
    """

    tolerance: float
    rows: int = 0
    different: int = 0
    missing_reference: int = 0
    missing_candidate: int = 0
    n_numbers: int = 0
    largest: float = 0.0
    total: float = 0.0
    note: str = ""

    @property
    def passed(self) -> bool:
        """Whether nothing is missing and nothing differs."""
        return not (self.different or self.missing_reference or self.missing_candidate or self.note)

    def add_numbers(self, reference: np.ndarray, candidate: np.ndarray) -> None:
        """Compare two arrays of equal shape."""
        first, second = (_wide(values).ravel() for values in (reference, candidate))
        finite = np.isfinite(first) & np.isfinite(second)
        distance = np.abs(first[finite] - second[finite])
        allowed = self.tolerance * np.maximum(1.0, np.abs(first[finite]))
        odd_first, odd_second = first[~finite], second[~finite]
        same = (odd_first == odd_second) | (np.isnan(odd_first) & np.isnan(odd_second))
        self.rows += len(first)
        self.different += int((distance > allowed).sum() + (~same).sum())
        self.n_numbers += len(distance)
        self.total += float(distance.sum())
        self.largest = max(self.largest, float(distance.max(initial=0.0)))

    def add(self, reference: Any, candidate: Any) -> None:
        """Compare two single values."""
        if type(reference) is float and type(candidate) is float:
            self._add_floats(reference, candidate)
            return
        first, second = (_number(value) for value in (reference, candidate))
        if first is not None and second is not None:
            self.add_numbers(np.array([first]), np.array([second]))
            return
        self.rows += 1
        self.different += int(reference != candidate)

    def _add_floats(self, reference: float, candidate: float) -> None:
        """Compare two floats as ``add_numbers`` does, but forty times faster."""
        self.rows += 1
        if math.isfinite(reference) and math.isfinite(candidate):
            distance = abs(reference - candidate)
            self.different += distance > self.tolerance * max(1.0, abs(reference))
            self.n_numbers += 1
            self.total += distance
            self.largest = max(self.largest, distance)
        elif reference != candidate and not (math.isnan(reference) and math.isnan(candidate)):
            self.different += 1

    def line(self) -> dict[str, Any]:
        """Return one line of the table of differences, without its file and key."""
        known = self.n_numbers > 0
        return {
            "rows": self.rows,
            "missing_reference": self.missing_reference,
            "missing_candidate": self.missing_candidate,
            "different": self.different,
            "max_abs_difference": self.largest if known else math.nan,
            "mean_abs_difference": self.total / self.n_numbers if known else math.nan,
            "tolerance": self.tolerance,
            "passed": self.passed,
            "note": self.note,
        }


def _wide(values: np.ndarray) -> np.ndarray:
    """Convert to float64 or complex128, where differences neither overflow nor wrap around."""
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)


def _number(value: Any) -> float | complex | None:
    """Return a number as float or complex, NaN for None, and None for any other value."""
    if value is None:
        return math.nan
    if isinstance(value, bool | np.bool_ | int | float | complex | np.number):
        try:
            return complex(value) if isinstance(value, complex) else float(value)
        except OverflowError:  # an integer too large for a float
            return None
    return None
