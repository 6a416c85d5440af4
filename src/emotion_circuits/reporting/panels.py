"""Panels in rows, one for each of several names."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go
from plotly.subplots import make_subplots


def panels_for(
    names: Sequence[str], *, columns: int = 3, share_x: bool = True, share_y: bool = True
) -> go.Figure:
    """Return a figure with a panel for each name, in rows.

    Args:
        names: Titles of the panels, at least one.
        columns: Largest number of panels in a row.
        share_x: Whether all panels have one range of x.
        share_y: Whether all panels have one range of y.
    """
    columns = min(columns, len(names))
    rows = -(-len(names) // columns)
    return make_subplots(
        rows=rows,
        cols=columns,
        subplot_titles=list(names),
        shared_xaxes="all" if share_x else False,
        shared_yaxes="all" if share_y else False,
        vertical_spacing=0.4 / rows,
        horizontal_spacing=0.05,
    )


def position(index: int, n_names: int, *, columns: int = 3) -> dict[str, int]:
    """Return row and column of a panel, as Plotly wants them."""
    row, column = divmod(index, min(columns, n_names))
    return {"row": row + 1, "col": column + 1}
