"""What each head reads, moves and writes of an emotion, on pairs of prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.circuits.attention_mass import cue_attention
from emotion_circuits.circuits.direct_write import final_scales, head_writes
from emotion_circuits.circuits.reading.ov import unembedding
from emotion_circuits.circuits.roles.measures import (
    Pairs,
    Probes,
    every_head,
    read_measures,
)
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import Positions, Prompt, capture_heads
from emotion_circuits.language_models import encode_prompts
from emotion_circuits.prompts import PAIR_HALVES


@dataclass(frozen=True)
class RoleReadings:
    """What a head's role is told from, for each pair of prompts and head.

    A drop is the contrast of a measure between the emotional and the neutral prompt, minus the
    contrast under ablation of the head. Damage that both prompts suffer alike is no drop.

    Attributes:
        heads: The heads.
        pairs: The pairs.
        text_effect: Contrast of the middle layer's probe over the text.
        text_drop: Its drop if the head is ablated at all positions.
        last_effect: Contrast of the later layer's probe at the last position.
        last_drop: Its drop if the head is ablated at the last position only.
        output_effect: Contrast of the logits of the tokens that mark the emotion.
        output_write: What the head itself writes of this contrast, through the final norm alone.
        cue_attention: Attention to the cue on the emotional prompt, averaged over the positions
            after it; NaN if none is.
        cue_uniform: The same under uniform attention.
        moved: Attention of the last position to the text's earlier tokens.
    """

    heads: list[Head]
    pairs: Pairs
    text_effect: Float[np.ndarray, " pair"]
    text_drop: Float[np.ndarray, "pair head"]
    last_effect: Float[np.ndarray, " pair"]
    last_drop: Float[np.ndarray, "pair head"]
    output_effect: Float[np.ndarray, " pair"]
    output_write: Float[np.ndarray, "pair head"]
    cue_attention: Float[np.ndarray, "pair head"]
    cue_uniform: Float[np.ndarray, " pair"]
    moved: Float[np.ndarray, "pair head"]

    def select(self, chosen: Bool[np.ndarray, " pair"]) -> RoleReadings:
        """Return the readings of some pairs."""
        columns = {
            name: values[chosen]
            for name, values in vars(self).items()
            if name not in ("heads", "pairs")
        }
        return replace(self, pairs=Pairs(*(part[chosen] for part in self.pairs)), **columns)


def read_roles(prompts: PairedPrompts, probes: Probes, *, batch_size: int = 32) -> RoleReadings:
    """Ablate each head, and read its attention and its writes.

    Heads are replaced by their mean over the prompts of the other half.

    Args:
        prompts: Pairs of prompts; cues are the words that settle the emotion.
        probes: Where the emotion is read.
        batch_size: Prompts per forward pass where nothing is ablated.
    """
    heads, pairs = every_head(prompts.model), Pairs.of(prompts)
    values = prompts.mean_outputs(prompts.head_outputs(batch_size))
    effects, text = _drops(prompts, probes, pairs, heads, values, layer=probes.text.layer)
    _, last = _drops(
        prompts, probes, pairs, heads, values, layer=probes.last.layer, positions=Prompt(1)
    )
    writes, output_effect = _output_writes(prompts, probes, pairs, batch_size)
    attention, uniform, moved = _attention(prompts, pairs, batch_size)
    return RoleReadings(
        heads,
        pairs,
        effects[0],
        text[0],
        effects[1],
        last[1],
        output_effect,
        writes,
        attention,
        uniform,
        moved,
    )


def _drops(
    prompts: PairedPrompts,
    probes: Probes,
    pairs: Pairs,
    heads: Sequence[Head],
    values: Mapping[str, Float[Tensor, "layer head d_head"]],
    *,
    layer: int,
    positions: Positions | None = None,
) -> tuple[list[Float[np.ndarray, " pair"]], list[Float[np.ndarray, "pair every_head"]]]:
    """Return the contrasts of the measures without ablation, and their drops for each head.

    Heads after ``layer`` are not run: they change neither probe, and have drops of 0.
    """
    run = [head for head in heads if head.layer <= layer]
    sets = [dict.fromkeys(PAIR_HALVES, heads_of) for heads_of in ([], *([h] for h in run))]
    measures = read_measures(prompts, probes, sets, values, positions=positions)
    effects, drops = [], []
    for measure in (measures.text, measures.last):
        contrasts = pairs.contrast(measure)
        drop = np.zeros((contrasts.shape[1], len(heads)))
        drop[:, [heads.index(head) for head in run]] = (contrasts[0] - contrasts[1:]).T
        effects.append(contrasts[0])
        drops.append(drop)
    return effects, drops


def _output_writes(
    prompts: PairedPrompts, probes: Probes, pairs: Pairs, batch_size: int
) -> tuple[Float[np.ndarray, "pair every_head"], Float[np.ndarray, " pair"]]:
    """Return each head's share of the logits' contrast, and the contrast itself.

    Logits are the sum of what embeddings, heads and MLPs write, divided by the final norm's scale
    on the prompt (direct logit attribution).
    """
    model, names = prompts.model, prompts.emotions.names
    unembed = unembedding(model).cpu()
    directions = torch.stack([unembed[:, probes.marking[name]].mean(1) for name in names])
    writes = head_writes(model, prompts.ids, batch_size=batch_size)
    scales, _ = final_scales(model, prompts.ids, batch_size=batch_size)
    written = torch.einsum("plhd,ed->plhe", writes, directions) / scales[:, None, None, None]
    of_heads = written.flatten(1, 2).permute(1, 0, 2).double().numpy()  # head, prompt, emotion
    empty: dict[str, list[Head]] = {half: [] for half in PAIR_HALVES}
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    whole = read_measures(prompts, probes, [empty], dict.fromkeys(PAIR_HALVES, zeros)).output[0]
    return pairs.contrast(of_heads).T, pairs.contrast(whole)


def _attention(
    prompts: PairedPrompts, pairs: Pairs, batch_size: int
) -> tuple[
    Float[np.ndarray, "pair head"], Float[np.ndarray, " pair"], Float[np.ndarray, "pair head"]
]:
    """Return attention to the cue, the same if it were uniform, and attention from the last."""
    model, texts = prompts.model, prompts.table["text"].tolist()
    cues = encode_prompts(model, texts, prompts.table["cue"].tolist())
    n_heads = model.n_layers * model.n_heads
    after, moved = (np.full((len(texts), n_heads), np.nan) for _ in range(2))
    uniform = np.full(len(texts), np.nan)
    for batch in capture_heads(model, prompts.ids, parts=("pattern",), batch_size=batch_size):
        assert batch.pattern is not None
        rows, length = list(batch.rows), batch.pattern.shape[-1]
        cue, text = cues.cue_mask[rows, :length], cues.content_mask[rows, : length - 1]
        after[rows] = cue_attention(batch.pattern, cue).from_after.flatten(1).numpy()
        flat = torch.tril(torch.ones(length, length)) / torch.arange(1, length + 1)[:, None]
        even = flat.expand(len(rows), 1, 1, length, length)
        uniform[rows] = cue_attention(even, cue).from_after[:, 0, 0].numpy()
        last = torch.einsum("rlhk,rk->rlh", batch.pattern[..., -1, :-1], text.float())
        moved[rows] = last.flatten(1).numpy()
    chosen: Int[np.ndarray, " pair"] = pairs.emotional
    return after[chosen], uniform[chosen], moved[chosen]
