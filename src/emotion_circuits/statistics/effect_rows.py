"""Effects of comparisons, computed together for comparisons with equally many samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from scipy import special

from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics.bootstrap import (
    BootstrapIntervals,
    bootstrap_paired,
    resample_weights,
)
from emotion_circuits.statistics.bootstrap_unpaired import (
    GroupClusters,
    bootstrap_unpaired,
    resample_groups,
)
from emotion_circuits.statistics.clusters import are_few
from emotion_circuits.statistics.comparisons import (
    Comparison,
    ComparisonKey,
    Pairs,
    Sample,
    Summary,
)
from emotion_circuits.statistics.directions import DirectionTest
from emotion_circuits.statistics.effect_options import COLUMNS, MORE_COLUMNS, EffectOptions
from emotion_circuits.statistics.effect_sizes import (
    Effects,
    paired_effects,
    summary_effects,
    unpaired_effects,
)
from emotion_circuits.statistics.noncentral import analytic_intervals
from emotion_circuits.statistics.permutation import grouped_sign_flip_test, sign_flips
from emotion_circuits.statistics.power import detectable_shift

ONE_CLUSTER: Final = "all texts of a condition are of one cluster"
UNBOUNDED: Final = "interval of d has no finite end"
# Name of the test of clusters that are few.
SIGN_FLIP: Final = "cluster_sign_flip"
_COUNTS: Final = ("n_baseline", "n_patched", "n_effective", "n_nan_dropped", "n_repeats_averaged")
_NO_INTERVALS: Final = BootstrapIntervals(*(np.empty(0) for _ in range(4)))


class EffectRows:
    """Columns of the table of effects, filled for groups of comparisons."""

    def __init__(self, n_rows: int, options: EffectOptions) -> None:
        self.options = options
        names = [name for name in (*COLUMNS, *MORE_COLUMNS) if name not in ComparisonKey._fields]
        self.columns = {name: np.full(n_rows, np.nan) for name in names}
        for name in _COUNTS:
            self.columns[name] = np.zeros(n_rows)
        for name in ("paired", "reason", "ci_method", "test"):
            self.columns[name] = np.full(n_rows, "", dtype=object)
        self.columns["few_clusters"] = np.zeros(n_rows, dtype=bool)

    def fill(self, indices: list[int], **values: Any) -> None:
        """Write values of some lines, by column."""
        for name, value in values.items():
            self.columns[name][indices] = value

    def _fill_effects(
        self,
        indices: list[int],
        effects: Effects,
        intervals: BootstrapIntervals,
        method: str,
        test: str,
    ) -> None:
        """Write effects, and the intervals of those comparisons that have intervals."""
        good = effects.reason == ""
        ends = np.full((4, len(indices)), np.nan)
        ends[:, good] = np.stack(intervals)
        reason = effects.reason.copy()
        reason[good & (effects.df == 0)] = ONE_CLUSTER
        reason[(reason == "") & np.isnan(ends[2:]).any(axis=0)] = UNBOUNDED
        self.fill(
            indices,
            mean_diff=effects.mean_diff,
            cohen_d=effects.cohen_d,
            hedges_g=effects.hedges_g,
            cohen_d_pooled=effects.cohen_d_pooled,
            standard_error=effects.standard_error,
            degrees_of_freedom=effects.df,
            test=np.where(np.isfinite(effects.p_value), test, ""),
            t_statistic=effects.t_statistic,
            p_value=effects.p_value,
            ci_lower=ends[0],
            ci_upper=ends[1],
            effect_size_ci_lower=ends[2],
            effect_size_ci_upper=ends[3],
            ci_method=np.where(good, method, ""),
            ci_level=1 - self.options.alpha,
            reason=reason,
        )

    def add_pairs(self, pairs: Mapping[int, Pairs]) -> None:
        """Compute paired comparisons; those of equally many texts and equal clusters together."""
        options, groups = self.options, defaultdict(list)
        for index, values in pairs.items():
            groups[len(values.texts), cluster_codes(values.texts, options.clusters)].append(index)
        for (n, codes), indices in groups.items():
            clusters = None if codes is None else np.array(codes, dtype=np.int64)
            before = np.stack([pairs[index].baseline for index in indices])
            after = np.stack([pairs[index].patched for index in indices])
            effects = paired_effects(before, after, clusters=clusters if n else None)
            good = effects.reason == ""
            intervals = _NO_INTERVALS
            if good.any():
                intervals = bootstrap_paired(
                    (after - before)[good],
                    resample_weights(
                        n,
                        n_bootstrap=options.n_bootstrap,
                        rng=rng_for(options.seed, "bootstrap", n, codes),
                        clusters=clusters,
                    ),
                    level=1 - options.alpha,
                    method=options.ci_method,
                    clusters=clusters,
                    n_jobs=options.n_jobs,
                )
            test = "t" if codes is None else "cluster_t"
            self._fill_effects(indices, effects, intervals, options.ci_method, test)
            self.fill(
                indices,
                **_describe(before, after),
                paired=True,
                few_clusters=_few(effects, codes),
                n_effective=n,
                n_nan_dropped=[pairs[index].n_nan for index in indices],
                n_clusters=np.nan if codes is None else len(set(codes)),
            )

    def add_groups(self, comparisons: Mapping[int, Comparison]) -> None:
        """Compute comparisons whose conditions have different texts."""
        options, sides = self.options, {}
        groups: dict[tuple[int, int, tuple[int, ...] | None], list[int]] = defaultdict(list)
        for index, comparison in comparisons.items():
            sides[index] = (_finite(comparison.baseline), _finite(comparison.patched))
            n_0, n_1 = map(len, sides[index])
            # The texts of a group in their order, so that equal clusters mean equal resamples.
            codes = cluster_codes([*sides[index][0], *sides[index][1]], options.clusters)
            groups[n_0, n_1, codes].append(index)
            known = len(comparison.baseline.values) + len(comparison.patched.values)
            self.fill([index], n_nan_dropped=known - n_0 - n_1)
        for (n_0, n_1, codes), indices in groups.items():
            clusters = None
            if codes:
                clusters = GroupClusters(np.array(codes[:n_0]), np.array(codes[n_0:]))
            before, after = (
                np.array([list(sides[index][side].values()) for index in indices], dtype=np.float64)
                for side in (0, 1)
            )
            effects = unpaired_effects(before, after, clusters=clusters)
            good = effects.reason == ""
            intervals = _NO_INTERVALS
            if good.any():
                intervals = bootstrap_unpaired(
                    before[good],
                    after[good],
                    self._group_weights(n_0, n_1, clusters),
                    level=1 - options.alpha,
                    method=options.ci_method,
                    clusters=clusters,
                    n_jobs=options.n_jobs,
                )
            test = "welch_t" if clusters is None else "cluster_t"
            self._fill_effects(indices, effects, intervals, options.ci_method, test)
            size = n_0 * n_1 / (n_0 + n_1) if n_0 + n_1 else 0
            self.fill(indices, **_describe(before, after), paired=False, n_effective=size)
            if clusters is not None:
                self.fill(indices, n_clusters=len(set(codes or ())))
                self._flip_groups(indices, effects, before, after, clusters)

    def _group_weights(
        self, n_0: int, n_1: int, clusters: GroupClusters | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw resamples of both conditions."""
        options = self.options
        if clusters is not None:
            rng = rng_for(options.seed, "bootstrap", "groups", *map(tuple, clusters))
            return resample_groups(clusters, n_bootstrap=options.n_bootstrap, rng=rng)
        control, treated = (
            resample_weights(
                n,
                n_bootstrap=options.n_bootstrap,
                rng=rng_for(options.seed, "bootstrap", side, n),
            )
            for side, n in (("control", n_0), ("treated", n_1))
        )
        return control, treated

    def _flip_groups(
        self,
        indices: list[int],
        effects: Effects,
        before: np.ndarray,
        after: np.ndarray,
        clusters: GroupClusters,
    ) -> None:
        """Add the sign-flip test over clusters, which is the main test if clusters are few."""
        good = (effects.reason == "") & (effects.df > 0)
        if not good.any():
            return
        options, n_clusters = self.options, 1 + max(int(codes.max()) for codes in clusters)
        flips = sign_flips(
            n_clusters,
            n_permutations=options.n_permutations,
            rng=rng_for(options.seed, "sign_flip", "groups", *map(tuple, clusters)),
        )
        tested = [index for index, is_good in zip(indices, good, strict=True) if is_good]
        p_value = grouped_sign_flip_test(before[good], after[good], clusters, flips)
        self.fill(tested, p_value_sign_flip=p_value)
        if _few(effects, clusters):
            self.fill(tested, p_value=p_value, test=SIGN_FLIP, few_clusters=True)

    def add_summaries(self, summaries: Mapping[int, Summary]) -> None:
        """Compute comparisons of which only mean, deviation and number of pairs are known."""
        if not summaries:
            return
        indices, items = list(summaries), list(summaries.values())
        mean = np.array([item.delta_mean for item in items], dtype=np.float64)
        std = np.array([item.delta_std for item in items], dtype=np.float64)
        n = np.array([item.n_samples for item in items], dtype=np.int64)
        effects = summary_effects(mean, std, n)
        good = effects.reason == ""
        level = 1 - self.options.alpha
        intervals = analytic_intervals(mean[good], std[good], n[good], level=level)
        self._fill_effects(indices, effects, intervals, "noncentral_t", "t")
        self.fill(indices, paired=True, n_baseline=n, n_patched=n, n_effective=n)

    def add_directions(self, tests: Mapping[int, DirectionTest]) -> None:
        """Replace tests over texts by tests with directions as samples.

        Comparisons must be computed before. Their ``p_value`` and ``t_statistic`` move to the
        columns of prompts, since a test over texts finds any random direction significant.
        """
        columns = self.columns
        for index, test in tests.items():
            reasons = dict.fromkeys(filter(None, (columns["reason"][index], test.reason)))
            self.fill(
                [index],
                n_random=test.n_random,
                t_statistic_prompts=columns["t_statistic"][index],
                p_value_prompts=columns["p_value"][index],
                t_statistic=test.t_statistic,
                p_value=test.p_value,
                test="random_directions_t" if np.isfinite(test.p_value) else "",
                standard_error=test.standard_error,
                degrees_of_freedom=test.n_random - 1,
                p_value_rank=test.p_rank,
                reason="; ".join(reasons),
            )

    def add_margins(self) -> None:
        """Add what could have been seen, and the differences that two one-sided tests allow."""
        error, mean = self.columns["standard_error"], self.columns["mean_diff"]
        df = np.asarray(self.columns["degrees_of_freedom"], dtype=np.float64)
        known = np.isfinite(error) & (df > 0)
        settings = {"alpha": self.options.alpha, "power": self.options.power}
        least = [detectable_shift(float(value), **settings) for value in df[known]]
        half = special.stdtrit(df[known], 1 - self.options.alpha) * error[known]
        self.fill(
            np.flatnonzero(known).tolist(),
            minimal_detectable_diff=np.array(least) * error[known],
            equivalence_ci_lower=mean[known] - half,
            equivalence_ci_upper=mean[known] + half,
        )


def cluster_codes(
    texts: Sequence[str], clusters: Mapping[str, str] | None
) -> tuple[int, ...] | None:
    """Number the clusters of texts from 0; None without clusters."""
    if clusters is None:
        return None
    names = [clusters[text] for text in texts]
    numbers = {name: number for number, name in enumerate(sorted(set(names)))}
    return tuple(numbers[name] for name in names)


def _few(effects: Effects, clusters: object) -> bool:
    """Return whether comparisons have clusters, and few of them."""
    df = effects.df[np.isfinite(effects.df)]
    return clusters is not None and len(df) > 0 and are_few(float(df[0]))


def _finite(sample: Sample) -> dict[str, float]:
    return {text: value for text, value in sample.values.items() if np.isfinite(value)}


def _describe(before: np.ndarray, after: np.ndarray) -> dict[str, Any]:
    """Return means, deviations and numbers of both conditions."""
    described: dict[str, Any] = {}
    for name, values in (("baseline", before), ("patched", after)):
        n = values.shape[1]
        described[f"n_{name}"] = n
        described[f"mean_{name}"] = values.mean(axis=1) if n else np.nan
        described[f"std_{name}"] = values.std(axis=1, ddof=1) if n > 1 else np.nan
    return described
