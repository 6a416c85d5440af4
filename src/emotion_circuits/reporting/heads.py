"""Figures of phase 6: maps of all heads, and sets of heads beside random sets."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, DIVERGING, GREY, bars, finish

# Scores of screening, with what they measure and their unit.
SCORES: Final = {
    "drop_mean": "decrease of the emotion's score under mean ablation",
    "drop_zero": "decrease of the emotion's score under zero ablation",
    "reaction_drop_mean": "decrease of the own reaction's log-probability, nats a token",
    "logit_contrast_drop_mean": "decrease of the marking words' log odds beyond neutral's, nats",
    "direct_write": "what the head writes along the emotion's vector",
    "attribution_projection_mean": "gradient estimate of the decrease along the vector",
}


def draw_head_map(scores: pd.DataFrame, emotions: EmotionSet, score: str = "") -> go.Figure:
    """Draw one score of every head, layer by head, a panel for each emotion.

    Orange-red heads carry the emotion: without them the score falls. White heads were not screened
    or have no effect.

    Args:
        scores: Phase 6's ``head_score_table``.
        emotions: The study's emotions.
        score: A column of the table, one of ``SCORES``; empty for ``main_score``.
    """
    score = score or main_score(scores)
    table = scores[(scores["half"] == "both") & scores["emotion"].isin(emotions.names)]
    names = [name for name in emotions.names if (table["emotion"] == name).any()]
    heads, layers = range(int(table["head"].max()) + 1), sorted(table["layer"].unique())
    largest = float(table[score].abs().max() or 1.0)
    figure = panels_for(names)
    for index, name in enumerate(names):
        own = table[table["emotion"] == name].pivot(index="layer", columns="head", values=score)
        figure.add_heatmap(
            z=own.reindex(index=layers, columns=heads).to_numpy().tolist(),
            x=list(heads),
            y=[int(layer) for layer in layers],
            zmin=-largest,
            zmax=largest,
            colorscale=[list(stop) for stop in DIVERGING],
            texttemplate="%{z:.2f}" if len(heads) <= 6 else None,
            showscale=index == 0,
            colorbar={"title": "decrease"},
            **position(index, len(names)),
        )
    figure.update_xaxes(title_text="head", dtick=1)
    figure.update_yaxes(title_text="layer", dtick=1)
    model = scores["model_name"].iloc[0]
    rows = -(-len(names) // 3)
    height = 90 + rows * (90 + 22 * len(layers))
    title = f"{model}: {SCORES[score]} (±{largest:.2g})"
    return finish(figure, title, width=1000, height=height)


def main_score(scores: pd.DataFrame) -> str:
    """Return the score of the main ablation: ``mean`` if it was run, otherwise ``zero``."""
    return "drop_mean" if "drop_mean" in scores else "drop_zero"


def draw_head_sets(summary: pd.DataFrame, emotions: EmotionSet) -> go.Figure:
    """Draw what ablating and patching the chosen heads does, beside random sets of heads.

    Args:
        summary: Phase 6's ``head_patching_summary``.
        emotions: The study's emotions.
    """
    table = summary[(summary["head_set"] == "chosen") & summary["emotion"].isin(emotions.names)]
    names = [name for name in emotions.names if (table["emotion"] == name).any()]
    figure = panels_for(names)
    for index, name in enumerate(names):
        own = table[table["emotion"] == name]
        labels = [_combination(line) for line in own.to_dict("records")]
        place = position(index, len(names))
        figure.add_scatter(
            x=own["fraction"].tolist(),
            y=labels,
            error_x=bars(own["fraction"], own["fraction_lower"], own["fraction_upper"]),
            mode="markers",
            marker={"color": BLUE, "size": 7},
            name="chosen heads, 95 % interval",
            showlegend=index == 0,
            **place,
        )
        figure.add_scatter(
            x=own["random_fraction"].tolist(),
            y=labels,
            error_x=bars(
                own["random_fraction"], own["random_fraction_lower"], own["random_fraction_upper"]
            ),
            mode="markers",
            marker={"color": GREY, "size": 7, "symbol": "x"},
            name="random sets of heads, mean",
            showlegend=index == 0,
            **place,
        )
        figure.add_vline(x=0, line_dash="dot", **place)
    figure.update_xaxes(title_text="share of the emotion's effect")
    figure.update_yaxes(autorange="reversed")
    model = summary["model_name"].iloc[0]
    title = f"{model}: chosen heads ablated and patched"
    height = 120 + 260 * -(-len(names) // 3)
    return finish(figure, title, width=1100, height=height, legend=True)


def _combination(line: Mapping[Any, Any]) -> str:
    if line["what"] == "ablation":
        return f"ablation, {line['ablation']}"
    direction = str(line["direction"]).replace("_to_", " to ")
    return f"{direction}, {str(line['mode']).replace('_', ' ')}"
