"""Specificity of shared directions: overlap with the same emotion minus that with each other one.

Both overlaps are between disjoint halves of the scenarios. A shared direction is an emotion's own
only if it overlaps more with the same emotion than with *each* other emotion.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.stats import norm
from scipy.stats import t as student

from emotion_circuits.statistics.null_tests import max_t_p, rank_p

SPECIFICITY_COLUMNS: Final = (
    *("mean_overlap_other", "specificity", "specificity_ci_lower", "specificity_ci_upper"),
    *("specificity_excludes_0", "specificity_p_corrected", "selected_specific", "specific_reason"),
    *("closest_emotion", "overlap_halves", "overlap_halves_closest", "own_share", "closest_share"),
    *("n_clusters", "specific_layer", "specific_layer_value", "specific_layer_p_corrected"),
)

# Optional keys of a k sweep: overlap with other emotions on all held-out pairs, and by other
# emotion the comparison on disjoint halves, with the keys of ``geometry.specificity.Against``.
OTHER: Final = "overlap_other"
AGAINST: Final = "specificity"

NO_OTHER: Final = "the sweep holds no overlaps with other emotions on disjoint halves"
NOT_SPECIFIC: Final = "no k is above the null and specific"


class Specificity(NamedTuple):
    """One emotion's comparison with another, for several tests (k, or layer and k).

    Attributes:
        own: Overlap with the same emotion.
        other: Overlap with the other emotion.
        own_share: ``own`` as a share of what two halves of B agree on.
        other_share: ``other`` likewise.
        swapped: Difference of the shares with the two emotions exchanged at random.
        left_out: Difference of the shares without each cluster.
    """

    own: Float[np.ndarray, " test"]
    other: Float[np.ndarray, " test"]
    own_share: Float[np.ndarray, " test"]
    other_share: Float[np.ndarray, " test"]
    swapped: Float[np.ndarray, "swap test"]
    left_out: Float[np.ndarray, "cluster test"]

    @property
    def difference(self) -> Float[np.ndarray, " test"]:
        """Difference of the shares."""
        difference: np.ndarray = self.own_share - self.other_share
        return difference


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
        estimate: An overlap.
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


def jackknife_error(left_out: Float[np.ndarray, "cluster test"]) -> Float[np.ndarray, " test"]:
    """Return the standard error of an estimate from its values without each cluster in turn.

    Source: delete-one jackknife, Efron and Tibshirani 1993, 11.5.
    """
    n = len(left_out)
    error: np.ndarray = np.sqrt((n - 1) / n * ((left_out - left_out.mean(axis=0)) ** 2).sum(axis=0))
    return error


def specific_p(against: Sequence[Specificity], *, corrected: bool) -> Float[np.ndarray, " test"]:
    """Return for each test the largest of the p-values against the other emotions.

    Each p is one-sided and ranks the observed difference among those with the two emotions
    exchanged. The largest p tests that some other emotion is as close, at the same level
    (intersection-union test).

    Args:
        against: The comparisons with each other emotion, all of the same tests.
        corrected: Whether each comparison's p-values are corrected for all tests, by max-T.

    Source: intersection-union test, Berger 1982, doi:10.1080/00401706.1982.10487790.
    """
    p_of = max_t_p if corrected else rank_p
    p: np.ndarray = np.max([p_of(each.difference, each.swapped) for each in against], axis=0)
    return p


def average_over_layers(
    leaves: Sequence[Mapping[str, Any]],
) -> dict[str, Specificity] | None:
    """Average one k's comparisons over layers, by other emotion; None if a layer lacks them."""
    others = [set(leaf.get(AGAINST, {})) for leaf in leaves]
    shared = set.intersection(*others)
    if not shared or any(other != shared for other in others):
        return None
    try:
        return {
            other: Specificity(
                *(
                    np.mean([np.asarray(leaf[AGAINST][other][name]) for leaf in leaves], axis=0)[
                        ..., None
                    ]
                    for name in Specificity._fields
                )
            )
            for other in sorted(shared)
        }
    except ValueError:  # layers with different numbers of exchanges or clusters
        return None


def join(parts: Sequence[Specificity]) -> Specificity:
    """Put the tests of several comparisons with the same other emotion side by side."""
    return Specificity(*(np.concatenate(part, axis=-1) for part in zip(*parts, strict=True)))


