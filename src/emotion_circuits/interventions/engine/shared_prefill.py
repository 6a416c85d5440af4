"""Step 0 under many conditions, with shared layers below each condition's first layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.layer_entry import (
    block_outputs,
    handed_over,
    rows_by_layer,
    select_rows,
)
from emotion_circuits.interventions.engine.patches import Patches, patched
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.padding import Padding
from emotion_circuits.language_models.reserved_cache import ReservedCache

# Each first layer costs an extra pass; the passes must save at least this many operations.
_LEAST_OPERATIONS_SAVED: Final = 2e9


@dataclass(frozen=True)
class SharedPrefill:
    """Step 0 of a batch, in parts of rows whose conditions begin at the same layer.

    Attributes:
        model: The model.
        rows: The rows; they have the same ``clean_prefix`` or read as many tokens.
        patches: The rows' interventions.
        padding: The slots before shorter prompts.
        span: The slots that are computed for each row; the keys and values of earlier ones are
            those of the unpatched prompt.
        capacity: Capacity of the cache in tokens.
    """

    model: LanguageModel
    rows: Sequence[Row]
    patches: Patches
    padding: Padding
    span: Span
    capacity: int

    def run(self) -> tuple[Float[Tensor, "row vocab"], ReservedCache]:
        """Return the logits of the last position, and a cache with the whole prompts."""
        ids = self.padding.ids([row.prompt_ids for row in self.rows])
        row_of = {row.prompt_ids: index for index, row in enumerate(self.rows)}
        distinct = torch.tensor(list(row_of.values()), device=ids.device)
        numbers = {prompt: number for number, prompt in enumerate(row_of)}
        prompt_of = torch.tensor([numbers[row.prompt_ids] for row in self.rows], device=ids.device)
        clean = ReservedCache(self.model.n_layers, ids.shape[1])
        by_layer = rows_by_layer(self.model, [row.condition for row in self.rows])
        layers = [layer - 1 for layer in by_layer if layer]
        mask = self.padding.select(distinct).mask(ids.shape[1])
        outputs = block_outputs(self.model, ids[distinct], layers, cache=clean, mask=mask)
        whole = ReservedCache(self.model.n_layers, self.capacity)
        logits: Tensor | None = None
        for layer, rows in by_layer.items():
            part = torch.tensor(rows, device=ids.device)
            prompts = prompt_of[part]
            part_logits, cache = self._run_part(layer, ids, part, prompts, clean, outputs)
            for index, target in enumerate(whole.layers):
                source, chosen = (clean, prompts) if index < layer else (cache, None)
                target.put(part, len(ids), source.layers[index], chosen)
            if logits is None:
                logits = part_logits.new_empty(len(ids), part_logits.shape[-1])
            logits[part] = part_logits
        assert logits is not None
        return logits, whole

    def _run_part(
        self,
        layer: int,
        ids: Int[Tensor, "row slot"],
        part: Int[Tensor, " part"],
        prompts: Int[Tensor, " part"],
        clean: ReservedCache,
        outputs: dict[int, Any],
    ) -> tuple[Float[Tensor, "part vocab"], ReservedCache]:
        width, network = ids.shape[1], self.model.plain_model
        start = width - (self.span.end - self.span.first)
        patches = self.patches.select(part.tolist())
        patches.at(self.span)
        cache = clean.spread(prompts, width, start)
        below = select_rows(outputs[layer - 1], prompts, first=start) if layer else None
        with handed_over(self.model, layer, below), patched(self.model, patches):
            logits: Tensor = network(
                input_ids=ids[part, start:],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **self.padding.select(part).arguments(network, start, width),
            ).logits[:, -1]
        return logits, cache


def is_worthwhile(
    model: LanguageModel, conditions: Sequence[Condition], n_read: Sequence[int], prompt_tokens: int
) -> bool:
    """Estimate whether skipping layers saves more operations than the extra passes cost.

    Args:
        model: The model.
        conditions: The conditions of a batch's rows.
        n_read: Number of tokens that each row reads at step 0.
        prompt_tokens: Number of tokens of all distinct prompts, which run once unpatched.
    """
    by_layer = rows_by_layer(model, conditions)
    skipped = sum(layer * n_read[row] for layer, rows in by_layer.items() for row in rows)
    saved = skipped - model.n_layers * prompt_tokens
    # About 12 d_model² weights per layer, with one multiplication and one addition each.
    return saved * 24.0 * model.d_model**2 >= _LEAST_OPERATIONS_SAVED
