"""Rules that give a head its role: detect, aggregate, express, or none."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from jaxtyping import Float
from pydantic import Field
from sklearn.metrics import cohen_kappa_score

from emotion_circuits.circuits.roles.readings import RoleReadings
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.prompts.halves import halve_clusters
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.clusters import number_clusters
from emotion_circuits.statistics.permutation import sign_flip_test, sign_flips
from emotion_circuits.statistics.ratios import Interval, ratio_interval

DETECT: Final = "detect"
AGGREGATE: Final = "aggregate"
EXPRESS: Final = "express"
NONE: Final = "none"
ROLES: Final = (DETECT, AGGREGATE, EXPRESS)


class RoleRules(PhaseSettings):
    """Thresholds of the roles.

    A share is the part of the contrast between emotional and neutral prompts that a head carries.
    """

    cue_ratio: float = Field(
        1.0, ge=0, description="detect: attention to the cue over that of uniform attention"
    )
    moved_attention: float = Field(
        0.1, ge=0, le=1, description="aggregate: attention of the last position to earlier text"
    )
    detect_share: float = Field(0.05, gt=0, description="detect: share of the text's probe")
    aggregate_share: float = Field(
        0.05, gt=0, description="aggregate: share of the probe at the last position"
    )
    express_share: float = Field(
        0.05, gt=0, description="express: share of the logits of the emotion's words"
    )
    alpha: float | None = Field(
        0.05,
        gt=0,
        lt=1,
        description="largest p of a share, corrected for all heads; null: no test",
    )


class Share(NamedTuple):
    """What a head carries of the contrast between emotional and neutral prompts.

    Attributes:
        value: Share of the mean contrast over pairs.
        p: Two-sided p of no effect, corrected for all heads of the model; NaN for a head whose
            effect is the same on all pairs.
    """

    value: float
    p: float


class HeadShares(NamedTuple):
    """What a head carries of an emotion, and where it attends.

    Attributes:
        detect: Share of the text's probe that ablating the head takes away.
        aggregate: Share of the probe at the last position that ablating the head there takes away.
        express: Share of the logits' contrast that the head itself writes.
        cue_ratio: Attention to the cue over that of uniform attention.
        moved: Attention of the last position to earlier text.
    """

    detect: Share
    aggregate: Share
    express: Share
    cue_ratio: float
    moved: float


class _Part(NamedTuple):
    """What heads carry of one contrast, on the pairs on which it is known."""

    drops: Float[np.ndarray, "pair head"]
    whole: Float[np.ndarray, " pair"]
    clusters: np.ndarray

    @property
    def shares(self) -> Float[np.ndarray, " head"]:
        """Share of each head in the mean; NaN without pairs, or if the mean is 0."""
        total = self.whole.mean() if len(self.whole) else 0.0
        shares: np.ndarray = np.full(self.drops.shape[1], np.nan)
        return self.drops.mean(0) / total if total else shares


def _parts(readings: RoleReadings) -> dict[str, _Part]:
    """Return what heads carry of the contrast that each role is told from."""
    parts = {
        DETECT: (readings.text_drop, readings.text_effect),
        AGGREGATE: (readings.last_drop, readings.last_effect),
        EXPRESS: (readings.output_write, readings.output_effect),
    }
    return {
        role: _Part(drops[known], whole[known], readings.pairs.clusters[known])
        for role, (drops, whole) in parts.items()
        for known in [np.isfinite(whole)]
    }


def head_shares(
    readings: RoleReadings, *, n_permutations: int = 999, seed: int = 0
) -> list[HeadShares]:
    """Return the shares of every head, in the order of the readings' heads.

    Args:
        readings: Readings on some pairs.
        n_permutations: Sign flips, or all of them if they are fewer. Pairs of a cluster are flipped
            together, and all heads together, which gives p for the family of heads (max-T).
        seed: Seed of the flips.
    """
    shares = {}
    for role, part in _parts(readings).items():
        p = _family_p(part, n_permutations, rng_for(seed, "roles", role))
        shares[role] = [
            Share(float(value), float(own)) for value, own in zip(part.shares, p, strict=True)
        ]
    after = np.isfinite(readings.cue_uniform)
    uniform = readings.cue_uniform[after].mean() if after.any() else np.nan
    attention = readings.cue_attention[after].sum(0) / max(after.sum(), 1)
    moved = readings.moved.sum(0) / max(len(readings.moved), 1)
    return [
        HeadShares(
            shares[DETECT][head],
            shares[AGGREGATE][head],
            shares[EXPRESS][head],
            float(attention[head] / uniform),
            float(moved[head]),
        )
        for head in range(len(readings.heads))
    ]


def _family_p(
    part: _Part, n_permutations: int, rng: np.random.Generator
) -> Float[np.ndarray, " head"]:
    """Return p of each head's |t| among the largest of all heads; NaN where nothing varies."""
    p = np.full(part.drops.shape[1], np.nan)
    if len(part.drops) > 1:
        varies = np.ptp(part.drops, axis=0) > 0
        codes = number_clusters(part.clusters.tolist())
        flips = sign_flips(len(part.drops), n_permutations=n_permutations, rng=rng, clusters=codes)
        if varies.any():
            p[varies] = sign_flip_test(part.drops[:, varies].T, flips).p_value_max_t
    return p


