"""Do the two language models hold an emotion in the same place, up to a linear map?"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from jaxtyping import Float
from sklearn.linear_model import Ridge, RidgeCV
from sklearn.preprocessing import StandardScaler

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.geometry import fit_subspace, paired_differences
from emotion_circuits.training.gates.steering import pool_prompts
from emotion_circuits.training.trained import Trained

K_MAX: Final = 4
_STRENGTHS: Final = tuple(10.0**power for power in range(-2, 4))


def overlap_gate(
    trained: Trained,
    other: Trained,
    world: WorldSettings,
    *,
    n_prompts: int,
    n_permutations: int,
    seed: int,
) -> dict[str, Any]:
    """Map one model's emotion subspaces into the other's stream, and compare.

    The map is a ridge regression between both models' mean streams on the same neutral prompts of
    training combinations; layers are matched by relative depth. Subspaces are fitted on test
    combinations. The null breaks the pairing of the neutral prompts.

    Args:
        trained: The language model to map from.
        other: The language model to map into.
        world: The world both were trained in.
        n_prompts: How many pairs of neutral prompts, and of subspace prompts.
        n_permutations: How often the pairing is broken.
        seed: Draws prompts and permutations.

    Returns:
        For each emotion the layers and k at which the overlap exceeds the permuted 95th
        percentile by most: ``layer``, ``other_layer``, ``k``, ``overlap``, ``null_95``; and all
        ``rows``.
    """
    paired = emotion_prompts(world, split="train", n_per_emotion=n_prompts, seed=seed + 4000)
    paired = paired[paired["emotion"] == NEUTRAL]
    prompts = emotion_prompts(world, split="test", n_per_emotion=n_prompts, seed=seed + 5000)
    sources, targets = (pool_prompts(model, paired).values for model in (trained, other))
    ours, theirs = (pool_prompts(model, prompts) for model in (trained, other))
    n_ours, n_theirs = sources.shape[1], targets.shape[1]
    rng = np.random.default_rng(seed)
    orders = [
        np.arange(len(paired)),
        *(rng.permutation(len(paired)) for _ in range(n_permutations)),
    ]
    rows: list[dict[str, Any]] = []
    for layer in range(n_ours):
        matched = round(layer * (n_theirs - 1) / (n_ours - 1)) if n_ours > 1 else 0
        maps = _maps(sources[:, layer], targets[:, matched], orders)
        for emotion in EMOTIONS:
            ours_k = fit_subspace(paired_differences(ours, emotion)[:, layer], n_components=K_MAX)
            theirs_k = fit_subspace(
                paired_differences(theirs, emotion)[:, matched], n_components=K_MAX
            )
            for k in range(1, K_MAX + 1):
                found = [
                    mapped_overlap(ours_k.components[:k], theirs_k.components[:k], matrix)
                    for matrix in maps
                ]
                rows.append(
                    {
                        "emotion": emotion,
                        "layer": layer,
                        "other_layer": matched,
                        "k": k,
                        "overlap": round(found[0], 4),
                        "null_95": round(float(np.quantile(found[1:], 0.95)), 4),
                    }
                )
    best = {
        emotion: max(
            (row for row in rows if row["emotion"] == emotion),
            key=lambda row: row["overlap"] - row["null_95"],
        )
        for emotion in EMOTIONS
    }
    return {"other": other.record["name"], "n_permutations": n_permutations, "best": best} | {
        "rows": rows
    }


def mapped_overlap(
    ours: Float[np.ndarray, "k d_ours"],
    theirs: Float[np.ndarray, "k d_theirs"],
    matrix: Float[np.ndarray, "d_theirs d_ours"],
) -> float:
    """Mean squared cosine of the principal angles between a mapped subspace and another."""
    basis, _ = np.linalg.qr((ours @ matrix.T).T)
    return float((np.linalg.svd(theirs @ basis, compute_uv=False) ** 2).mean())


def _maps(
    source: Float[np.ndarray, "prompt d_ours"],
    target: Float[np.ndarray, "prompt d_theirs"],
    orders: list[np.ndarray],
) -> list[Float[np.ndarray, "d_theirs d_ours"]]:
    """Fit the map for each pairing, all of them as strong as is best for the true one."""
    scaler = StandardScaler(with_std=False).fit(source)
    centred = scaler.transform(source)
    scale = float((centred**2).mean()) * len(centred)
    strengths = [strength * scale for strength in _STRENGTHS]
    chosen = RidgeCV(alphas=strengths).fit(centred, target).alpha_
    return [Ridge(alpha=chosen).fit(centred, target[order]).coef_ for order in orders]
