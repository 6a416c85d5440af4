"""Figures of changed circuits: joint against summed effects, and effects against their costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from emotion_circuits.reporting.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    TEMPLATE,
    VERMILION,
)

_JOINT, _SUM, _RANDOM = BLUE, ORANGE, GREY
_FAMILIES: Final = {
    "circuit_shift": (BLUE, "circuit, shifted"),
    "circuit_scale": (GREEN, "circuit, scaled"),
    "steering": (VERMILION, "steering"),
    "prompting": (PURPLE, "prompting"),
}
_CONTROLS: Final = {
    "random_circuits": ("x", "random circuits"),
    "isotropic": ("circle-open", "isotropic directions"),
    "covariance": ("diamond-open", "directions of the covariance"),
}
_READING: Final = "score"


def draw_interactions(interactions: pd.DataFrame, emotions: Sequence[str]) -> go.Figure:
    """Draw what each circuit does jointly, and the sum of what its nodes do singly.

    Each panel is an emotion; bars are shares of its effect, with 95 % intervals over templates for
    the joint change. The grey bar is the mean of random circuits.

    Args:
        interactions: The result of ``interaction_table``; may be empty.
        emotions: The emotions, in order.
    """
    figure = make_subplots(
        rows=1, cols=len(emotions), subplot_titles=list(emotions), shared_yaxes=True
    )
    for column, emotion in enumerate(emotions, start=1):
        if interactions.empty:
            break
        part = interactions[interactions["emotion"] == emotion]
        part = part[part["reading"].isin([_READING, "preference"])]
        names = (part["mode"] + ", " + part["reading"]).tolist()
        share = part["share"]
        bars = {
            "together": (_JOINT, share),
            "sum of single nodes": (_SUM, part["sum_of_singles"] / part["effect"]),
            "random circuits": (_RANDOM, part["random_share"]),
        }
        for name, (colour, values) in bars.items():
            figure.add_bar(
                x=names,
                y=values.tolist(),
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                marker={"color": colour},
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": (part["share_upper"] - share).tolist(),
                    "arrayminus": (share - part["share_lower"]).tolist(),
                }
                if name == "together"
                else None,
                row=1,
                col=column,
            )
    figure.update_yaxes(title_text="share of the emotion's effect", col=1)
    figure.update_layout(
        title=f"{_model(interactions)}circuits changed as a whole, and node by node",
        template=TEMPLATE,
        barmode="group",
        height=460,
        width=1100,
        legend={"orientation": "h", "y": -0.35},
    )
    return figure


def draw_modulation(
    doses: pd.DataFrame, equal_cost: pd.DataFrame, emotions: Sequence[str]
) -> go.Figure:
    """Draw the change of each emotion's score against its cost, one point per strength.

    Steering is shown at the layer that is chosen at the largest cost. Grey marks are controls, each
    draw at each strength.

    Args:
        doses: The result of ``dose_table``; may be empty.
        equal_cost: The result of ``equal_cost_table``; may be empty.
        emotions: The emotions, in order.
    """
    figure = make_subplots(
        rows=1, cols=len(emotions), subplot_titles=list(emotions), shared_yaxes=True
    )
    shown: set[str] = set()
    for column, emotion in enumerate(emotions, start=1):
        if doses.empty:
            break
        part = doses[(doses["emotion"] == emotion) & (doses["reading"] == _READING)]
        for kind, (symbol, name) in _CONTROLS.items():
            drawn = part[part["control"] == kind]
            figure.add_scatter(
                x=drawn["fluency_loss"].tolist(),
                y=drawn["change"].tolist(),
                mode="markers",
                marker={"symbol": symbol, "color": _RANDOM, "size": 5},
                opacity=0.5,
                name=name,
                legendgroup=name,
                showlegend=column == 1,
                row=1,
                col=column,
            )
        own = part[part["control"].fillna("") == ""]
        for family, (colour, name) in _FAMILIES.items():
            lines = own[own["family"] == family].sort_values("dose")
            if family == "steering":
                lines = lines[lines["layer"] == _layer(equal_cost, emotion)]
            if lines.empty:
                continue
            figure.add_scatter(
                x=lines["fluency_loss"].tolist(),
                y=lines["change"].tolist(),
                error_y={
                    "type": "data",
                    "symmetric": False,
                    "array": (lines["change_upper"] - lines["change"]).tolist(),
                    "arrayminus": (lines["change"] - lines["change_lower"]).tolist(),
                    "thickness": 1,
                },
                text=[f"strength {dose:g}" for dose in lines["dose"]],
                mode="lines+markers",
                line={"color": colour},
                name=name,
                legendgroup=name,
                showlegend=name not in shown,
                row=1,
                col=column,
            )
            shown.add(name)
    figure.update_xaxes(title_text="nats per token lost")
    figure.update_yaxes(title_text="change of the score", col=1)
    figure.update_layout(
        title=f"{_model(doses)}modulated circuits and steering: effect against cost",
        template=TEMPLATE,
        height=480,
        width=1100,
        legend={"orientation": "h", "y": -0.2},
    )
    return figure


def _layer(equal_cost: pd.DataFrame, emotion: str) -> float:
    """Return the layer that steering chose at the largest cost."""
    own = equal_cost[(equal_cost["emotion"] == emotion) & (equal_cost["family"] == "steering")]
    own = own.dropna(subset="layer")
    return float("nan") if own.empty else float(own.sort_values("cost_limit")["layer"].iloc[-1])


def _model(table: pd.DataFrame) -> str:
    return "" if table.empty else f"{table['model_name'].iloc[0]}: "
