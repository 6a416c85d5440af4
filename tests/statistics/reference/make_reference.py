"""Make reference.json: what mpmath gives at 50 digits for data of a few lines.

Nothing of the package is imported. To run: ``python tests/statistics/reference/make_reference.py``;
mpmath comes with sympy, which comes with torch.
"""

import json
from pathlib import Path

from mpmath import betainc, gamma, mp, mpf, sqrt

mp.dps = 50

BASELINE = ["0.12", "0.55", "0.31", "0.90", "0.47", "0.05", "0.66", "0.73", "0.28", "0.51"]
PATCHED = {
    "raised": ["0.35", "0.61", "0.58", "0.97", "0.60", "0.44", "0.59", "0.95", "0.63", "0.54"],
    "lowered": ["0.10", "0.15", "0.35", "0.71", "0.11", "0.02", "0.68", "0.44", "0.20", "0.17"],
    "unmoved": ["0.15", "0.51", "0.33", "0.86", "0.52", "0.01", "0.69", "0.77", "0.22", "0.55"],
}
CLUSTERS = [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]


def mean(values):
    return sum(values) / len(values)


def variance(values):
    center = mean(values)
    return sum((value - center) ** 2 for value in values) / (len(values) - 1)


def two_sided(t, df):
    """p of Student's t through the incomplete beta function."""
    return betainc(df / 2, mpf(1) / 2, 0, df / (df + t * t), regularized=True)


def hedges(df):
    return gamma(df / 2) / (sqrt(df / 2) * gamma((df - 1) / 2))


def paired(before, after):
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n = mpf(len(differences))
    d = mean(differences) / sqrt(variance(differences))
    t = d * sqrt(n)
    return {
        "mean_diff": mean(differences),
        "cohen_d": d,
        "hedges_g": d * hedges(n - 1),
        "t_statistic": t,
        "p_value": two_sided(t, n - 1),
    }


def clustered(before, after):
    differences = [b - a for a, b in zip(before, after, strict=True)]
    n, center = len(differences), mean(differences)
    groups = sorted(set(CLUSTERS))
    sums = [
        sum(x - center for x, g in zip(differences, CLUSTERS, strict=True) if g == group)
        for group in groups
    ]
    count = mpf(len(groups))
    error = sqrt(count / (count - 1) * sum(s * s for s in sums)) / n
    t = center / error
    # Degrees of freedom of Bell and McCaffrey, from the shares of the samples in each cluster.
    shares = [mpf(CLUSTERS.count(group)) / n for group in groups]
    ratios = [h * h / (1 - h) for h in shares]
    df = 1 / (sum(h * h for h in shares) + sum(ratios) ** 2 - sum(r * r for r in ratios))
    return {"t_statistic": t, "p_value": two_sided(t, df)}


def unpaired(before, after):
    n_0, n_1 = mpf(len(before)), mpf(len(after))
    v_0, v_1 = variance(before), variance(after)
    pooled = sqrt(((n_0 - 1) * v_0 + (n_1 - 1) * v_1) / (n_0 + n_1 - 2))
    difference = mean(after) - mean(before)
    e_0, e_1 = v_0 / n_0, v_1 / n_1
    t = difference / sqrt(e_0 + e_1)
    df = (e_0 + e_1) ** 2 / (e_0**2 / (n_0 - 1) + e_1**2 / (n_1 - 1))
    return {
        "mean_diff": difference,
        "cohen_d": difference / pooled,
        "hedges_g": difference / pooled * hedges(n_0 + n_1 - 2),
        "t_statistic": t,
        "p_value": two_sided(t, df),
    }


def corrected(p_values):
    """Bonferroni, and Benjamini and Hochberg by their definition."""
    m = len(p_values)
    names = sorted(p_values, key=p_values.get)
    fdr, least = {}, mpf(1)
    for rank in range(m, 0, -1):
        least = min(least, p_values[names[rank - 1]] * m / rank)
        fdr[names[rank - 1]] = least
    return {
        name: {"bonferroni": min(mpf(1), p * m), "fdr": fdr[name]} for name, p in p_values.items()
    }


def plain(value):
    """Turn mpmath's numbers into the nearest floats."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value if isinstance(value, list | int) else float(value)


def main():
    before = [mpf(value) for value in BASELINE]
    rows = {name: [mpf(value) for value in values] for name, values in PATCHED.items()}
    effects = {name: paired(before, after) for name, after in rows.items()}
    reference = {
        "baseline": BASELINE,
        "patched": PATCHED,
        "clusters": CLUSTERS,
        "paired": effects,
        "clustered": {name: clustered(before, after) for name, after in rows.items()},
        "unpaired": {name: unpaired(before[:7], after) for name, after in rows.items()},
        "corrected": corrected({name: effect["p_value"] for name, effect in effects.items()}),
    }
    path = Path(__file__).with_name("reference.json")
    path.write_text(json.dumps(plain(reference), indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
