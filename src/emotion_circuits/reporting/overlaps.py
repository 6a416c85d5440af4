"""The figure of phase 4: overlap of subspaces against k, with its null distribution."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting.style import BLUE, GREEN, GREY_BAND, PURPLE, TEMPLATE, VERMILION

_AFTER, _BEFORE, _CEILING, _OTHER = BLUE, VERMILION, GREEN, PURPLE


def draw_overlaps(table: pd.DataFrame, emotions: EmotionSet) -> go.Figure:
    """Draw overlap against k, with one panel per pair of layers and emotion.

    The lines show the overlap after mapping (solid), before mapping (dashed), with B's other
    emotions after mapping (dash-dotted), and between two halves of B's prompts (dotted). The grey
    band reaches up to the 95th percentile of maps learned on shuffled pairs.

    Args:
        table: The ``overlaps`` table of a pair of models.
        emotions: The study's emotions.
    """
    shown = [emotion for emotion in emotions.names if (table["emotion"] == emotion).any()]
    layers = list(dict.fromkeys(zip(table["layer_a"], table["layer_b"], strict=True)))
    figure = make_subplots(
        rows=len(layers),
        cols=len(shown),
        column_titles=shown,
        row_titles=[f"layers {layer_a} → {layer_b}" for layer_a, layer_b in layers],
        shared_xaxes=True,
        shared_yaxes=True,
        vertical_spacing=0.25 / (len(layers) + 4),
        horizontal_spacing=0.03,
    )
    for row, (layer_a, layer_b) in enumerate(layers, start=1):
        for column, emotion in enumerate(shown, start=1):
            panel = table[
                (table["layer_a"] == layer_a)
                & (table["layer_b"] == layer_b)
                & (table["emotion"] == emotion)
            ]
            for trace in _traces(panel, legend=row == column == 1):
                figure.add_trace(trace, row=row, col=column)
    figure.update_yaxes(range=[0, 1.03], dtick=0.5)
    figure.update_yaxes(title_text="overlap", col=1)
    figure.update_xaxes(dtick=1)
    figure.update_xaxes(title_text="dimensions k", row=len(layers))
    height = 180 * len(layers) + 160
    figure.update_layout(
        title=f"{table['model_a'].iloc[0]} mapped onto {table['model_b'].iloc[0]} by "
        f"{table['method'].iloc[0]}: overlap of emotion subspaces, held-out prompts",
        template=TEMPLATE,
        height=height,
        width=1000,
        legend={"orientation": "h", "y": -75 / (height - 160), "yanchor": "top"},
    )
    return figure


def _traces(panel: pd.DataFrame, *, legend: bool) -> list[go.Scatter]:
    sizes, null = panel["k"].tolist(), panel["null_p95"].tolist()
    if not sizes:
        return []
    # Wider than the points, so that the band is visible for a single k.
    edges = [sizes[0] - 0.4, *sizes, sizes[-1] + 0.4]
    band = go.Scatter(
        x=edges + edges[::-1],
        y=[null[0], *null, null[-1]] + [0.0] * len(edges),
        fill="toself",
        fillcolor=GREY_BAND,
        mode="lines",
        line={"width": 0},
        name="shuffled pairs, up to 95 %",
        hoverinfo="skip",
        showlegend=legend,
    )
    lines = (
        ("overlap_after", "after mapping", _AFTER, None),
        ("overlap_before", "before", _BEFORE, "dash"),
        ("overlap_other_emotions", "after, with B's other emotions", _OTHER, "dashdot"),
        ("ceiling", "two halves of B's prompts", _CEILING, "dot"),
    )
    return [
        band,
        *(
            go.Scatter(
                x=sizes,
                y=[None if value != value else value for value in panel[column]],
                name=name,
                mode="lines+markers",
                marker={"size": 4},
                line={"color": color, "dash": dash},
                showlegend=legend,
            )
            for column, name, color, dash in lines
        ),
    ]
