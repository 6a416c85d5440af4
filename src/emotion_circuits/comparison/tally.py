"""How many values of one kind were compared, and how far they are apart."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Tally:
    """Counts and sums over the values that stand under one key of two results.

    A number passes if the two differ by no more than ``tolerance`` times the reference's size,
    or by no more than ``tolerance`` where the reference is smaller than 1. NaN and None are equal
    to each other and to nothing else. Everything that is no number must be equal.

    Attributes:
        tolerance: Largest difference that passes.
        rows: Values that were compared.
        different: Those of them that do not pass.
        missing_reference: Values that only the candidate has.
        missing_candidate: Values that only the reference has.
        n_numbers: Pairs of finite numbers.
        largest: Largest absolute difference of such a pair.
        total: Sum of their absolute differences.
        note: What cannot be said in numbers.
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
        """Compare two arrays of one shape."""
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
        """Do what ``add_numbers`` does, forty times faster for a single pair."""
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
        """Give the columns of the table of differences."""
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
    """Give numbers that can be subtracted without overflow or loss of sign."""
    return values.astype(np.complex128 if np.iscomplexobj(values) else np.float64)


def _number(value: Any) -> float | complex | None:
    """Give a number, NaN for None, and None for anything that is no number."""
    if value is None:
        return math.nan
    if isinstance(value, bool | np.bool_ | int | float | complex | np.number):
        try:
            return complex(value) if isinstance(value, complex) else float(value)
        except OverflowError:  # a whole number beyond any float
            return None
    return None
