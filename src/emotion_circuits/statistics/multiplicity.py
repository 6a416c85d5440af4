"""Corrections of p-values for the number of comparisons in a family."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from statsmodels.stats.multitest import multipletests


class Corrected(NamedTuple):
    """Corrected p-values of one family; NaN and False where there was no p-value.

    Attributes:
        p_value_bonferroni: p times the size of the family: the chance of any false finding.
        p_value_fdr: Benjamini and Hochberg's: the expected share of false ones among findings.
        significant_bonferroni: At most alpha.
        significant_fdr: At most alpha.
    """

    p_value_bonferroni: Float[np.ndarray, " row"]
    p_value_fdr: Float[np.ndarray, " row"]
    significant_bonferroni: Bool[np.ndarray, " row"]
    significant_fdr: Bool[np.ndarray, " row"]


def correct_family(p_values: Float[np.ndarray, " row"], *, alpha: float) -> Corrected:
    """Correct the p-values of one family.

    A comparison without a p-value was made all the same and counts as one that found nothing
    (p = 1); leaving it out would make the others look better.

    Args:
        p_values: May hold NaN.
        alpha: Level of significance.
    """
    known = np.isfinite(p_values)
    counted = np.where(known, p_values, 1.0)
    found = []
    for method in ("bonferroni", "fdr_bh"):
        reject, corrected = multipletests(counted, alpha=alpha, method=method)[:2]
        found.append((np.where(known, corrected, np.nan), reject & known))
    (bonferroni, strict), (fdr, lenient) = found
    return Corrected(bonferroni, fdr, strict, lenient)
