"""Bootstrap intervals of many comparisons against a loop over resamples, in one process.

Mean difference and Cohen's d of 18,000 comparisons of 50 texts with 2,000 resamples each. The
loop draws each resample of each comparison and computes both, as one would write it down; it gets
few comparisons and its time is scaled up. Both use the same resamples, and their ends are
compared first. They run in turns; the figure is the median over rounds of the ratio of times per
comparison. Memory is the peak of the whole process.

    python benchmarks/bootstrap.py [--rows 18000] [--rounds 3] [--jobs 2] [--looped 5]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np

from emotion_circuits.memory import PeakMemory
from emotion_circuits.statistics.bootstrap import (
    bootstrap_paired,
    expanded_level,
    resample_weights,
)

TARGET_SECONDS, TARGET_MIB, TARGET_RATIO = 30, 1024, 100


def loop(differences: np.ndarray, draws: list[np.ndarray]) -> np.ndarray:
    """Percentile ends of mean and d, resample by resample."""
    tail = (1 - expanded_level(0.95, differences.shape[1] - 1)) / 2
    ends = []
    for row in differences:
        means, sizes = [], []
        for drawn in draws:
            sample = row[drawn]
            mean = sample.mean()
            means.append(mean)
            sizes.append(mean / sample.std(ddof=1))
        both = (np.quantile(values, [tail, 1 - tail]) for values in (means, sizes))
        ends.append(np.concatenate(list(both)))
    return np.array(ends)


def main() -> None:
    """Check that both give the same, then time them in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=18_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--looped", type=int, default=5)
    options = parser.parse_args()
    rng = np.random.default_rng(0)
    differences = rng.normal(0.3, 1, (options.rows, 50))
    weights = resample_weights(50, n_bootstrap=2000, rng=rng)
    draws = [np.repeat(np.arange(50), counts.astype(int)) for counts in weights]
    few = differences[: options.looped]
    once = bootstrap_paired(few, weights, level=0.95, method="percentile")
    error = np.abs(np.stack(once, axis=1) - loop(few, draws)).max()
    print(f"largest difference between the ends of both: {error:.1e}")
    assert error < 1e-10
    for method in ("percentile", "bca"):
        taken, ratios, peak = [], [], PeakMemory()
        peak.start()
        for _ in range(options.rounds):
            start = time.perf_counter()
            bootstrap_paired(differences, weights, level=0.95, method=method, n_jobs=options.jobs)
            middle = time.perf_counter()
            loop(few, draws)
            end = time.perf_counter()
            taken.append(middle - start)
            ratios.append((end - middle) / options.looped / (taken[-1] / options.rows))
        used = peak.stop()
        print(
            f"{method}: {options.rows:,} comparisons in {statistics.median(taken):.1f} s "
            f"(bar {TARGET_SECONDS} s), peak {used:.0f} MiB (bar {TARGET_MIB} MiB), "
            f"x{statistics.median(ratios):,.0f} a percentile loop (bar x{TARGET_RATIO})"
        )


if __name__ == "__main__":
    main()
