"""Figures of phase 3 beside probes: lengths of vectors, cosines, and variance of subspaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, DIVERGING, GREEN, PURPLE, VERMILION, finish


def draw_norms(
    norms: pd.DataFrame, common_share: Mapping[int, float], model: str, emotions: Sequence[str]
) -> go.Figure:
    """Draw each vector's relative length and reliability by layer, and what all have in common.

    Args:
        norms: Phase 3's ``vector_norms``.
        common_share: By layer, the part of the vectors' squared length that they share.
        model: Name of the model.
        emotions: The emotions, in order.
    """
    names = [name for name in emotions if (norms["emotion"] == name).any()]
    figure = panels_for(names)
    layers = sorted(common_share)
    for index, name in enumerate(names):
        own, place = norms[norms["emotion"] == name], position(index, len(names))
        lines = (
            (own["layer"].tolist(), own["ratio"].tolist(), BLUE, None, "length over neutral's"),
            (own["layer"].tolist(), own["reliability"].tolist(), GREEN, "dash", "reliability"),
            (layers, [common_share[i] for i in layers], VERMILION, "dot", "share common to all"),
        )
        for x, y, colour, dash, label in lines:
            figure.add_scatter(
                x=x,
                y=y,
                mode="lines+markers",
                marker={"size": 4},
                line={"color": colour, "dash": dash},
                name=label,
                showlegend=index == 0,
                **place,
            )
    figure.update_xaxes(title_text="layer", dtick=1)
    figure.update_yaxes(title_text="ratio")
    height = 120 + 230 * -(-len(names) // 3)
    return finish(figure, f"{model}: the emotion vectors", width=1000, height=height, legend=True)


def draw_cosines(
    cosines: pd.DataFrame, layer: int, model: str, emotions: Sequence[str]
) -> go.Figure:
    """Draw the cosines of all pairs of emotion vectors in one layer.

    Args:
        cosines: Phase 3's ``vector_cosines``, which lists each pair once.
        layer: The layer.
        model: Name of the model.
        emotions: The emotions, in order.
    """
    own = cosines[(cosines["layer_a"] == layer) & (cosines["layer_b"] == layer)]
    known = {frozenset((line.emotion_a, line.emotion_b)): line.cosine for line in own.itertuples()}
    values = [[known.get(frozenset((a, b))) for b in emotions] for a in emotions]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=list(emotions),
            y=list(emotions),
            zmin=-1,
            zmax=1,
            colorscale=[list(stop) for stop in DIVERGING],
            texttemplate="%{z:.2f}",
            colorbar={"title": "cosine"},
        )
    )
    figure.update_yaxes(autorange="reversed")
    size = 240 + 34 * len(emotions)
    title = f"{model}: cosines of the emotion vectors, layer {layer}"
    return finish(figure, title, width=size + 120, height=size)


def draw_variance(subspaces: Mapping[str, Any], model: str, labels: Sequence[str]) -> go.Figure:
    """Draw the share of the variance of paired differences that each principal direction has.

    Args:
        subspaces: Phase 3's ``emotion_subspaces``.
        model: Name of the model.
        labels: The emotions and the neutral class, in order.
    """
    found = subspaces["subspaces"]
    names = [label for label in labels if label in found]
    figure = panels_for(names, columns=4)
    colours = (BLUE, VERMILION, GREEN, PURPLE)
    for index, name in enumerate(names):
        layers = sorted(found[name])
        ratios = [list(found[name][layer]["explained_variance_ratio"]) for layer in layers]
        for k in range(min(len(colours), min(map(len, ratios)))):
            figure.add_scatter(
                x=layers,
                y=[float(ratio[k]) for ratio in ratios],
                mode="lines+markers",
                marker={"size": 4},
                line={"color": colours[k], "dash": (None, "dash", "dot", "dashdot")[k]},
                name=f"direction {k + 1}",
                showlegend=index == 0,
                **position(index, len(names), columns=4),
            )
    figure.update_xaxes(title_text="layer", dtick=1)
    figure.update_yaxes(title_text="share of the variance", rangemode="tozero")
    height = 120 + 220 * -(-len(names) // 4)
    title = f"{model}: variance of the subspaces' first directions"
    return finish(figure, title, width=1100, height=height, legend=True)
