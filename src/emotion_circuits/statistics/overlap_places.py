"""Overlap of two models' emotions at the layer where steering acts, and where it is clearest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.statistics.comparisons import place_among
from emotion_circuits.statistics.k_selection import named_models
from emotion_circuits.statistics.k_specificity import AGAINST, average_over_layers, join, specific_p
from emotion_circuits.statistics.null_tests import max_t_p

AT_STEERING: Final = "layer_of_steering"
AT_BEST: Final = "best_layer"
PLACE_COLUMNS: Final = (
    *("profile", "model_a", "model_b", "emotion", "where", "layer", "k", "overlap", "null_mean"),
    *("null_p95", "p_value_corrected", "specificity_p_corrected", "n_tests"),
)


def overlap_places(
    sweeps: Iterable[Mapping[str, Any]],
    steered: Mapping[str, Mapping[str, int]],
    profile: str,
    labels: Sequence[str],
) -> pd.DataFrame:
    """Report each emotion's overlap where it acts first, and at the best layer second.

    The layer of steering was chosen by phase 5 without a look at overlaps, so that its p-values are
    corrected for the number of k alone. Those of the best layer are corrected for all layers and k.
    An overlap at a layer where steering moves next to nothing does not show that the models share
    what makes them express an emotion.

    Args:
        sweeps: One for each pair of models, as phase 4 writes them; those without shuffles
            (``overlap_null``) are left out.
        steered: By model, the layer chosen for steering of each emotion.
        profile: Name of the profile.
        labels: The study's labels, in the order of the table.

    Returns:
        One line per pair of models, emotion and place, with the k of the smallest p-value; ties go
        to the largest distance from the null. ``layer`` is the layer of ``model_a``. There is no
        line for the layer of steering if it is not known or has no overlap.
        ``specificity_p_corrected`` is of this k, corrected for the same tests.
    """
    lines: list[dict[str, Any]] = []
    for sweep in sorted(
        map(named_models, sweeps), key=lambda sweep: (sweep["model_a"], sweep["model_b"])
    ):
        names = {"profile": profile, "model_a": sweep["model_a"], "model_b": sweep["model_b"]}
        results = sweep["sweep_results"]
        emotions = {emotion for layer in results.values() for emotion in layer}
        for emotion in sorted(emotions, key=partial(place_among, labels)):
            cells = [
                (layer, int(k), results[layer][emotion][k])
                for layer in sorted(results)
                for k in sorted(results[layer].get(emotion, {}))
            ]
            acts = steered.get(sweep["model_a"], {}).get(emotion)
            for where, chosen in (
                (AT_STEERING, [cell for cell in cells if cell[0] == acts]),
                (AT_BEST, cells),
            ):
                if chosen and all("overlap_null" in leaf for _, _, leaf in chosen):
                    lines.append(names | {"emotion": emotion, "where": where} | _best_of(chosen))
    return pd.DataFrame(lines, columns=list(PLACE_COLUMNS))


def _best_of(cells: Sequence[tuple[int, int, Mapping[str, Any]]]) -> dict[str, Any]:
    overlaps = np.array([leaf["overlap_cos_squared"] for _, _, leaf in cells])
    null = np.stack([leaf["overlap_null"] for _, _, leaf in cells], axis=1)
    p_values = max_t_p(overlaps, null)
    distance = overlaps - null.mean(axis=0)
    best = min(range(len(cells)), key=lambda index: (p_values[index], -distance[index]))
    layer, k, _ = cells[best]
    against = [average_over_layers([leaf]) for _, _, leaf in cells]
    specific = float("nan")
    if all(against) and len({tuple(sorted(leaf[AGAINST])) for _, _, leaf in cells}) == 1:
        families = [join([each[name] for each in against if each]) for name in against[0] or ()]
        specific = float(specific_p(families, corrected=True)[best])
    return {
        "layer": layer,
        "k": k,
        "overlap": float(overlaps[best]),
        "null_mean": float(null[:, best].mean()),
        "null_p95": float(np.quantile(null[:, best], 0.95)),
        "p_value_corrected": float(p_values[best]),
        "specificity_p_corrected": specific,
        "n_tests": len(cells),
    }
