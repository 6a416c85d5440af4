"""Numbers that may be missing."""

from __future__ import annotations

import math
from typing import Any


def to_number(value: Any) -> float | None:
    """Return a finite number; None for NaN, infinity, None and what is no number."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