def share_intervals(
    readings: RoleReadings, *, n_bootstrap: int, seed: int
) -> dict[str, list[Interval]]:
    """Return each head's share with its 95 % interval over clusters of pairs, by role.

    Intervals are NaN for fewer than three clusters, or if the whole contrast may be zero.
    """
    return {
        role: [
            ratio_interval(
                drops,
                part.whole,
                n_bootstrap=n_bootstrap,
                seed=seed,
                clusters=part.clusters.tolist(),
            )
            for drops in part.drops.T
        ]
        for role, part in _parts(readings).items()
    }


def rules_met(shares: HeadShares, rules: RoleRules) -> dict[str, float]:
    """Return by how many times a head's share exceeds the threshold, for each role it may have.

    ``detect``: the head attends to the cue and carries the probe of the middle layer.
    ``aggregate``: its last position attends to earlier text, and it carries the probe there.
    ``express``: it writes the logits of the emotion's words itself.
    """
    attends = {
        DETECT: shares.cue_ratio >= rules.cue_ratio,
        AGGREGATE: shares.moved >= rules.moved_attention,
        EXPRESS: True,
    }
    factors = {}
    for role in ROLES:
        share: Share = getattr(shares, role)
        threshold = getattr(rules, f"{role}_share")
        is_certain = rules.alpha is None or share.p <= rules.alpha
        if attends[role] and share.value >= threshold and is_certain:
            factors[role] = share.value / threshold
    return factors


def role_of(shares: HeadShares, rules: RoleRules) -> str:
    """Return a head's role: of those whose rule it meets, the one with the largest factor."""
    factors = rules_met(shares, rules)
    return max(factors, key=factors.__getitem__) if factors else NONE


def head_roles(
    readings: RoleReadings, rules: RoleRules, *, n_permutations: int = 999, seed: int = 0
) -> list[str]:
    """Return the role of every head."""
    shares = head_shares(readings, n_permutations=n_permutations, seed=seed)
    return [role_of(of_head, rules) for of_head in shares]


def role_stability(
    readings: RoleReadings,
    rules: RoleRules,
    *,
    n_splits: int = 5,
    n_permutations: int = 999,
    seed: int = 0,
) -> list[float]:
    """Return how far the roles on two halves of the pairs agree, for several splits.

    Args:
        readings: Readings on all pairs.
        rules: The thresholds.
        n_splits: Number of splits. Halves share no template.
        n_permutations: Sign flips of each test.
        seed: Seed of splits and flips.

    Returns:
        Cohen's κ over heads for each split; NaN if all heads have one role on both halves, or if
        there is one template alone.

    Source: Cohen 1960, doi:10.1177/001316446002000104.
    """
    kappas = []
    for split in range(n_splits):
        first = halve_clusters(
            readings.pairs.emotion.tolist(), readings.pairs.clusters.tolist(), seed=seed + split
        )
        if not first.any():
            return [float("nan")] * n_splits
        roles = [
            head_roles(readings.select(half), rules, n_permutations=n_permutations, seed=seed)
            for half in (first, ~first)
        ]
        kappas.append(agreement_of(*roles))
    return kappas


def agreement_of(first: list[str], second: list[str]) -> float:
    """Return Cohen's κ of two lists of roles; NaN if only one role occurs in both."""
    if len({*first, *second}) < 2:
        return float("nan")
    return float(cohen_kappa_score(first, second))
