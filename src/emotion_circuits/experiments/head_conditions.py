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
    name: str, heads: Iterable[tuple[int, int]], values: Float[Tensor, "layer head d_head"]
) -> Condition:
    """Replace heads' outputs by fixed values at every position, generated ones too.

    Args:
        name: The condition's name.
        heads: Which; their order has no meaning.
        values: For all heads of the model: zeros, or means over other prompts.

    Raises:
        InputError: If there is no such head.
    """
    heads = _existing(heads, *values.shape[:2])
    return _at_heads(name, heads, lambda head: Ablate(values[head.layer, head.head]), Everywhere())


def patch_heads(
    name: str,
    heads: Iterable[tuple[int, int]],
    source: Float[Tensor, "layer pos head d_head"],
    *,
    mode: str = "pattern_v",
    n_prompt: int,
    n_aligned: int,
) -> Condition:
    """Put what heads did on another prompt in place of what they do, aligned from the end.

    Args:
        name: The condition's name.
        heads: Which; their order has no meaning.
        source: The other prompt's ``z`` for ``pattern_v``, its ``v`` per query head for
            ``v_only``.
        mode: ``pattern_v``: the head's output is the other prompt's, made by its pattern and its
            values. ``v_only``: the running prompt's pattern reads the other prompt's values.
        n_prompt: Tokens of the prompt that is patched.
        n_aligned: How many last positions are patched.

    Raises:
        InputError: If the mode is unknown, there is no such head, or there are fewer positions
            than are to be aligned.
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
    """Give each head once, in order."""
    chosen = sorted({Head(*head) for head in heads})
    for head in chosen:
        if not (0 <= head.layer < n_layers and 0 <= head.head < n_heads):
            last = Head(n_layers - 1, n_heads - 1)
            raise InputError(f"head {head} does not exist; allowed are 0:0 to {last}")
    return chosen


def aligned_positions(first: int, second: int, *, n_special: int) -> int:
    """Say how many last positions of two prompts stand for one another.

    The shorter text's tokens, all of them. Where lengths differ BOS stays out, since it would be
    put in the place of a word, or a word in its place; where they are equal it stands for itself.

    Args:
        first: Tokens of one prompt, BOS included.
        second: Tokens of the other.
        n_special: 1 where prompts begin with BOS, else 0.
    """
    return first if first == second else min(first, second) - n_special


def mean_outputs(
    z: Mapping[int, Float[Tensor, "layer pos head d_head"]],
    labels: Mapping[int, str],
    *,
    n_special: int,
) -> Float[Tensor, "layer head d_head"]:
    """Average heads' outputs: over a prompt's tokens, over a label's prompts, over labels.

    So long prompts count no more than short ones, and frequent labels no more than rare ones.

    Args:
        z: Of each prompt.
        labels: Of each prompt.
        n_special: Positions at the beginning that are left out: BOS, an attention sink.
    """
    of_label: dict[str, list[Tensor]] = {}
    for index, values in z.items():
        of_label.setdefault(labels[index], []).append(values[:, n_special:].double().mean(1))
    means = [torch.stack(values).mean(0) for _, values in sorted(of_label.items())]
    return torch.stack(means).mean(0).float()
