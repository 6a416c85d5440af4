"""Log-probabilities of fixed continuations under conditions, in one pass per row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.shared_layers import run_rows
from emotion_circuits.interventions.positions import Everywhere
from emotion_circuits.language_models import LanguageModel


def continuation_log_probs(
    model: LanguageModel, rows: Sequence[Row], continuations: Sequence[Sequence[int]]
) -> Float[np.ndarray, " row"]:
    """Return the mean log-probability of each continuation under its row's condition.

    Continuations are teacher-forced: the model reads their tokens instead of those it predicts.

    Args:
        model: The model; it is unchanged afterwards, even after an exception.
        rows: Prompts and conditions. Conditions must act at every position, since one pass has no
            steps.
        continuations: Token ids that follow each prompt, at least one.

    Returns:
        Nats per token, float64.

    Raises:
        InputError: If a continuation is empty, a condition does not act at every position, or a
            row cannot be run, as for ``run_rows``.
    """
    forced = []
    for row, continuation in zip(rows, continuations, strict=True):
        if not continuation:
            raise InputError("a continuation has no tokens; its log-probability is undefined")
        for item in row.condition.interventions:
            if not isinstance(item.positions, Everywhere):
                raise InputError(
                    f"condition {row.condition.name!r} acts at {type(item.positions).__name__}; "
                    "with given continuations allowed is Everywhere"
                )
        # The model predicts the last token and does not read it.
        forced.append(Row((*row.prompt_ids, *continuation[:-1]), row.condition))
    means = np.full(len(rows), np.nan)
    for indices, logits in run_rows(model, forced, list(map(len, continuations))):
        log_probs = logits.log_softmax(-1)
        for index, of_row in zip(indices, log_probs, strict=True):
            tokens = torch.tensor(continuations[index], device=logits.device)
            chosen = of_row[-len(tokens) :].gather(1, tokens[:, None])
            means[index] = float(chosen.double().mean())
    return means
