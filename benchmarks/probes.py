"""Probes of all contrasts with shuffled labels against probes fitted one by one on all features.

900 texts in 225 scenarios; one layer of 4,096 and four of 576. The plain way standardises and fits
each probe on the stream as it is. Both run in turns, and their AUROCs are compared first; the
figure is the median over rounds of the ratio of times.

    python benchmarks/probes.py [--rounds 3] [--shuffles 20]
"""

from __future__ import annotations

import argparse
import statistics
import time

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from emotion_circuits.geometry import PooledActivations
from emotion_circuits.geometry.probes import probe_table
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.seeds import rng_for

EMOTIONS = EmotionSet(names=["gratitude", "anger", "apology"], neutral="neutral")
SHAPES = {576: 4, 4096: 1}
TARGET_SECONDS, TOLERANCE = 60, 1e-3


def make_pooled(d_model: int, n_layers: int, n_pairs: int = 225) -> PooledActivations:
    """Make texts that share most of what they vary by with their scenario."""
    rng = np.random.default_rng(0)
    labels = np.tile(list(EMOTIONS.labels), n_pairs)
    number = np.repeat(np.arange(n_pairs), len(EMOTIONS.labels))
    directions = {label: rng.normal(0, 0.12, (n_layers, d_model)) for label in EMOTIONS.labels}
    values = rng.normal(size=(n_pairs, n_layers, d_model))[number]
    values = values + rng.normal(0, 0.8, values.shape)
    values += np.stack([directions[label] for label in labels])
    return PooledActivations(
        values=values,
        labels=labels,
        pair_ids=number.astype(str),
        splits=np.where(number < 0.8 * n_pairs, "train", "test"),
        prompts=np.array([f"text {each}" for each in number], dtype=object),
        layer_indices=tuple(range(n_layers)),
        emotions=EMOTIONS,
    )


def one_by_one(pooled: PooledActivations, n_shuffles: int) -> dict[tuple[str, int], list[float]]:
    """AUROC of the probe and of its shuffles, by contrast and layer."""
    found = {}
    labels = pooled.emotions.labels
    for first, second in [(a, b) for i, a in enumerate(labels) for b in labels[i + 1 :]]:
        train, test = (
            np.concatenate([pooled.rows(label, split) for label in (first, second)])
            for split in ("train", "test")
        )
        truth = pooled.labels[train] == first
        for layer in pooled.layer_indices:
            rng = rng_for(0, "shuffled_labels", f"{first}_vs_{second}", layer)
            aurocs = []
            for positive in [truth, *(rng.permutation(truth) for _ in range(n_shuffles))]:
                probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
                probe.fit(pooled.values[train, layer], positive)
                scores = probe.decision_function(pooled.values[test, layer])
                aurocs.append(roc_auc_score(pooled.labels[test] == first, scores))
            found[f"{first}_vs_{second}", layer] = aurocs
    return found


def main() -> None:
    """Check that both give the same, then time them in turns."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--shuffles", type=int, default=20)
    options = parser.parse_args()
    for d_model, n_layers in SHAPES.items():
        pooled = make_pooled(d_model, n_layers)
        named = np.zeros(len(pooled.labels), dtype=bool)
        taken, ratios = [], []
        for _ in range(options.rounds):
            start = time.perf_counter()
            table = probe_table(pooled, named, n_shuffles=options.shuffles, seed=0)
            middle = time.perf_counter()
            plain = one_by_one(pooled, options.shuffles)
            end = time.perf_counter()
            taken.append(middle - start)
            ratios.append((end - middle) / taken[-1])
        read = table[table["subset"] == "all"].set_index(["probe", "contrast", "layer"])["auroc"]
        errors = [
            max(
                abs(read["residual", contrast, layer] - aurocs[0]),
                abs(read["residual_shuffled_labels", contrast, layer] - np.mean(aurocs[1:])),
            )
            for (contrast, layer), aurocs in plain.items()
        ]
        print(
            f"d_model {d_model}: {statistics.median(taken) / n_layers:.2f} s a layer "
            f"(bar for 30 layers of 576: {TARGET_SECONDS} s), "
            f"x{statistics.median(ratios):.1f} one by one, largest difference {max(errors):.1e}"
        )
        assert max(errors) < TOLERANCE


if __name__ == "__main__":
    main()
