"""The figure of phase 3: held-out AUROC per layer."""

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, BLUE_BAND, GREY_BAND, VERMILION, finish


def draw_probes(table: pd.DataFrame) -> go.Figure:
    """Draw AUROC on implicit test prompts against the layer, one panel per contrast.

    The solid line with its ribbon shows the probe on the residual stream and its 95 % interval,
    the dashed line the bag of words, the grey band the middle 95 % of probes on shuffled labels.

    Args:
        table: The result of ``probe_table``, with the column ``model_name``.
    """
    contrasts = list(dict.fromkeys(table["contrast"]))
    titles = [contrast.replace("_vs_", " – ") for contrast in contrasts]
    figure = panels_for(titles)
    for index, contrast in enumerate(contrasts):
        panel = table[table["contrast"] == contrast]
        for trace in _traces(panel, legend=index == 0):
            figure.add_trace(trace, **position(index, len(contrasts)))
    figure.update_yaxes(range=[0, 1.03], dtick=0.25)
    figure.update_xaxes(dtick=1, title_text="layer")
    figure.update_yaxes(title_text="held-out AUROC", col=1)
    title = (
        f"{table['model_name'].iloc[0]}: emotion read from the residual stream, implicit prompts"
    )
    height = 120 + 220 * -(-len(contrasts) // 3)
    return finish(figure, title, width=1000, height=height, legend=True)


def _traces(panel: pd.DataFrame, *, legend: bool) -> list[go.Scatter]:
    residual = panel[(panel["probe"] == "residual") & (panel["subset"] == "implicit")]
    shuffled = panel[panel["probe"] == "residual_shuffled_labels"]
    words = panel[(panel["probe"] == "bag_of_words") & (panel["subset"] == "implicit")]
    layers = residual["layer"].tolist()
    line = go.Scatter(
        x=layers,
        y=residual["auroc"].tolist(),
        name="residual stream",
        mode="lines+markers",
        line={"color": BLUE},
        showlegend=legend,
    )
    dashed = go.Scatter(
        x=layers,
        y=words["auroc"].tolist() * len(layers),
        name="bag of words",
        mode="lines",
        line={"color": VERMILION, "dash": "dash"},
        showlegend=legend,
    )
    return [
        _band(shuffled, "shuffled labels", GREY_BAND, legend),
        _band(residual, "95 % interval", BLUE_BAND, legend),
        dashed,
        line,
    ]


def _band(lines: pd.DataFrame, name: str, color: str, legend: bool) -> go.Scatter:
    layers = lines["layer"].tolist()
    return go.Scatter(
        x=layers + layers[::-1],
        y=lines["ci_upper"].tolist() + lines["ci_lower"].tolist()[::-1],
        mode="lines",  # otherwise Plotly marks the corners of a band of few layers
        fill="toself",
        fillcolor=color,
        line={"width": 0},
        name=name,
        hoverinfo="skip",
        showlegend=legend,
    )
