"""Sign-flip tests of paired differences, for single comparisons and for a family."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.statistics.workers import map_blocks

# A flip that reproduces the observed statistic counts as reaching it in spite of rounding.
_SLACK = 1e-9


class SignFlipTest(NamedTuple):
    """p-values under random signs.

    Attributes:
        p_value: Two-sided p of each comparison alone.
        p_value_max_t: p corrected for the family: the probability that the largest |t| of all
            comparisons reaches this comparison's.
    """

    p_value: Float[np.ndarray, " row"]
    p_value_max_t: Float[np.ndarray, " row"]


class SignFlips(NamedTuple):
    """Patterns of signs.

    Attributes:
        signs: The sign of each text in each pattern.
        complete: Whether these are all possible patterns, including the identity.
    """

    signs: Float[np.ndarray, "flip text"]
    complete: bool


def sign_flips(
    n: int,
    *,
    n_permutations: int,
    rng: np.random.Generator,
    clusters: Int[np.ndarray, " text"] | None = None,
) -> SignFlips:
    """Draw patterns of signs, or list all of them if they are at most ``n_permutations``.

    Random patterns do not include the identity; the test adds it.

    Args:
        n: Number of texts.
        n_permutations: Number of patterns to draw.
        rng: Source of randomness.
        clusters: Number of each text's cluster; texts of a cluster have the same sign.
    """
    units = n if clusters is None else int(clusters.max()) + 1
    complete = units < 63 and 2**units <= n_permutations
    if complete:
        signs = np.array(list(product((1.0, -1.0), repeat=units)))
    else:
        signs = rng.integers(0, 2, size=(n_permutations, units)) * 2.0 - 1.0
    return SignFlips(signs if clusters is None else signs[:, clusters], complete)


def sign_flip_test(
    differences: Float[np.ndarray, "row text"],
    flips: SignFlips,
    *,
    n_jobs: int = 1,
) -> SignFlipTest:
    """Test a family of comparisons of the same texts.

    If an intervention has no effect, a text's two values are exchangeable and the sign of their
    difference is random. A text's sign is flipped in all comparisons together, which keeps their
    dependence, and the largest |t| of the family is compared with its distribution under random
    signs. This controls the probability of any false finding, and is less strict than Bonferroni
    for dependent comparisons.

    Args:
        differences: Patched minus baseline; NaN if a comparison lacks a text. Each comparison's
            values vary.
        flips: The result of ``sign_flips``.
        n_jobs: Number of threads; results do not depend on it.

    Source: Westfall and Young 1993; Nichols and Holmes 2002, doi:10.1002/hbm.1058.
    """
    known = np.isfinite(differences)
    n = known.sum(axis=1)
    filled = np.where(known, differences, 0.0)
    # Signs do not change squares, so t depends on the sum alone.
    squares = (filled**2).sum(axis=1)
    observed = _statistics(filled.sum(axis=1, keepdims=True), squares, n)[:, 0]
    least = observed * (1 - _SLACK)
    signs = np.ascontiguousarray(flips.signs.T)

    def work(block: slice) -> tuple[np.ndarray, np.ndarray]:
        t = _statistics(filled[block] @ signs, squares[block], n[block])
        return (t >= least[block, None]).sum(axis=1), t.max(axis=0)

    blocks = map_blocks(work, len(filled), n_jobs=n_jobs)
    reached = np.concatenate([count for count, _ in blocks])
    largest = np.sort(np.max([maxima for _, maxima in blocks], axis=0))
    beaten = len(largest) - np.searchsorted(largest, least, side="left")
    # All patterns include the identity; to random ones it is added.
    more, total = (0, len(largest)) if flips.complete else (1, len(largest) + 1)
    return SignFlipTest((reached + more) / total, (beaten + more) / total)


def grouped_sign_flip_test(
    baseline: Float[np.ndarray, "row control"],
    patched: Float[np.ndarray, "row treated"],
    clusters: tuple[Int[np.ndarray, " control"], Int[np.ndarray, " treated"]],
    flips: SignFlips,
) -> Float[np.ndarray, " row"]:
    """Test differences between conditions with different texts, cluster by cluster.

    The difference of every value to the mean of all values has its sign flipped, with one sign
    for all texts of a cluster, and the cluster-robust t is compared with its distribution under
    random signs. For a cluster with texts of both conditions this flips the sign of its contrast.

    Args:
        baseline: Values under the baseline; each comparison's values vary.
        patched: Values of other texts under the intervention.
        clusters: Number of the cluster of each sample of both conditions.
        flips: The result of ``sign_flips`` for one sample per cluster.

    Returns:
        Two-sided p of each comparison.

    Source: wild cluster bootstrap with the null imposed and Rademacher weights, Cameron, Gelbach
    and Miller 2008, doi:10.1162/rest.90.3.414.
    """
    center = np.concatenate([baseline, patched], axis=1).mean(axis=1, keepdims=True)
    n_clusters = flips.signs.shape[1]
    sums, shares = [], []
    for values, codes in zip((baseline, patched), clusters, strict=True):
        member = codes[:, None] == np.arange(n_clusters)
        parts = [(values - center)[:, of_cluster].sum(axis=1) for of_cluster in member.T]
        sums.append(np.stack(parts, axis=1) / len(codes))
        shares.append(member.mean(axis=0))
    contrast = sums[1] - sums[0]
    observed = _clustered_statistics(contrast, sums, shares, np.ones((n_clusters, 1)))
    t = _clustered_statistics(contrast, sums, shares, np.ascontiguousarray(flips.signs.T))
    reached = (t >= observed * (1 - _SLACK)).sum(axis=1)
    more = 0 if flips.complete else 1
    p: np.ndarray = (reached + more) / (t.shape[1] + more)
    return p


def _clustered_statistics(
    contrast: np.ndarray, sums: list[np.ndarray], shares: list[np.ndarray], signs: np.ndarray
) -> np.ndarray:
    """Return |t| of each comparison under each pattern, up to a factor that all patterns share.

    A cluster's score is its contrast, minus what its texts contribute by the mean of their
    condition. The sum of squared scores is expanded, so that products over clusters suffice.
    """
    first, second = (part @ signs for part in sums)
    by_first, by_second = ((contrast * share) @ signs for share in shares)
    squares = (contrast**2).sum(axis=1, keepdims=True) + 2 * (first * by_first - second * by_second)
    squares = squares + first**2 * (shares[0] ** 2).sum() + second**2 * (shares[1] ** 2).sum()
    squares = squares - 2 * first * second * (shares[0] * shares[1]).sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        t: np.ndarray = np.abs(second - first) / np.sqrt(np.maximum(squares, 0.0))
    return np.where(np.isnan(t), 0.0, t)


def _statistics(sums: np.ndarray, squares: np.ndarray, n: np.ndarray) -> np.ndarray:
    """Return |t| from sums and sums of squares of n values; infinite if all values are equal."""
    share = np.minimum(sums**2 / (squares * n)[:, None], 1.0)
    with np.errstate(divide="ignore"):
        t: np.ndarray = np.sqrt(share * (n - 1)[:, None] / (1 - share))
    return t
