"""Is what two models share this emotion, or any? Overlap with the emotion minus with others."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from jaxtyping import Float
from scipy.stats import norm

from emotion_circuits.statistics.null_tests import bootstrap_max_p

SPECIFICITY_COLUMNS: Final = (
    *("mean_overlap_other", "specificity", "specificity_ci_lower", "specificity_ci_upper"),
    *("specificity_excludes_0", "specificity_p_corrected", "selected_specific", "specific_reason"),
)

# What a k sweep may hold of the other emotions: the overlap, and that in the same resamples.
OTHER: Final = "overlap_other"
OTHER_RESAMPLES: Final = "overlap_other_bootstrap"

NO_OTHER: Final = "the sweep holds no resampled overlaps with other emotions"
NOT_SPECIFIC: Final = "no k is above the null and specific"


def interval_of(
    estimate: float, resampled: Float[np.ndarray, " resample"], alpha: float, *, least: float
) -> tuple[float, float, float]:
    """Give estimate ± z · distance, within [least, 1], and the standard error.

    The distance is the root mean square of the resamples' from the estimate: their deviation and
    their bias. Their percentiles are of no use as an interval: a resample has fewer distinct
    pairs, so overlaps of subspaces fitted to it are smaller, and all of them may lie below the
    estimate. The standard error is their deviation alone, about their own mean.

    What is covered is the mean of what other studies of as many pairs would give, not what
    unlimited pairs would: with few or noisy pairs overlaps come out too small in all of them.

    Args:
        estimate: An overlap, or a difference of two.
        resampled: The same, refitted to pairs drawn with replacement.
        alpha: The interval covers 1 - alpha.
        least: What the estimate cannot be below.

    Returns:
        Lower end, upper end, standard error.

    Source: normal interval and the root mean square error of a bootstrap, Efron and Tibshirani
    1993, 10.3 and 12.3.
    """
    reach = float(norm.ppf(1 - alpha / 2)) * float(np.sqrt(((resampled - estimate) ** 2).mean()))
    error = float(resampled.std(ddof=1))
    return max(estimate - reach, least), min(estimate + reach, 1.0), error


def specificity_row(
    overlap: float,
    other: float,
    draws: Float[np.ndarray, " resample"] | None,
    draws_other: Float[np.ndarray, " resample"] | None,
    alpha: float,
) -> dict[str, Any]:
    """Compare one k's mean overlap with that with other emotions, in the same resamples."""
    row: dict[str, Any] = {
        "mean_overlap_other": other,
        "specificity": overlap - other,
        "specificity_ci_lower": float("nan"),
        "specificity_ci_upper": float("nan"),
        "specificity_excludes_0": False,
        "specificity_p_corrected": float("nan"),
        "selected_specific": False,
        "specific_reason": "",
    }
    if draws is None or draws_other is None or len(draws) != len(draws_other):
        return row | {"specific_reason": NO_OTHER}
    differences = draws - draws_other
    lower, upper, error = interval_of(overlap - other, differences, alpha, least=-1.0)
    return row | {
        "specificity_ci_lower": lower,
        "specificity_ci_upper": upper,
        "specificity_excludes_0": bool(error > 0 and (lower > 0 or upper < 0)),
        "specificity_draws": differences,
    }


def choose_specific(rows: list[dict[str, Any]], alpha: float) -> None:
    """Mark the smallest k that is above the null and specific, if there is one.

    Among the ks whose overlap is above the null and whose specificity is above 0, both corrected
    for the number of ks, it is the smallest within one standard error of the largest
    specificity.
    """
    draws = [row.pop("specificity_draws", None) for row in rows]
    tested = [place for place, of_k in enumerate(draws) if of_k is not None]
    if not tested or len({len(draws[place]) for place in tested}) > 1:
        for row in rows:
            row["specific_reason"] = NO_OTHER
        return
    stacked = np.stack([draws[place] for place in tested], axis=1)
    values = np.array([rows[place]["specificity"] for place in tested])
    corrected = bootstrap_max_p(values, stacked).tolist()
    for place, p_value in zip(tested, corrected, strict=True):
        rows[place]["specificity_p_corrected"] = p_value
    both = [place for place in tested if _is_both(rows[place], alpha)]
    if not both:
        for row in rows:
            row["specific_reason"] = NOT_SPECIFIC
        return
    best = max(both, key=lambda place: rows[place]["specificity"])
    least = rows[best]["specificity"] - float(draws[best].std(ddof=1))
    chosen = next(place for place in both if rows[place]["specificity"] >= least)
    rows[chosen]["selected_specific"] = True


def _is_both(row: Mapping[str, Any], alpha: float) -> bool:
    return bool(
        row.get("p_value_corrected", float("nan")) <= alpha
        and row["specificity"] > 0
        and row["specificity_p_corrected"] <= alpha
    )
