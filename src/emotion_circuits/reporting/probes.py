"""The figure of phase 3: held-out AUROC per layer."""

import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

# Colour-blind safe blue and vermilion of Okabe and Ito, and grey.
_RESIDUAL, _WORDS, _NULL = "#0072B2", "#D55E00", "rgba(120, 120, 120, 0.25)"
_COLUMNS = 3


def draw_probes(table: pd.DataFrame) -> go.Figure:
    """Draw AUROC on implicit test prompts against the layer, one panel per contrast.

    The solid line with its ribbon shows the probe on the residual stream and its 95 % interval,
    the dashed line the bag of words, the grey band the middle 95 % of probes on shuffled labels.

    Args:
        table: The result of ``probe_table``, with the column ``model_name``.
    """
    contrasts = list(dict.fromkeys(table["contrast"]))
    titles = [contrast.replace("_vs_", " – ") for contrast in contrasts]
    figure = make_subplots(
        rows=-(-len(contrasts) // _COLUMNS),
        cols=_COLUMNS,
        subplot_titles=titles,
        shared_yaxes=True,
        shared_xaxes=True,
        vertical_spacing=0.14,
        horizontal_spacing=0.04,
    )
    for index, contrast in enumerate(contrasts):
        panel = table[table["contrast"] == contrast]
        position = {"row": index // _COLUMNS + 1, "col": index % _COLUMNS + 1}
        for trace in _traces(panel, legend=index == 0):
            figure.add_trace(trace, **position)
    figure.update_yaxes(range=[0, 1.03], dtick=0.25)
    figure.update_xaxes(dtick=1)
    for column in range(1, _COLUMNS + 1):
        figure.update_xaxes(title_text="layer", row=-(-len(contrasts) // _COLUMNS), col=column)
    figure.update_yaxes(title_text="held-out AUROC", col=1)
    figure.update_layout(
        title=f"{table['model_name'].iloc[0]}: emotion read from the residual stream, "
        "implicit prompts",
        template="simple_white",
        height=560,
        width=1000,
        legend={"orientation": "h", "y": -0.14},
    )
    return figure


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
        line={"color": _RESIDUAL},
        showlegend=legend,
    )
    dashed = go.Scatter(
        x=layers,
        y=words["auroc"].tolist() * len(layers),
        name="bag of words",
        mode="lines",
        line={"color": _WORDS, "dash": "dash"},
        showlegend=legend,
    )
    return [
        _band(shuffled, "shuffled labels", _NULL, legend),
        _band(residual, "95 % interval", "rgba(0, 114, 178, 0.2)", legend),
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
