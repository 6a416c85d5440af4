"""Axes of a panel: from values to pixels, and where the ticks are."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from emotion_circuits.reporting.finite import to_number

_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)


@dataclass(frozen=True)
class Axis:
    """One axis of a panel.

    Attributes:
        title: Quantity and unit.
        kind: ``linear``, ``log`` or ``category``.
        low: Value at the lower end (for ``log`` its decimal logarithm; for ``category`` −0.5).
        high: Value at the upper end.
        categories: Names of ``category``, in order.
        dtick: Distance of ticks, or None for a choice.
        is_reversed: Whether values grow downwards or leftwards.
        is_visible: Whether ticks and title are drawn.
    """

    title: str
    kind: str
    low: float
    high: float
    categories: tuple[str, ...] = ()
    dtick: float | None = None
    is_reversed: bool = False
    is_visible: bool = True

    def share(self, value: Any) -> float | None:
        """Return a value's place between the ends, from 0 to 1; None for a value without one."""
        number = self.number(value)
        if number is None:
            return None
        share = (number - self.low) / ((self.high - self.low) or 1.0)
        return 1.0 - share if self.is_reversed else share

    def number(self, value: Any) -> float | None:
        """Return a value as a number of the axis; None if it has none, as NaN."""
        if self.kind == "category":
            name = str(value)
            return float(self.categories.index(name)) if name in self.categories else None
        number = to_number(value)
        if self.kind == "log":
            return math.log10(number) if number is not None and number > 0 else None
        return number

    def ticks(self, n: int = 6) -> list[tuple[float, str]]:
        """Return the ticks: place from 0 to 1, and label."""
        if self.kind == "category":
            ticks = [(float(index), name) for index, name in enumerate(self.categories)]
        elif self.kind == "log":
            ticks = _log_ticks(self.low, self.high)
        else:
            ticks = _linear_ticks(self.low, self.high, self.dtick, n)
        width = (self.high - self.low) or 1.0
        shares = [((number - self.low) / width, label) for number, label in ticks]
        return [(1.0 - share if self.is_reversed else share, label) for share, label in shares]


def ends_of(numbers: Iterable[float | None], *, zero: bool = False) -> tuple[float, float]:
    """Return the ends of an axis that shows all numbers with a margin.

    Args:
        numbers: What is drawn.
        zero: Whether 0 belongs to the axis, as for bars.
    """
    known = [number for number in numbers if number is not None]
    if zero:
        known.append(0.0)
    if not known:
        return 0.0, 1.0
    low, high = min(known), max(known)
    margin = (high - low) * 0.06 or max(abs(high) * 0.1, 0.5)
    return (low if zero and low == 0 else low - margin), high + margin


def _linear_ticks(low: float, high: float, dtick: float | None, n: int) -> list[tuple[float, str]]:
    span = high - low
    step = dtick or 0.0
    if step <= 0 or span / step > 2 * n:
        step = _nice(span / n, whole=bool(dtick) and float(dtick or 0.5).is_integer())
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [(k * step, _label(k * step, step)) for k in range(first, last + 1)]


def _nice(rough: float, *, whole: bool) -> float:
    """Return a step of 1, 2, 2.5 or 5 times a power of ten, at least as large as asked for."""
    power = 10.0 ** math.floor(math.log10(rough)) if rough > 0 else 1.0
    steps = [step * power for step in _STEPS if step * power >= rough * (1 - 1e-9)]
    step = steps[0] if steps else power
    return max(1.0, float(math.ceil(step))) if whole else step


def _label(value: float, step: float) -> str:
    digits = max(0, -math.floor(math.log10(step) + 1e-9))
    if round(step, digits) != step:
        digits += 1
    text = f"{value:.{digits}f}"
    return text.replace("-", "−") if float(text) else "0"


def _log_ticks(low: float, high: float) -> list[tuple[float, str]]:
    wanted: Sequence[int] = (1, 2, 5) if high - low < 2 else (1,)
    ticks = []
    for power in range(math.floor(low) - 1, math.ceil(high) + 1):
        for factor in wanted:
            value = factor * 10.0**power
            if low - 1e-9 <= math.log10(value) <= high + 1e-9:
                ticks.append((math.log10(value), f"{value:g}"))
    return ticks
