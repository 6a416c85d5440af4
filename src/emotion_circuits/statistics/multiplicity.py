"""Corrections of p-values for the number of comparisons in a family."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from statsmodels.stats.multitest import multipletests


class Corrected(NamedTuple):
    """Corrected p-values of one family; NaN and False for a missing p-value.

    Attributes:
        p_value_bonferroni: p times the size of the family; bounds the chance of a false finding.
        p_value_fdr: p by Benjamini and Hochberg; bounds the expected share of false findings.
        significant_bonferroni: Whether ``p_value_bonferroni`` is at most alpha.
        significant_fdr: Whether ``p_value_fdr`` is at most alpha.
    """

    p_value_bonferroni: Float[np.ndarray, " row"]
    p_value_fdr: Float[np.ndarray, " row"]
    significant_bonferroni: Bool[np.ndarray, " row"]
    significant_fdr: Bool[np.ndarray, " row"]


def correct_family(p_values: Float[np.ndarray, " row"], *, alpha: float) -> Corrected:
    """Correct the p-values of one family.

    A comparison without a p-value counts with p = 1. Leaving it out would make the correction of
    the others too weak.

    Args:
        p_values: Uncorrected p-values; NaN if missing.
        alpha: Level of significance.
    """
    known = np.isfinite(p_values)
    counted = np.where(known, p_values, 1.0)
    corrections = []
    for method in ("bonferroni", "fdr_bh"):
        reject, corrected = multipletests(counted, alpha=alpha, method=method)[:2]
        corrections.append((np.where(known, corrected, np.nan), reject & known))
    (bonferroni, strict), (fdr, lenient) = corrections
    return Corrected(bonferroni, fdr, strict, lenient)
