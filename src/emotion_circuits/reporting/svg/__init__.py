"""Plotly figures as static SVG, without a browser: one picture per panel, or one file."""

from emotion_circuits.reporting.svg.pictures import LegendEntry, Picture, read_picture
from emotion_circuits.reporting.svg.render import legend_mark, panel_svg, picture_svg

__all__ = [
    "LegendEntry",
    "Picture",
    "legend_mark",
    "panel_svg",
    "picture_svg",
    "read_picture",
]
