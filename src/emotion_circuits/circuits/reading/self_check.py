"""A check that weights, read as OV and QK, predict what a model's heads do."""

from __future__ import annotations

from typing import Final

import torch
from jaxtyping import Int
from torch import Tensor

from emotion_circuits.circuits.reading.ov import head_values
from emotion_circuits.circuits.reading.qk import attention_scores
from emotion_circuits.circuits.reading.weights import AttentionWeights
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Site, record
from emotion_circuits.language_models import LanguageModel

# Attention weights lie between 0 and 1; products are summed in another order than in the model.
_TOLERANCE: Final = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 1e-1}


@torch.no_grad()
def check_reading(
    model: LanguageModel, weights: AttentionWeights, tokens: Int[Tensor, " pos"]
) -> None:
    """Compare a layer's attention on a short prompt with what its weights predict.

    The pattern of the last position is predicted from scores at each distance, and heads' outputs
    from the pattern and the values. An architecture that computes attention in a way that reading
    does not know is found out here.

    Args:
        model: The model.
        weights: The result of ``attention_weights``.
        tokens: Two or more tokens; no more than the shortest attention window.

    Raises:
        InputError: If a pattern or output differs.
    """
    layer = weights.layer
    stream, shown, out = (Site(point, layer) for point in ("resid_pre", "pattern", "z"))
    seen = record(model, tokens[None].to(model.device), [stream, shown, out]).activations
    streams, last = seen[stream][0], len(tokens) - 1
    for head in range(weights.n_heads):
        scores = [
            attention_scores(weights, head, streams[-1:], streams[[key]], distance=last - key)
            for key in range(len(tokens))
        ]
        pattern = torch.cat(scores, dim=1).softmax(-1)[0]
        _compare(model, weights, head, "attention", pattern, seen[shown][0, head, -1])
        read = head_values(weights, head, streams)
        written = seen[out][0, -1, head].float() @ weights.w_o[head] * weights.write_gain
        _compare(model, weights, head, "output", pattern @ read, written)


def _compare(
    model: LanguageModel,
    weights: AttentionWeights,
    head: int,
    what: str,
    predicted: Tensor,
    actual: Tensor,
) -> None:
    difference = float((predicted - actual.float()).abs().max())
    allowed = _TOLERANCE[model.spec.dtype] * max(1.0, float(actual.abs().max()))
    if not difference <= allowed:  # also true for NaN
        raise InputError(
            f"model {model.name!r}: {what} of head {head} in layer {weights.layer} differs by "
            f"{difference:.3g} from what its weights predict; allowed is {allowed:.3g}"
        )
