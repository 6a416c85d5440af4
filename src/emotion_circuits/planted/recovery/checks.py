"""One comparison of what was recovered with what is true."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd


class Check(NamedTuple):
    """A recovered number and the bar that it must reach.

    Attributes:
        check: What is compared, for example ``direction_cosine``.
        subject: Of what: an emotion, a layer, a score, nodes.
        recovered: The number.
        bar: The bar.
        at_least: Whether the number must be at least the bar, or at most.
    """

    check: str
    subject: str
    recovered: float
    bar: float
    at_least: bool = True

    @property
    def passed(self) -> bool:
        """Whether the bar is reached; a number that is missing does not reach it."""
        if self.at_least:
            return self.recovered >= self.bar
        return self.recovered <= self.bar


COLUMNS = ("check", "subject", "recovered", "bar", "at_least", "passed")


def check_table(checks: Iterable[Check]) -> pd.DataFrame:
    """Return one line per check, with the columns of ``COLUMNS``."""
    return pd.DataFrame([(*check, check.passed) for check in checks], columns=list(COLUMNS))
