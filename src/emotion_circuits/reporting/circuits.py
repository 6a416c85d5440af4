"""Figures of phase 8: faithfulness against size, and the circuits as graphs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from emotion_circuits.reporting.style import BLUE, BLUE_BAND, GREY, TEMPLATE, VERMILION

_RAISES, _LOWERS = BLUE, VERMILION
_EDGES: Final = 40  # edges drawn per emotion, the largest


def draw_curves(circuit: Mapping[str, Any]) -> go.Figure:
    """Draw faithfulness against the share of nodes, and of edges, that is kept.

    The solid line with its ribbon shows nodes or edges in the order of scores with 95 % intervals
    over templates, the grey line the mean of random orders, the dotted line the threshold.

    Args:
        circuit: The result of ``find_circuits``; circuits of edges are drawn where they were run.
    """
    emotions = list(circuit["circuits"])
    curves = {"nodes": {name: found["curve"] for name, found in circuit["circuits"].items()}}
    if all("edge_circuit" in found for found in circuit["circuits"].values()):
        curves["edges"] = {
            name: found["edge_circuit"]["curve"] for name, found in circuit["circuits"].items()
        }
    figure = make_subplots(
        rows=len(curves),
        cols=len(emotions),
        subplot_titles=emotions,
        shared_yaxes=True,
        vertical_spacing=0.2,
    )
    for row, (parts, by_emotion) in enumerate(curves.items(), start=1):
        for column, emotion in enumerate(emotions, start=1):
            position = {"row": row, "col": column}
            _add_curve(figure, by_emotion[emotion], position)
            figure.add_hline(y=circuit["settings"]["threshold"], line_dash="dot", **position)
        figure.update_xaxes(type="log", title_text=f"share of {parts} kept", row=row)
    figure.update_yaxes(title_text="faithfulness", col=1)
    figure.update_layout(
        title=f"{circuit['model']}: faithfulness of circuits, found and tested on other templates",
        template=TEMPLATE,
        height=60 + 360 * len(curves),
        width=1100,
        legend={"orientation": "h", "y": -0.25 / len(curves)},
    )
    return figure


def _add_curve(
    figure: go.Figure, curve: Sequence[Mapping[str, Any]], position: Mapping[str, int]
) -> None:
    """Add one curve with its interval and the mean of random orders to a panel."""
    lines = [line for line in curve if line["size"]]
    known = [line for line in lines if line["faithfulness_lower"] is not None]
    first = position == {"row": 1, "col": 1}
    if known:
        ends = [line["share"] for line in known]
        figure.add_scatter(
            x=ends + ends[::-1],
            y=[line["faithfulness_upper"] for line in known]
            + [line["faithfulness_lower"] for line in known][::-1],
            mode="lines",
            fill="toself",
            fillcolor=BLUE_BAND,
            line={"width": 0},
            hoverinfo="skip",
            name="95 % interval",
            showlegend=first,
            **position,
        )
    for key, name, colour in (
        ("faithfulness", "order of scores", _RAISES),
        ("random_mean", "random orders", GREY),
    ):
        figure.add_scatter(
            x=[line["share"] for line in lines],
            y=[line[key] for line in lines],
            mode="lines+markers",
            name=name,
            line={"color": colour},
            showlegend=first,
            **position,
        )


def draw_circuits(circuit: Mapping[str, Any]) -> go.Figure:
    """Draw each emotion's circuit, found on all pairs, by layer; MLPs stand right of the heads.

    Blue raises the target, orange lowers it; edges are as wide as their scores are large.

    Args:
        circuit: The result of ``find_circuits``.
    """
    emotions = list(circuit["circuits"])
    figure = make_subplots(rows=1, cols=len(emotions), subplot_titles=emotions, shared_yaxes=True)
    for column, emotion in enumerate(emotions, start=1):
        for trace in _traces(circuit["circuits"][emotion]):
            figure.add_trace(trace, row=1, col=column)
    figure.update_xaxes(visible=False)
    figure.update_yaxes(title_text="layer", col=1)
    # From the input, below layer 0, to the logits, above the last one.
    figure.update_yaxes(dtick=1)
    figure.update_layout(
        title=f"{circuit['model']}: circuits found on all pairs (orange lowers the target)",
        template=TEMPLATE,
        height=620,
        width=1100,
        showlegend=False,
    )
    return figure


def _traces(found: Mapping[str, Any]) -> list[go.Scatter]:
    scores = {line["node"]: line["score"] for line in found["nodes"]}
    names = ["input", *scores, "logits"]
    layers = [int(match[1]) for name in scores if (match := re.match(r"[am](\d+)", name))]
    heads = [int(match[1]) for name in scores if (match := re.search(r"\.h(\d+)", name))]
    top, right = max(layers, default=0) + 1, max(heads, default=0) + 1
    place = {name: _place(name, top, right) for name in names}
    edges = sorted(found["edges"], key=lambda edge: -abs(edge["score"]))[:_EDGES]
    widest = max((abs(edge["score"]) for edge in edges), default=1.0) or 1.0
    traces = []
    for edge in edges:
        source, target = re.sub(r"<.>$", "", edge["edge"]).split("->")
        traces.append(
            go.Scatter(
                x=[place[source][0], place[target][0]],
                y=[place[source][1], place[target][1]],
                mode="lines",
                line={"width": 0.5 + 4 * abs(edge["score"]) / widest, "color": _colour(edge)},
                opacity=0.5,
                hoverinfo="text",
                text=f"{edge['edge']}: {edge['score']:.3f}",
            )
        )
    traces.append(
        go.Scatter(
            x=[place[name][0] for name in names],
            y=[place[name][1] for name in names],
            mode="markers+text",
            text=names,
            textposition="top center",
            marker={
                "size": 14,
                "color": [_colour({"score": scores.get(name, 0.0)}) for name in names],
            },
        )
    )
    return traces


def _place(name: str, top: int, right: int) -> tuple[float, float]:
    if name in ("input", "logits"):
        return right / 2, -1.0 if name == "input" else float(top)
    head = re.fullmatch(r"a(\d+)\.h(\d+)", name)
    if head is not None:
        return float(head[2]), float(head[1])
    return float(right), int(name[1:]) + 0.4


def _colour(line: Mapping[str, Any]) -> str:
    return _LOWERS if line["score"] < 0 else _RAISES
