"""Colours of heat maps: from a value to a colour of a scale, and to a legible one for text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

_HEX = re.compile(r"#([0-9a-fA-F]{2})([0-9a-fA-F]{2})([0-9a-fA-F]{2})")
_STEPS = 40  # shades of a heat map


def shade(share: float, scale: Sequence[Sequence[Any]], *, is_reversed: bool = False) -> str:
    """Return the colour of a share of a scale, in one of 41 shades.

    Args:
        share: Place in the scale; outside of 0 to 1 is the nearest end.
        scale: Stops: place from 0 to 1, and colour as ``#rrggbb`` or ``rgb(r, g, b)``.
        is_reversed: Whether the scale runs backwards.
    """
    share = round(min(1.0, max(0.0, share)) * _STEPS) / _STEPS
    if is_reversed:
        share = 1.0 - share
    stops = [(float(place), _channels(str(colour))) for place, colour in scale]
    low, high = stops[0], stops[-1]
    for left, right in pairwise(stops):
        if left[0] <= share <= right[0]:
            low, high = left, right
            break
    part = (share - low[0]) / ((high[0] - low[0]) or 1.0)
    channels = [a + (b - a) * part for a, b in zip(low[1], high[1], strict=True)]
    return "#" + "".join(f"{round(channel):02x}" for channel in channels)


def ink(colour: str) -> str:
    """Return black or white, whichever is more legible on a colour."""
    red, green, blue = (_linear(channel / 255) for channel in _channels(colour))
    luminance = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    return "#000" if (luminance + 0.05) / 0.05 > 1.05 / (luminance + 0.05) else "#fff"


def _linear(channel: float) -> float:
    return channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4


def _channels(colour: str) -> tuple[float, float, float]:
    found = _HEX.fullmatch(colour.strip())
    if found:
        red, green, blue = (int(part, 16) for part in found.groups())
        return red, green, blue
    numbers = [float(number) for number in re.findall(r"[\d.]+", colour)[:3]]
    if len(numbers) != 3:
        raise ValueError(f"a colour is {colour!r}; allowed are #rrggbb and rgb(r, g, b)")
    return numbers[0], numbers[1], numbers[2]