def specificity_row(
    other: float, against: Mapping[str, Specificity] | None, alpha: float
) -> dict[str, Any]:
    """Describe one k's mean comparison with the closest other emotion.

    The interval is the difference of shares ± Student's t times the jackknife's standard error
    over clusters.
    """
    line: dict[str, Any] = {
        **dict.fromkeys(SPECIFICITY_COLUMNS, float("nan")),
        "mean_overlap_other": other,
        "specificity_excludes_0": False,
        "selected_specific": False,
        "specific_reason": "",
        "closest_emotion": "",
        "n_clusters": 0,
    }
    if not against:
        return line | {"specific_reason": NO_OTHER}
    closest = min(
        against, key=lambda name: float(np.nan_to_num(against[name].difference[0], nan=9))
    )
    nearest = against[closest]
    n = len(nearest.left_out)
    error = float(jackknife_error(nearest.left_out)[0]) if n > 1 else float("nan")
    value = float(nearest.difference[0])
    reach = float(student.ppf(1 - alpha / 2, n - 1)) * error if n > 1 else float("nan")
    return line | {
        "specificity": value,
        "specificity_ci_lower": value - reach,
        "specificity_ci_upper": value + reach,
        "specificity_excludes_0": bool(error > 0 and abs(value) > reach),
        "closest_emotion": closest,
        "overlap_halves": float(nearest.own[0]),
        "overlap_halves_closest": float(nearest.other[0]),
        "own_share": float(nearest.own_share[0]),
        "closest_share": float(nearest.other_share[0]),
        "n_clusters": n,
        "against": against,
        "specificity_error": error,
    }


def choose_specific(lines: list[dict[str, Any]], alpha: float) -> None:
    """Mark the smallest k that is above the null and specific, or note why there is none.

    Candidates are the k whose overlap is above the null and whose specificity is above 0, both
    corrected for the number of k. The marked k is the smallest candidate within one standard
    error of the largest specificity.
    """
    against = [line.pop("against", None) for line in lines]
    errors = [line.pop("specificity_error", float("nan")) for line in lines]
    tested = [index for index, of_k in enumerate(against) if of_k]
    names = set(against[tested[0]]) if tested else set()
    if not tested or any(set(against[index]) != names for index in tested):
        for line in lines:
            line["specific_reason"] = NO_OTHER
        return
    families = [join([against[index][name] for index in tested]) for name in sorted(names)]
    for index, p_value in zip(tested, specific_p(families, corrected=True), strict=True):
        lines[index]["specificity_p_corrected"] = float(p_value)
    candidates = [index for index in tested if _is_candidate(lines[index], alpha)]
    if not candidates:
        for line in lines:
            line["specific_reason"] = NOT_SPECIFIC
        return
    best = max(candidates, key=lambda index: lines[index]["specificity"])
    slack = errors[best] if np.isfinite(errors[best]) else 0.0
    least = lines[best]["specificity"] - slack
    chosen = next(index for index in candidates if lines[index]["specificity"] >= least)
    lines[chosen]["selected_specific"] = True


def add_best_layers(
    lines: list[dict[str, Any]], by_k: Sequence[Mapping[int, Mapping[str, Any]]]
) -> None:
    """Note for each k the layer where it is most specific, corrected for all layers and k.

    Averages over layers hide what a single layer holds.

    Args:
        lines: One line per k, to which ``specific_layer``, ``specific_layer_value`` and
            ``specific_layer_p_corrected`` are added.
        by_k: For each k, the leaf of each layer.
    """
    cells = [
        (line, layer, average_over_layers([leaf]))
        for line, leaves in zip(lines, by_k, strict=True)
        for layer, leaf in leaves.items()
    ]
    known = [(line, layer, against) for line, layer, against in cells if against]
    if not known or any(set(against) != set(known[0][2]) for _, _, against in known):
        return
    try:
        families = [join([against[name] for _, _, against in known]) for name in known[0][2]]
    except ValueError:  # layers with different numbers of exchanges
        return
    p_values = specific_p(families, corrected=True)
    for (line, layer, against), p_value in zip(known, p_values.tolist(), strict=True):
        value = float(min(each.difference[0] for each in against.values()))
        best = line["specific_layer_p_corrected"], -line["specific_layer_value"]
        if np.isfinite(p_value) and not best <= (p_value, -value):
            line |= {
                "specific_layer": layer,
                "specific_layer_value": value,
                "specific_layer_p_corrected": p_value,
            }


def _is_candidate(line: Mapping[str, Any], alpha: float) -> bool:
    return bool(
        line.get("p_value_corrected", float("nan")) <= alpha
        and line["specificity"] > 0
        and line["specificity_p_corrected"] <= alpha
    )
