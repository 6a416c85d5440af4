"""Clusters of texts: which texts are too alike to count as independent samples."""

from __future__ import annotations

import logging
from functools import cache
from typing import Final

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

logger = logging.getLogger(__name__)

CLUSTER: Final = "cluster"


def clusters_of(table: pd.DataFrame) -> pd.Series:
    """Return the cluster of each text: its template, or else its pair, or else the text itself.

    All texts of a pair share a cluster. If a pair has texts of several templates, these templates
    are one cluster. In a split whose texts are all of one cluster, templates are ignored, since
    one cluster can neither be halved nor give an interval.

    Args:
        table: Texts with ``text``; ``template_id``, ``pair_id`` and ``split`` may be missing.

    Returns:
        Names of clusters, with the table's index. A template's cluster has the template's name.
    """
    index, table = table.index, table.reset_index(drop=True)
    pair, template = (_column(table, name) for name in ("pair_id", "template_id"))
    own = ("pair " + pair).where(pair != "", "text " + table["text"].astype(str))
    lacking = template == ""
    if lacking.any():
        _say(
            f"{int(lacking.sum())} of {len(table)} texts have no template_id; each pair, or text "
            "without a pair, is a unit of its own"
        )
    clusters = _joined(own, template.where(~lacking, own))
    for split, members in table.groupby(_column(table, "split")).groups.items():
        units = own[members]
        if clusters[members].nunique() < 2 <= units.nunique():
            clusters[members] = units
            _say(
                f"the {len(members)} texts of split {split!r} are all of one template, or their "
                "pairs join their templates; each pair, or text without a pair, is a unit"
            )
    return clusters.set_axis(index)


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name not in table:
        return pd.Series("", index=table.index, dtype=object)
    return table[name].fillna("").astype(str)


def _joined(units: pd.Series, templates: pd.Series) -> pd.Series:
    """Join templates that share a unit; a cluster is named after its first template."""
    unit, _ = pd.factorize(units)
    template, names = pd.factorize(templates, sort=True)
    n_units = int(unit.max(initial=-1)) + 1
    size = n_units + len(names)
    edges = coo_array((np.ones(len(unit)), (unit, n_units + template)), shape=(size, size))
    component = connected_components(edges, directed=False)[1][n_units + template]
    first = pd.Series(template).groupby(component).transform("min").to_numpy(dtype=int)
    return pd.Series(np.asarray(names, dtype=object)[first], index=units.index, dtype=object)


@cache
def _say(message: str) -> None:
    """Log a message once, though every phase and model meets the same dataset."""
    logger.info(message)
