"""The figure of the three readings: score, score with emotion words masked, and marker words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from emotion_circuits.reporting.style import BLUE, GREEN, ORANGE, TEMPLATE

_STYLES: Final = {
    "score": ("score", BLUE),
    "masked": ("score, emotion words masked", ORANGE),
    "markers": ("share of marker words", GREEN),
}


def draw_readings(table: pd.DataFrame, emotions: Sequence[str]) -> go.Figure:
    """Draw the change of each reading under each condition, with 95 % intervals.

    Args:
        table: The result of ``three_readings``.
        emotions: Emotions in the order of the panels.
    """
    figure = make_subplots(
        rows=1,
        cols=len(emotions),
        subplot_titles=list(emotions),
        shared_yaxes=True,
        horizontal_spacing=0.03,
    )
    for column, emotion in enumerate(emotions, start=1):
        for reading, (name, colour) in _STYLES.items():
            lines = table[(table["emotion"] == emotion) & (table["reading"] == reading)]
            if lines.empty:
                continue
            above = lines["ci_upper"] - lines["mean_diff"]
            below = lines["mean_diff"] - lines["ci_lower"]
            figure.add_bar(
                x=lines["condition"].str.replace("_", "<br>"),
                y=lines["mean_diff"],
                error_y={"array": above, "arrayminus": below, "symmetric": False, "thickness": 1},
                marker_color=colour,
                name=name,
                legendgroup=reading,
                showlegend=column == 1,
                row=1,
                col=column,
            )
    figure.update_yaxes(title_text="change from the unsteered text", col=1)
    figure.update_layout(
        title="Does it say the word, or express it?",
        barmode="group",
        template=TEMPLATE,
        legend={"orientation": "h", "y": -0.25},
    )
    return figure
