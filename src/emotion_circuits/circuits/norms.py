"""Norms of a model: which there are, their divisors, and their linear parts."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from emotion_circuits.language_models import LanguageModel


def final_norm(model: LanguageModel) -> nn.Module:
    """Return the norm between the last layer and the logits."""
    name = model.bridge.adapter.component_mapping["ln_final"].name
    norm: nn.Module = model.plain_model.get_submodule(name)
    return norm


def block_norm(model: LanguageModel, layer: int, name: str) -> nn.Module | None:
    """Return a norm of a layer, or ``None`` if the architecture has none there.

    Args:
        model: The model.
        layer: Counted from 0.
        name: TransformerLens name: ``ln1`` before attention, ``ln1_post`` after it, ``ln2`` before
            the MLP, ``ln2_post`` after it.
    """
    component = model.bridge.adapter.component_mapping["blocks"].submodules.get(name)
    return None if component is None else model.plain_blocks[layer].get_submodule(component.name)


def is_centered(norm: nn.Module) -> bool:
    """Return whether a norm subtracts the mean over the stream's entries (LayerNorm)."""
    return isinstance(norm, nn.LayerNorm)


def divisor(norm: nn.Module, stream: Float[Tensor, "*row width"]) -> Float[Tensor, "*row"]:
    """Return the standard deviation (LayerNorm) or root mean square (RMSNorm) of streams."""
    wide = stream.float()
    mean_square = wide.var(-1, correction=0) if is_centered(norm) else wide.square().mean(-1)
    eps = getattr(norm, "variance_epsilon", None) or getattr(norm, "eps", None) or 0.0
    return (mean_square + float(eps)).sqrt()


def gain(norm: nn.Module, width: int) -> Float[Tensor, " width"]:
    """Return the factor of each entry after division, as the architecture applies it (Gemma 1 + w).

    Args:
        norm: LayerNorm or any RMSNorm.
        width: Number of entries.
    """
    weight = next(norm.parameters())
    with torch.no_grad():
        if is_centered(norm):
            return weight.detach().float()
        ones = torch.ones(1, width, dtype=weight.dtype, device=weight.device)
        factor: Tensor = (norm(ones).float() * divisor(norm, ones)[:, None])[0]
        return factor


def fold_input(
    norm: nn.Module | None, weights: Float[Tensor, "*head width out"]
) -> Float[Tensor, "*head width out"]:
    """Fold the linear part of a norm into the weights that read its output.

    The result W′ satisfies norm(x) W = x W′ / σ(x) + bias, with the norm's divisor σ: its gain is
    multiplied in, and with LayerNorm so is the subtraction of the mean over entries.
    """
    if norm is None:
        return weights.float()
    folded = weights.float() * gain(norm, weights.shape[-2])[:, None]
    return folded - folded.mean(-2, keepdim=True) if is_centered(norm) else folded


def frozen_scale(
    norm: nn.Module, stream: Float[Tensor, "*row width"]
) -> Float[Tensor, "*row width"]:
    """Return an RMS norm's factor for each entry of the stream, at the scale of each row."""
    scale: Tensor = gain(norm, stream.shape[-1]) / divisor(norm, stream)[..., None]
    return scale
