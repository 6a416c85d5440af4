"""The figures of phase 5: dose response, and specificity of the metrics."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Final

import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from emotion_circuits.experiments.choice import LAST_LAYERS
from emotion_circuits.reporting.style import DIVERGING, GREY_BAND, TEMPLATE, VERMILION_BAND

# Each kind of random direction: its colour, and its name in the legend.
_RANDOM: Final = {
    "random": (GREY_BAND, "random directions, middle 95 %"),
    "covariance": (
        VERMILION_BAND,
        "random directions of the activations' covariance, middle 95 %",
    ),
}


def draw_dose_response(
    doses: pd.DataFrame,
    controls: pd.DataFrame,
    targets: Mapping[str, str],
    headline_layers: Collection[int],
) -> go.Figure:
    """Draw each emotion's target metric and the fluency loss against the strength.

    Each layer has a line with 95 % intervals as error bars, on the confirming half of the prompts;
    layers that the headline may not choose from are dotted. Bands are the middle 95 % of random
    directions on the same prompts, at the layers of the headline: grey for uniform directions,
    orange for those of the activations' covariance.

    Args:
        doses: The result of ``dose_response_table``.
        controls: The result of ``control_table``.
        targets: Each emotion's target metric, as ``metric.label``.
        headline_layers: Layers from which the headline may choose.
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
        # Without the light end, which is too faint on white.
        "Viridis",
        [i / max(1, len(layers) - 1) * 0.7 for i in range(len(layers))],
    )
    shown_controls = controls[
        (controls["half"] == "confirm") & controls["layer"].isin(list(headline_layers))
    ]
    for column, emotion in enumerate(emotions, start=1):
        of_emotion = confirm[confirm["emotion"] == emotion]
        of_controls = shown_controls[shown_controls["emotion"] == emotion]
        for kind in _RANDOM:
            for row, score in enumerate(("mean_diff", "fluency_loss"), start=1):
                band = _random_band(of_controls, kind, score)
                if band is not None:
                    band.update(showlegend=row == column == 1)
                    figure.add_trace(band, row=row, col=column)
        for row, metric in enumerate((targets[emotion], "fluency.nll"), start=1):
            panel = of_emotion[of_emotion["metric_name"] == metric]
            for layer, shade in zip(layers, shades, strict=True):
                line = _line(panel[panel["layer"] == layer], f"layer {layer}", shade)
                line.update(showlegend=row == column == 1)
                if layer not in headline_layers:
                    line.update(line_dash="dot", name=f"layer {layer} (last layers)")
                figure.add_trace(line, row=row, col=column)
        figure.update_xaxes(title_text="α, in lengths of the vector", row=2, col=column)
    figure.update_yaxes(title_text="change of the score", row=1, col=1)
    figure.update_yaxes(title_text="nats per token lost", row=2, col=1)
    name = doses["model_name"].iloc[0]
    n = int(confirm["n"].iloc[0])
    figure.update_layout(
        title=f"{name}: what steering does to {n} neutral prompts, and what it costs",
        template=TEMPLATE,
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


def _random_band(controls: pd.DataFrame, kind: str, score: str) -> go.Scatter | None:
    """Return the band of the middle 95 % of random directions over all layers, per strength."""
    lines = controls[controls["kind"] == kind]
    if not len(lines):
        return None
    color, name = _RANDOM[kind]
    by_alpha = lines.groupby("alpha")[score]
    lower, upper = by_alpha.quantile(0.025), by_alpha.quantile(0.975)
    alphas = lower.index.tolist()
    return go.Scatter(
        x=alphas + alphas[::-1],
        y=upper.tolist() + lower.tolist()[::-1],
        fill="toself",
        fillcolor=color,
        # Without a line, the band of a single strength would be invisible.
        line={"width": 0 if len(alphas) > 1 else 10, "color": color},
        mode="lines",
        name=name,
        legendgroup=name,
        hoverinfo="skip",
    )


def draw_specificity(table: pd.DataFrame, targets: Mapping[str, str]) -> go.Figure:
    """Draw how steering towards each emotion changes all target metrics, sentiment and politeness.

    Each row names its layer, α and cost in nats per token; rows of the last layers follow those of
    the headline.

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
    rows = ["choice", "steered"]
    wide = table.pivot(index=rows, columns="metric_name", values="mean_diff")
    chosen = table.drop_duplicates(rows).set_index(rows)
    order = [
        (choice, emotion)
        for choice in table["choice"].unique()
        for emotion in targets
        if (choice, emotion) in chosen.index
    ]
    wide, chosen = wide.loc[order, [*first, *others]], chosen.loc[order]
    names = [
        f"{emotion}{', last layers' if choice == LAST_LAYERS else ''} "
        f"(layer {line.layer}, α {line.alpha:g}, {line.fluency_loss:+.2f} nats)"
        for (choice, emotion), line in zip(order, chosen.itertuples(), strict=True)
    ]
    figure = go.Figure(
        go.Heatmap(
            z=wide.to_numpy().tolist(),
            x=wide.columns.tolist(),
            y=names,
            zmin=-1,
            zmax=1,
            colorscale=[list(stop) for stop in DIVERGING],
            texttemplate="%{z:.2f}",
            colorbar={"title": "change"},
        )
    )
    figure.update_yaxes(autorange="reversed", title_text="steered towards")
    figure.update_layout(
        title=f"{table['model_name'].iloc[0]}: which score moves for which emotion",
        template=TEMPLATE,
        height=200 + 60 * len(names),
        width=1000,
    )
    return figure
