"""How far a model prefers what it says about an emotion's situation to what it says about none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from emotion_circuits.circuits import pair_rows
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.interventions import Row, continuation_log_probs
from emotion_circuits.pipelines.head_prompts import HeadPrompts


def read_preferences(
    data: HeadPrompts,
    rows: Sequence[Row],
    owners: Sequence[int],
    said: Sequence[tuple[int, ...]],
) -> Float[np.ndarray, " row"]:
    """Compare two reactions under each row's condition, on the emotion's prompt.

    The reactions are the unpatched model's own: to the prompt, and to the neutral prompt of its
    pair. Every token of both counts, so that an effect shows that changes no greedy choice.

    Args:
        data: The prompts.
        rows: Prompts under conditions that act everywhere.
        owners: For each row its prompt's place.
        said: What the model as it is says after each prompt, as tokens.

    Returns:
        Mean log-probability per token of the own reaction minus that of the neutral one, in nats;
        NaN for neutral prompts.

    Source: effects of heads on log-probability differences, Wang et al. 2022, arXiv:2211.00593.
    """
    partner = dict(pair for emotion in EMOTIONS for pair in pair_rows(data.table, emotion))
    kept = [place for place, owner in enumerate(owners) if owner in partner]
    found = np.full(len(rows), np.nan)
    if kept:
        mine = [rows[place] for place in kept]
        reactions = [said[owners[place]] for place in kept]
        neutral = [said[partner[owners[place]]] for place in kept]
        values = continuation_log_probs(data.model, [*mine, *mine], [*reactions, *neutral])
        found[kept] = values[: len(kept)] - values[len(kept) :]
    return found
