"""How likely given continuations are under conditions, in one pass a row."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.generation import Row
from emotion_circuits.interventions.schedules import Everywhere
from emotion_circuits.interventions.shared_layers import run_rows
from emotion_circuits.language_models import LanguageModel


def continuation_log_probs(
    model: LanguageModel, rows: Sequence[Row], continuations: Sequence[Sequence[int]]
) -> Float[np.ndarray, " row"]:
    """Mean log-probability of each continuation under its row's condition, teacher-forced.

    The model reads the prompt and the continuation's own tokens, whatever it would have said.

    Args:
        model: The model; it is as it was afterwards, whatever happens.
        rows: Prompts and conditions. Conditions act at every position: what is read in one pass
            has no steps.
        continuations: Token ids that follow each prompt; at least one each.

    Returns:
        Nats per token, float64.

    Raises:
        InputError: If a continuation is empty, a condition does not act everywhere, a site does
            not exist or a row does not fit into the model's context.
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
        # The last token is only predicted.
        forced.append(Row((*row.prompt_ids, *continuation[:-1]), row.condition))
    found = np.full(len(rows), np.nan)
    for indices, logits in run_rows(model, forced, [len(one) for one in continuations]):
        log_probs = logits.log_softmax(-1)
        for index, of_row in zip(indices, log_probs, strict=True):
            tokens = torch.tensor(continuations[index], device=logits.device)
            chosen = of_row[-len(tokens) :].gather(1, tokens[:, None])
            found[index] = float(chosen.double().mean())
    return found
