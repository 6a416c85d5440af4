"""Sign-flip tests of paired differences, for one comparison and for the best of a family."""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from emotion_circuits.statistics.workers import map_blocks

# A flip that gives the observed statistic back must count as reaching it, rounding aside.
_SLACK = 1e-9


class SignFlipTest(NamedTuple):
    """p-values under random signs.

    Attributes:
        p_value: Of each comparison alone, two-sided.
        p_value_max_t: Adjusted for the family: the chance that the largest |t| of all its
            comparisons reaches this one's.
    """

    p_value: Float[np.ndarray, " row"]
    p_value_max_t: Float[np.ndarray, " row"]


class SignFlips(NamedTuple):
    """Patterns of signs.

    Attributes:
        signs: One pattern a row.
        complete: Whether these are all patterns there are, the identity among them.
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
    """Draw signs, one for each text or cluster; all patterns if there are no more than asked for.

    Random signs leave out the identity; the test adds it.

    Args:
        n: Number of texts.
        n_permutations: Number of patterns to draw.
        rng: Source of randomness.
        clusters: For each text the number of its cluster; texts of one turn together.
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

    If an intervention does nothing, a text's two values are exchangeable and the difference's
    sign is a coin's. All comparisons of a text turn together, so whatever makes them alike is
    kept, and the largest |t| of the family is compared with what it is under random signs. That
    controls the chance of any false finding, and is less strict than Bonferroni where
    comparisons are alike.

    Args:
        differences: Patched minus baseline, NaN where a comparison lacks a text; rows that vary
            only.
        flips: What ``sign_flips`` gave.
        n_jobs: Threads; no result depends on it.

    Source: Westfall and Young 1993; Nichols and Holmes 2002, doi:10.1002/hbm.1058.
    """
    known = np.isfinite(differences)
    n = known.sum(axis=1)
    filled = np.where(known, differences, 0.0)
    # Signs leave squares as they are, so t depends on the sum alone.
    squares = (filled**2).sum(axis=1)
    observed = _statistics(filled.sum(axis=1, keepdims=True), squares, n)[:, 0]
    least = observed * (1 - _SLACK)
    turned = np.ascontiguousarray(flips.signs.T)

    def work(rows: slice) -> tuple[np.ndarray, np.ndarray]:
        t = _statistics(filled[rows] @ turned, squares[rows], n[rows])
        return (t >= least[rows, None]).sum(axis=1), t.max(axis=0)

    blocks = map_blocks(work, len(filled), n_jobs=n_jobs)
    reached = np.concatenate([count for count, _ in blocks])
    largest = np.sort(np.max([block for _, block in blocks], axis=0))
    beaten = len(largest) - np.searchsorted(largest, least, side="left")
    # Of all patterns the identity is one; among random ones it is added.
    more, total = (0, len(largest)) if flips.complete else (1, len(largest) + 1)
    return SignFlipTest((reached + more) / total, (beaten + more) / total)


def _statistics(sums: np.ndarray, squares: np.ndarray, n: np.ndarray) -> np.ndarray:
    """|t| of sums of n values with a sum of squares; infinite where all values are equal."""
    share = np.minimum(sums**2 / (squares * n)[:, None], 1.0)
    with np.errstate(divide="ignore"):
        t: np.ndarray = np.sqrt(share * (n - 1)[:, None] / (1 - share))
    return t
