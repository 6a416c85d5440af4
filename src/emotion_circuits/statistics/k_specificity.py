"""Specificity of shared directions: overlap with the same emotion minus that with others."""

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

# Optional keys of a k sweep: overlap with other emotions, and that under the same resamples.
OTHER: Final = "overlap_other"
OTHER_RESAMPLES: Final = "overlap_other_bootstrap"

NO_OTHER: Final = "the sweep holds no resampled overlaps with other emotions"
NOT_SPECIFIC: Final = "no k is above the null and specific"


def interval_of(
    estimate: float, resampled: Float[np.ndarray, " resample"], alpha: float, *, least: float
) -> tuple[float, float, float]:
    """Return the interval estimate ± z · distance, within [least, 1], and the standard error.

    The distance is the root mean square of the resamples' distances from the estimate, and so
    includes their bias. Percentiles are unusable: a resample has fewer distinct pairs, so overlaps
    of subspaces fitted to it are smaller, and all of them may lie below the estimate. The standard
    error is the resamples' standard deviation about their own mean.

    The interval covers the expected value over studies with the same number of pairs. With few or
    noisy pairs this is below the value for unlimited pairs.

    Args:
        estimate: An overlap, or a difference of two overlaps.
        resampled: The same quantity, refitted to pairs drawn with replacement.
        alpha: The interval covers 1 - alpha.
        least: Smallest possible value of the estimate.

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
    """Compare one k's mean overlap with that for other emotions, under the same resamples."""
    line: dict[str, Any] = {
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
        return line | {"specific_reason": NO_OTHER}
    differences = draws - draws_other
    lower, upper, error = interval_of(overlap - other, differences, alpha, least=-1.0)
    return line | {
        "specificity_ci_lower": lower,
        "specificity_ci_upper": upper,
        "specificity_excludes_0": bool(error > 0 and (lower > 0 or upper < 0)),
        "specificity_draws": differences,
    }


def choose_specific(lines: list[dict[str, Any]], alpha: float) -> None:
    """Mark the smallest k that is above the null and specific, or note why there is none.

    Candidates are the k whose overlap is above the null and whose specificity is above 0, both
    corrected for the number of k. The marked k is the smallest candidate within one standard
    error of the largest specificity.
    """
    draws = [line.pop("specificity_draws", None) for line in lines]
    tested = [index for index, of_k in enumerate(draws) if of_k is not None]
    if not tested or len({len(draws[index]) for index in tested}) > 1:
        for line in lines:
            line["specific_reason"] = NO_OTHER
        return
    stacked = np.stack([draws[index] for index in tested], axis=1)
    values = np.array([lines[index]["specificity"] for index in tested])
    corrected = bootstrap_max_p(values, stacked).tolist()
    for index, p_value in zip(tested, corrected, strict=True):
        lines[index]["specificity_p_corrected"] = p_value
    candidates = [index for index in tested if _is_candidate(lines[index], alpha)]
    if not candidates:
        for line in lines:
            line["specific_reason"] = NOT_SPECIFIC
        return
    best = max(candidates, key=lambda index: lines[index]["specificity"])
    least = lines[best]["specificity"] - float(draws[best].std(ddof=1))
    chosen = next(index for index in candidates if lines[index]["specificity"] >= least)
    lines[chosen]["selected_specific"] = True


def _is_candidate(line: Mapping[str, Any], alpha: float) -> bool:
    return bool(
        line.get("p_value_corrected", float("nan")) <= alpha
        and line["specificity"] > 0
        and line["specificity_p_corrected"] <= alpha
    )
