"""Figures of phase 7: the study's claims as a forest plot, and its power."""

from __future__ import annotations

import pandas as pd
import plotly.graph_objects as go

from emotion_circuits.reporting.panels import panels_for, position
from emotion_circuits.reporting.style import BLUE, GREY, ORANGE, bars, finish

# Each comparison of the claims: title of its panel, and its samples.
_COMPARISONS = {
    "residual": "steered against unsteered",
    "random": "steered against random directions",
}


def draw_claims(effects: pd.DataFrame) -> go.Figure:
    """Draw the change of each emotion's own score at its chosen layer and strength, as a forest.

    Args:
        effects: Phase 7's ``effect_sizes``; only lines marked ``confirmatory`` are drawn.
    """
    claims = confirmatory(effects)
    shown = [phase for phase in _COMPARISONS if (claims["phase"] == phase).any()]
    figure = panels_for([_COMPARISONS[phase] for phase in shown] or ["no claims"], columns=2)
    for index, phase in enumerate(shown):
        own, place = claims[claims["phase"] == phase], position(index, len(shown), columns=2)
        figure.add_scatter(
            x=own["mean_diff"].tolist(),
            y=_names(own),
            error_x=bars(own["mean_diff"], own["ci_lower"], own["ci_upper"]),
            mode="markers",
            marker={"color": BLUE, "size": 8, "symbol": "square"},
            name="mean change, 95 % interval",
            **place,
        )
        figure.add_vline(x=0, line_dash="dot", **place)
    figure.update_xaxes(title_text="change of the emotion's own score")
    figure.update_yaxes(autorange="reversed")
    height = 140 + 26 * max(4, len(set(_names(claims))))
    return finish(
        figure, "The study's claims, on prompts that chose nothing", width=1100, height=height
    )


def draw_power(power: pd.DataFrame) -> go.Figure:
    """Draw the power of the test of each claim, at the effect that was seen.

    Args:
        power: Phase 7's ``power_analysis``.
    """
    claims = confirmatory(power)
    claims = claims[claims["phase"] == "residual"]
    figure = panels_for(
        ["at the observed effect", "smallest effect that can be detected"], columns=2, share_x=False
    )
    for index, (column, colour, symbol) in enumerate(
        (("power", ORANGE, "circle"), ("minimal_detectable_effect", GREY, "diamond"))
    ):
        if claims.empty:
            break
        figure.add_scatter(
            x=claims[column].tolist(),
            y=_names(claims),
            mode="markers",
            marker={"color": colour, "symbol": symbol, "size": 8},
            **position(index, 2, columns=2),
        )
    figure.update_xaxes(title_text="power", range=[0, 1.03], row=1, col=1)
    figure.update_xaxes(title_text="Cohen's d", rangemode="tozero", row=1, col=2)
    figure.add_vline(x=0.8, line_dash="dot", row=1, col=1)
    figure.update_yaxes(autorange="reversed")
    height = 140 + 26 * max(4, len(claims))
    return finish(
        figure, "Power of the claims, steered against unsteered", width=1100, height=height
    )


def confirmatory(effects: pd.DataFrame) -> pd.DataFrame:
    """Return the lines of the study's claims."""
    if "confirmatory" not in effects:
        return effects.iloc[:0]
    return effects[effects["confirmatory"].astype(bool)]


def _names(claims: pd.DataFrame) -> list[str]:
    return [f"{line.model_name}, {line.emotion}" for line in claims.itertuples()]
