"""Figures of transfer: one model's emotion vectors, mapped, read and steer in another."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, GREEN, GREY, GREY_BAND, ORANGE, bars, finish


def draw_transfer(table: pd.DataFrame, overlaps: pd.DataFrame, emotions: EmotionSet) -> go.Figure:
    """Draw how well model A's mapped vectors read each emotion in model B, by layer of B.

    The grey band reaches up to the 95th percentile of the vectors under maps of shuffled pairs.

    Args:
        table: Phase 4's ``transfer``.
        overlaps: The pair's ``overlaps``, which name the models A and B.
        emotions: The study's emotions.
    """
    pair = overlaps["model_a"].iloc[0], overlaps["model_b"].iloc[0]
    names = [name for name in emotions.names if (table["emotion"] == name).any()]
    figure = panels_for(names)
    for index, name in enumerate(names):
        own, place = table[table["emotion"] == name], position(index, len(names))
        layers = own["layer_b"].tolist()
        figure.add_scatter(
            x=layers + layers[::-1],
            y=own["auroc_shuffled_p95"].tolist() + [0.0] * len(layers),
            mode="lines",
            fill="toself",
            fillcolor=GREY_BAND,
            line={"width": 0},
            name="shuffled maps, up to 95 %",
            showlegend=index == 0,
            **place,
        )
        figure.add_scatter(
            x=layers,
            y=own["auroc_mapped"].tolist(),
            error_y=bars(own["auroc_mapped"], own["ci_lower"], own["ci_upper"]),
            mode="lines+markers",
            line={"color": BLUE},
            name="mapped vector, 95 % interval",
            showlegend=index == 0,
            **place,
        )
        figure.add_scatter(
            x=layers,
            y=own["auroc_own"].tolist(),
            mode="lines+markers",
            line={"color": GREEN, "dash": "dash"},
            marker={"symbol": "square"},
            name=f"{pair[1]}'s own vector",
            showlegend=index == 0,
            **place,
        )
        figure.add_hline(y=0.5, line_dash="dot", **place)
    figure.update_yaxes(range=[0, 1.03], title_text="held-out AUROC")
    figure.update_xaxes(title_text=f"layer of {pair[1]}", dtick=1)
    title = f"{pair[0]}'s vectors, mapped, read emotions in {pair[1]}"
    height = 120 + 260 * -(-len(names) // 3)
    return finish(figure, title, width=1000, height=height, legend=True)


def draw_transfer_steering(
    table: pd.DataFrame, emotions: Sequence[str], pair: tuple[str, str]
) -> go.Figure:
    """Draw what model A's mapped vectors do to the texts of model B, beside controls.

    Args:
        table: The ``transfer_steering`` table.
        emotions: The emotions, in order.
        pair: Names of the models, A and B.
    """
    table = table[(table["choice"] == "headline") & ~table["metric_name"].str.startswith("fluency")]
    names = [name for name in emotions if (table["emotion"] == name).any()]
    figure = panels_for(names)
    styles = {
        "own": (GREEN, "square", "own vector"),
        "mapped": (BLUE, "circle", "mapped vector"),
        "mapped_random": (GREY, "x", "mapped random vectors"),
        "covariance": (ORANGE, "diamond-open", "vectors of the covariance"),
    }
    for index, name in enumerate(names):
        own = table[table["emotion"] == name]
        for kind, (colour, symbol, label) in styles.items():
            lines = own[own["vector"] == kind]
            if lines.empty:
                continue
            figure.add_scatter(
                x=lines["mean_diff"].tolist(),
                y=[label] * len(lines),
                error_x=bars(lines["mean_diff"], lines["ci_lower"], lines["ci_upper"])
                if kind in ("own", "mapped")
                else None,
                mode="markers",
                marker={"color": colour, "symbol": symbol, "size": 7},
                name=label,
                showlegend=index == 0,
                **position(index, len(names)),
            )
        figure.add_vline(x=0, line_dash="dot", **position(index, len(names)))
    figure.update_xaxes(title_text="change of the emotion's score")
    figure.update_yaxes(autorange="reversed")
    title = f"{pair[1]} steered with {pair[0]}'s mapped vectors, 95 % intervals"
    height = 120 + 220 * -(-len(names) // 3)
    return finish(figure, title, width=1000, height=height)
