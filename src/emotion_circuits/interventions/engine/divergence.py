"""How far a condition changes what a model expects in given texts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float

from emotion_circuits.interventions.conditions import BASELINE
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.run import grouped
from emotion_circuits.interventions.engine.teacher_forcing import check_reading, read_part
from emotion_circuits.language_models import LanguageModel

# Logits of both models are held at once.
_TEXTS_PER_PASS = 16


class Divergence(NamedTuple):
    """Change of a model's predictions in given texts, per row.

    Attributes:
        kl: Kullback–Leibler divergence of the changed model's next-token distribution from the
            unchanged model's, KL(unchanged ‖ changed), in nats, averaged over the tokens.
        nll_change: Increase of the mean negative log-likelihood of the texts' own tokens, in nats
            per token; the perplexity is multiplied by its exponential.
    """

    kl: Float[np.ndarray, " row"]
    nll_change: Float[np.ndarray, " row"]


@torch.no_grad()
def divergence(
    model: LanguageModel, rows: Sequence[Row], continuations: Sequence[Sequence[int]]
) -> Divergence:
    """Compare predictions under each row's condition with those of the unchanged model.

    Args:
        model: The model; it is unchanged afterwards, even after an exception.
        rows: Prompts, which are read but not compared, and conditions.
        continuations: Tokens that follow each prompt, at which predictions are compared.

    Raises:
        InputError: As ``continuation_log_probs``.
    """
    kl, nll_change = np.full((2, len(rows)), np.nan)
    for row, continuation in zip(rows, continuations, strict=True):
        check_reading(model, row, continuation)
    for group in grouped(model, rows, range(len(rows))):
        for start in range(0, len(group), _TEXTS_PER_PASS):
            part = group[start : start + _TEXTS_PER_PASS]
            changed = [rows[index] for index in part]
            plain = [replace(row, condition=BASELINE) for row in changed]
            texts = [continuations[index] for index in part]
            owners = range(len(part))
            readings = (read_part(model, given, owners, texts) for given in (plain, changed))
            # Both read the same texts in the same order.
            for (places, (before, tokens)), (_, (after, _)) in zip(*readings, strict=True):
                p, q = before.log_softmax(-1).double(), after.log_softmax(-1).double()
                own = tokens[..., None]
                chosen = [part[place] for place in places]
                kl[chosen] = (p.exp() * (p - q)).sum(-1).mean(-1).cpu().numpy()
                lost = (p - q).gather(2, own)[..., 0].mean(-1)
                nll_change[chosen] = lost.cpu().numpy()
    return Divergence(kl, nll_change)
