"""Figures of phase 5 beside dose and specificity: prompting, and side effects."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, GREY, ORANGE, bars, finish


def draw_prompting(table: pd.DataFrame, emotions: Sequence[str]) -> go.Figure:
    """Draw the change of each emotion's score and its cost under steering and under prompting.

    Args:
        table: Phase 5's ``residual_prompting``, of the emotion's own metrics.
        emotions: The emotions, in order.
    """
    names = [name for name in emotions if (table["emotion"] == name).any()]
    figure = panels_for(names)
    for index, name in enumerate(names):
        own = table[table["emotion"] == name]
        labels = own["condition"].str.replace("_", " ").tolist()
        place = position(index, len(names))
        for value, lower, upper, colour, symbol, label in (
            ("mean_diff", "ci_lower", "ci_upper", BLUE, "circle", "change of the score"),
            (
                "fluency_loss",
                "fluency_loss_lower",
                "fluency_loss_upper",
                ORANGE,
                "diamond",
                "cost, nats per token",
            ),
        ):
            figure.add_scatter(
                x=own[value].tolist(),
                y=labels,
                error_x=bars(own[value], own[lower], own[upper]),
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 7},
                name=label,
                showlegend=index == 0,
                **place,
            )
        figure.add_vline(x=0, line_dash="dot", **place)
    figure.update_xaxes(title_text="change of the score, or nats per token")
    figure.update_yaxes(autorange="reversed")
    model = table["model_name"].iloc[0]
    height = 120 + 240 * -(-len(names) // 3)
    title = f"{model}: steering against prompting, 95 % intervals"
    return finish(figure, title, width=1100, height=height, legend=True)


def draw_side_effects(table: pd.DataFrame, emotions: Sequence[str]) -> go.Figure:
    """Draw how far steering moves the predictions of neutral texts, beside random directions.

    Args:
        table: Phase 5's ``residual_side_effects``.
        emotions: The emotions, in order.
    """
    names = [name for name in emotions if (table["emotion"] == name).any()]
    figure = panels_for(names)
    styles = {"emotion": (BLUE, "circle"), "random": (GREY, "x"), "covariance": (ORANGE, "diamond")}
    for index, name in enumerate(names):
        for kind, (colour, symbol) in styles.items():
            own = table[(table["emotion"] == name) & (table["kind"] == kind)]
            if own.empty:
                continue
            figure.add_scatter(
                x=own["kl"].tolist(),
                y=[kind] * len(own),
                error_x=bars(own["kl"], own["kl_lower"], own["kl_upper"])
                if kind == "emotion"
                else None,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 7},
                name=kind,
                showlegend=index == 0,
                **position(index, len(names)),
            )
    figure.update_xaxes(title_text="divergence, nats per token", rangemode="tozero")
    figure.update_yaxes(autorange="reversed")
    model = table["model_name"].iloc[0]
    height = 120 + 180 * -(-len(names) // 3)
    return finish(figure, f"{model}: side effects on neutral texts", width=1000, height=height)
