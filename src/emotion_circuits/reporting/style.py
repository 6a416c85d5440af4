"""Colours and common layout of all figures.

The colours are those of Okabe and Ito (2008), which readers with any colour vision tell apart.
Lines and marks also differ in dash or shape where they share a panel.
"""

from __future__ import annotations

from typing import Any, Final

import plotly.graph_objects as go

BLUE: Final = "#0072B2"
VERMILION: Final = "#D55E00"
GREEN: Final = "#009E73"
ORANGE: Final = "#E69F00"
PURPLE: Final = "#CC79A7"
GREY: Final = "#777777"

# Bands of intervals and of controls.
BLUE_BAND: Final = "rgba(0, 114, 178, 0.2)"
VERMILION_BAND: Final = "rgba(213, 94, 0, 0.22)"
GREY_BAND: Final = "rgba(120, 120, 120, 0.25)"

# From the lowest value over zero, which is nearly white, to the highest.
DIVERGING: Final = (
    (0.0, "#2166ac"),
    (0.25, "#92c5de"),
    (0.5, "#f7f7f7"),
    (0.75, "#f4a582"),
    (1.0, "#b2182b"),
)
TEMPLATE: Final = "simple_white"


# Pixels that Plotly keeps around the panels for titles, and those from the panels to a legend.
_MARGINS: Final = 180
_TO_LEGEND: Final = 60


def finish(
    figure: go.Figure, title: str, *, width: int, height: int, legend: bool = False
) -> go.Figure:
    """Give a figure its title, size and the study's layout, and return it.

    Args:
        figure: Any figure; changed in place.
        title: One line.
        width: In pixels.
        height: In pixels.
        legend: Whether there is a legend, below the panels.
    """
    layout: dict[str, Any] = {"template": TEMPLATE, "width": width, "height": height}
    if legend:
        # Plotly counts in shares of the panels' height.
        place = -_TO_LEGEND / max(1, height - _MARGINS)
        layout["legend"] = {"orientation": "h", "y": place, "yanchor": "top"}
    figure.update_layout(title=title, showlegend=legend, **layout)
    return figure


def bars(values: Any, lower: Any, upper: Any) -> dict[str, Any]:
    """Return asymmetric error bars from values and the ends of their intervals.

    Args:
        values: Series of numbers.
        lower: Series of lower ends; NaN for an interval that does not exist.
        upper: Series of upper ends.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": (upper - values).tolist(),
        "arrayminus": (values - lower).tolist(),
        "thickness": 1,
    }
