"""Checks of a model with its cache, and of a bridge against the plain model."""

from __future__ import annotations

from textwrap import shorten
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.reserved_cache import ReservedCache
from emotion_circuits.language_models.spec import ModelSpec

if TYPE_CHECKING:
    import transformer_lens.model_bridge

# Short texts of different lengths that any tokenizer can encode.
PROBES: Final = ("The lamp is on the table.", "I am", "Thank you, Dana. 12!")

# Largest deviation allowed, relative to the largest value compared. The bridge uses another
# attention kernel, so the last bits differ: 2^-24 of float32, 2^-11 of float16 and 2^-8 of
# bfloat16, amplified over about ten layers.
_TOLERANCE: Final = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}

_STREAM_POINTS: Final = ("hook_resid_pre", "hook_attn_out", "hook_resid_mid", "hook_resid_post")


@torch.no_grad()
def plain_logits(model: Any, probes: list[list[int]]) -> list[Tensor]:
    """Return the logits of a plain model for each probe.

    Args:
        model: A causal language model of transformers.
        probes: Token ids of each probe.

    Returns:
        Tensors ``[pos, vocab]`` in float32 on the CPU.
    """
    device = next(model.parameters()).device
    logits = (
        model(input_ids=torch.tensor([ids], device=device), use_cache=False).logits
        for ids in probes
    )
    return [values[0].float().cpu() for values in logits]


@torch.no_grad()
def check_cache(spec: ModelSpec, model: Any, ids: list[int], expected: Tensor) -> None:
    """Check that a cache of keys and values that forgets positions gives the uncached logits.

    A recurrent model keeps a state instead, which cannot forget: its texts under interventions
    would be wrong.

    Args:
        spec: The model's name in messages, and its dtype.
        model: A causal language model of transformers.
        ids: Token ids of a probe, at least three.
        expected: The logits of a pass over the probe without a cache.

    Raises:
        InputError: If the model does not read its past from such a cache, or logits differ.
    """
    layers = int(model.config.get_text_config().num_hidden_layers)
    cache = ReservedCache(layers, len(ids))
    tokens = torch.tensor([ids], device=next(model.parameters()).device)
    middle = len(ids) // 2
    try:
        model(input_ids=tokens[:, : middle + 1], past_key_values=cache, use_cache=True)
        cache.keep(middle)
        logits = model(input_ids=tokens[:, middle:], past_key_values=cache, use_cache=True).logits[
            0
        ]
    # What a model does with a cache that it is not made for depends on its code.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(f"{_no_cache(spec, model)} ({shorten(reason, 120)})") from error
    if not _close(spec, logits.float().cpu(), expected[middle:]):
        raise InputError(
            f"{_no_cache(spec, model)}: logits with and without it differ by "
            f"{_deviation(logits.float().cpu(), expected[middle:]):.3g}"
        )


def _no_cache(spec: ModelSpec, model: Any) -> str:
    return (
        f"model {spec.name!r} failed its self-check: {type(model).__name__} does not read its past "
        "from a cache of keys and values; models with recurrent layers cannot be studied"
    )


@torch.no_grad()
def check_bridge(
    spec: ModelSpec,
    bridge: transformer_lens.model_bridge.TransformerBridge,
    probes: list[list[int]],
    expected: list[Tensor],
) -> None:
    """Check a bridge's logits against the plain model, and the bridge's residual stream.

    Args:
        spec: The model's name in messages, and its dtype.
        bridge: The model with hook points.
        probes: Token ids of each probe.
        expected: The plain model's logits for the probes.

    Raises:
        InputError: If logits differ, if ``resid_post`` of a layer is not ``resid_pre`` of the
            next, or if ``resid_mid``, where the architecture has it, is not
            ``resid_pre + attn_out``.
    """
    actual = plain_logits(bridge.original_model, probes)
    for seen, wanted in zip(actual, expected, strict=True):
        _compare(spec, "bridge logits and the plain model's", seen, wanted)
    stream = _residual_stream(bridge, probes[0])
    for layer in range(int(bridge.cfg.n_layers)):
        post, following = f"blocks.{layer}.hook_resid_post", f"blocks.{layer + 1}.hook_resid_pre"
        if following in stream:
            _compare(spec, f"{post} and {following}", stream[post], stream[following])
        mid = f"blocks.{layer}.hook_resid_mid"
        if mid in stream:
            parts = (f"blocks.{layer}.hook_resid_pre", f"blocks.{layer}.hook_attn_out")
            total = stream[parts[0]] + stream[parts[1]]
            _compare(spec, f"{mid} and {' + '.join(parts)}", stream[mid], total)


def _residual_stream(
    bridge: transformer_lens.model_bridge.TransformerBridge, ids: list[int]
) -> dict[str, Tensor]:
    """Return residual streams and attention outputs of one probe by TransformerLens name."""
    names = {name for name in bridge.hook_dict if name.rpartition(".")[2] in _STREAM_POINTS}
    device = next(bridge.original_model.parameters()).device
    _, cache = bridge.run_with_cache(
        torch.tensor([ids], device=device),
        names_filter=names.__contains__,
        return_cache_object=False,
    )
    return {name: value[0].float().cpu() for name, value in cache.items()}


def _compare(spec: ModelSpec, what: str, seen: Tensor, wanted: Tensor) -> None:
    if not _close(spec, seen, wanted):
        raise InputError(
            f"model {spec.name!r} failed its self-check: {what} differ by "
            f"{_deviation(seen, wanted):.3g}; allowed is {_allowed(spec, wanted):.3g} in "
            f"{spec.dtype}"
        )


def _close(spec: ModelSpec, seen: Tensor, wanted: Tensor) -> bool:
    return _deviation(seen, wanted) <= _allowed(spec, wanted)  # false for NaN


def _deviation(seen: Tensor, wanted: Tensor) -> float:
    return (seen - wanted).abs().max().item()


def _allowed(spec: ModelSpec, wanted: Tensor) -> float:
    return _TOLERANCE[spec.dtype] * max(1.0, wanted.abs().max().item())
