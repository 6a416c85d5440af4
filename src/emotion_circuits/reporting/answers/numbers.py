"""Numbers as a reader sees them: two digits, a proper minus, and a dash for what is not known."""

from __future__ import annotations

from typing import Any, Final

from emotion_circuits.reporting.finite import to_number

UNKNOWN: Final = "–"


def number(value: Any, digits: int = 2, *, signed: bool = False) -> str:
    """Return a number with a fixed count of digits; a dash if it is missing or not finite."""
    known = to_number(value)
    if known is None:
        return UNKNOWN
    text = f"{known:{'+' if signed else ''}.{digits}f}"
    text = text.lstrip("+-") if float(text) == 0 else text
    return text.replace("-", "−")


def interval(lower: Any, upper: Any, digits: int = 2) -> str:
    """Return an interval in brackets; its open end is ∞, and a missing one an empty text."""
    low, high = to_number(lower), to_number(upper)
    if low is None and high is None:
        return ""
    left = "−∞" if low is None else number(low, digits)
    right = "∞" if high is None else number(high, digits)
    return f"[{left}, {right}]"


def with_interval(value: Any, lower: Any, upper: Any, digits: int = 2) -> str:
    """Return a number followed by its interval, if there is one."""
    return f"{number(value, digits)} {interval(lower, upper, digits)}".strip()


def p_value(value: Any) -> str:
    """Return a p-value with two digits after the first zeros, and ``< 0.001`` below that."""
    known = to_number(value)
    if known is None:
        return UNKNOWN
    if known < 0.001:
        return "< 0.001"
    return f"{known:.3f}" if known < 0.1 else f"{known:.2f}"
