"""The figures of phase 5: dose response, and specificity of the metrics."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

_NULL = "rgba(120, 120, 120, 0.25)"


def draw_dose_response(
    doses: pd.DataFrame, controls: pd.DataFrame, targets: Mapping[str, str]
) -> go.Figure:
    """Draw each emotion's target metric and the fluency loss against the strength.

    Each layer has a line with 95 % intervals as error bars, on the confirming half of the prompts.
    The grey band is the middle 95 % of random directions on the same prompts.

    Args:
        doses: The result of ``dose_response_table``.
        controls: The result of ``control_table``.
        targets: Each emotion's target metric, as ``metric.label``.
    """
    emotions = list(targets)
    figure = make_subplots(
        rows=2,
        cols=len(emotions),
        subplot_titles=[f"{emotion}: {targets[emotion]}" for emotion in emotions],
        shared_xaxes=True,
        shared_yaxes=True,
        row_heights=[0.65, 0.35],
        vertical_spacing=0.06,
        horizontal_spacing=0.03,
    )
    confirm = doses[doses["half"] == "confirm"]
    layers = sorted(confirm["layer"].unique())
    shades = sample_colorscale(
        "Viridis", [i / max(1, len(layers) - 1) * 0.9 for i in range(len(layers))]
    )
    for column, emotion in enumerate(emotions, start=1):
        of_emotion = confirm[confirm["emotion"] == emotion]
        band = _random_band(controls, emotion)
        if band is not None:
            figure.add_trace(band.update(showlegend=column == 1), row=1, col=column)
        for row, metric in enumerate((targets[emotion], "fluency.nll"), start=1):
            panel = of_emotion[of_emotion["metric_name"] == metric]
            for layer, shade in zip(layers, shades, strict=True):
                line = _line(panel[panel["layer"] == layer], f"layer {layer}", shade)
                line.update(showlegend=row == column == 1)
                figure.add_trace(line, row=row, col=column)
        figure.update_xaxes(title_text="α, in lengths of the vector", row=2, col=column)
    figure.update_yaxes(title_text="change of the score", row=1, col=1)
    figure.update_yaxes(title_text="nats per token lost", row=2, col=1)
    name = doses["model_name"].iloc[0]
    n = int(confirm["n"].iloc[0])
    figure.update_layout(
        title=f"{name}: what steering does to {n} neutral prompts",
        template="simple_white",
        height=620,
        width=1100,
        legend={"orientation": "h", "y": -0.14},
    )
    return figure


def _line(lines: pd.DataFrame, name: str, color: str) -> go.Scatter:
    lines = lines.sort_values("alpha")
    return go.Scatter(
        x=lines["alpha"].tolist(),
        y=lines["mean_diff"].tolist(),
        error_y={
            "type": "data",
            "symmetric": False,
            "array": (lines["ci_upper"] - lines["mean_diff"]).tolist(),
            "arrayminus": (lines["mean_diff"] - lines["ci_lower"]).tolist(),
            "thickness": 1,
        },
        name=name,
        legendgroup=name,
        mode="lines+markers",
        line={"color": color},
    )


def _random_band(controls: pd.DataFrame, emotion: str) -> go.Scatter | None:
    """Return the band of the middle 95 % of random directions over all layers, per strength."""
    lines = controls[
        (controls["half"] == "confirm")
        & (controls["kind"] == "random")
        & (controls["emotion"] == emotion)
    ]
    if not len(lines):
        return None
    by_alpha = lines.groupby("alpha")["mean_diff"]
    lower, upper = by_alpha.quantile(0.025), by_alpha.quantile(0.975)
    alphas = lower.index.tolist()
    return go.Scatter(
        x=alphas + alphas[::-1],
        y=upper.tolist() + lower.tolist()[::-1],
        fill="toself",
        fillcolor=_NULL,
        # Without a line, the band of a single strength would be invisible.
        line={"width": 0 if len(alphas) > 1 else 10, "color": _NULL},
        mode="lines",
        name="random directions, middle 95 %",
        hoverinfo="skip",
    )


def draw_specificity(table: pd.DataFrame, targets: Mapping[str, str]) -> go.Figure:
    """Draw how steering towards each emotion changes all target metrics, sentiment and politeness.

    Args:
        table: The result of ``specificity_table``.
        targets: Each emotion's target metric, as ``metric.label``.
    """
    first = list(targets.values())
    others = [
        name
        for name in table["metric_name"].unique()
        if not name.startswith(("goemotions.", "fluency.")) and name not in first
    ]
    wide = table.pivot(index="steered", columns="metric_name", values="mean_diff")
    wide = wide.loc[[emotion for emotion in targets if emotion in wide.index], [*first, *others]]
    chosen = table.drop_duplicates("steered").set_index("steered").loc[wide.index]
    names = [
        f"{emotion} (layer {line.layer}, α {line.alpha:g})"
        for emotion, line in zip(chosen.index, chosen.itertuples(), strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=wide.to_numpy().tolist(),
            x=wide.columns.tolist(),
            y=names,
            zmin=-1,
            zmax=1,
            colorscale="RdBu",
            reversescale=True,
            texttemplate="%{z:.2f}",
            colorbar={"title": "change"},
        )
    )
    figure.update_yaxes(autorange="reversed", title_text="steered towards")
    figure.update_layout(
        title=f"{table['model_name'].iloc[0]}: which score moves for which emotion",
        template="simple_white",
        height=380,
        width=1000,
    )
    return figure
