"""Conditions for sets of heads: ablation by zero, mean or another prompt, and patching."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.heads import Head
from emotion_circuits.interventions import (
    Ablate,
    Condition,
    Everywhere,
    Intervention,
    Operator,
    Positions,
    Prompt,
    Replace,
    ReplaceV,
    Site,
)

MODES: Final = ("pattern_v", "v_only")


def ablate_heads(
    name: str,
    heads: Iterable[tuple[int, int]],
    values: Float[Tensor, "layer head d_head"],
    *,
    positions: Positions | None = None,
) -> Condition:
    """Replace heads' outputs by fixed values.

    Args:
        name: The condition's name.
        heads: The heads to ablate, in any order.
        values: Replacements for all heads of the model: zeros, or means over other prompts.
        positions: Positions to replace; None for every position, including generated ones.

    Raises:
        InputError: If a head does not exist.
    """
    heads = _existing(heads, *values.shape[:2])
    return _at_heads(
        name, heads, lambda head: Ablate(values[head.layer, head.head]), positions or Everywhere()
    )


def patch_heads(
    name: str,
    heads: Iterable[tuple[int, int]],
    source: Float[Tensor, "layer pos head d_head"],
    *,
    mode: str = "pattern_v",
    n_prompt: int,
    n_aligned: int,
) -> Condition:
    """Patch heads with their activations on a source prompt, aligned at the prompts' ends.

    Args:
        name: The condition's name.
        heads: The heads to patch, in any order.
        source: The source prompt's ``z`` for ``pattern_v``, its ``v`` per query head for
            ``v_only``.
        mode: ``pattern_v``: the head's output is that on the source prompt. ``v_only``: the
            patched prompt's attention pattern reads the source prompt's values.
        n_prompt: Number of tokens of the patched prompt.
        n_aligned: Number of last positions to patch.

    Raises:
        InputError: If the mode is unknown, a head does not exist, or a prompt has fewer than
            ``n_aligned`` positions.
    """
    heads = _existing(heads, source.shape[0], source.shape[2])
    if mode not in MODES:
        raise InputError(f"mode {mode!r} is unknown; known: {', '.join(MODES)}")
    if not 1 <= n_aligned <= min(n_prompt, source.shape[1]):
        raise InputError(
            f"{n_aligned} positions cannot be aligned between prompts of {n_prompt} and "
            f"{source.shape[1]} tokens"
        )
    operator = Replace if mode == "pattern_v" else ReplaceV
    whole = torch.zeros(n_prompt, source.shape[-1])

    def replace(head: Head) -> Operator:
        aligned = whole.clone()
        aligned[-n_aligned:] = source[head.layer, -n_aligned:, head.head]
        return operator(aligned)

    return _at_heads(name, heads, replace, Prompt(n_aligned))


def _at_heads(
    name: str,
    heads: Iterable[Head],
    operator_of: Callable[[Head], Operator],
    positions: Positions,
) -> Condition:
    return Condition(
        name,
        tuple(Intervention(Site("z", *head), operator_of(head), positions) for head in heads),
    )


def _existing(heads: Iterable[tuple[int, int]], n_layers: int, n_heads: int) -> list[Head]:
    """Return the distinct heads in order; raise InputError if one does not exist."""
    chosen = sorted({Head(*head) for head in heads})
    for head in chosen:
        if not (0 <= head.layer < n_layers and 0 <= head.head < n_heads):
            last = Head(n_layers - 1, n_heads - 1)
            raise InputError(f"head {head} does not exist; allowed are 0:0 to {last}")
    return chosen


def aligned_positions(first: int, second: int, *, n_special: int) -> int:
    """Return the number of last positions at which two prompts are aligned.

    This is the length of the shorter prompt. If lengths differ, BOS is left out, since it would
    replace a word or be replaced by one; if they are equal, BOS is aligned with BOS.

    Args:
        first: Number of tokens of one prompt, BOS included.
        second: Number of tokens of the other prompt, BOS included.
        n_special: 1 if prompts begin with BOS, else 0.
    """
    return first if first == second else min(first, second) - n_special


def mean_outputs(
    z: Mapping[int, Float[Tensor, "layer pos head d_head"]],
    labels: Mapping[int, str],
    *,
    n_special: int,
) -> Float[Tensor, "layer head d_head"]:
    """Average heads' outputs over tokens, then over each label's prompts, then over labels.

    Long prompts thus count as much as short ones, and frequent labels as much as rare ones.

    Args:
        z: Heads' outputs on each prompt, by the prompt's index.
        labels: Label of each prompt, by the prompt's index.
        n_special: Number of first positions to leave out: 1 for BOS, an attention sink.
    """
    of_label: dict[str, list[Tensor]] = {}
    for index, values in z.items():
        of_label.setdefault(labels[index], []).append(values[:, n_special:].double().mean(1))
    means = [torch.stack(values).mean(0) for _, values in sorted(of_label.items())]
    return torch.stack(means).mean(0).float()
