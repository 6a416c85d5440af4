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
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.reserved_cache import ReservedCache

# Each first layer costs an extra pass; the passes must save at least this many operations.
_LEAST_OPERATIONS_SAVED: Final = 2e9


@dataclass(frozen=True)
class SharedPrefill:
    """Step 0 of a batch, in parts of rows whose conditions begin at the same layer.

    Attributes:
        model: The model.
        conditions: The condition of each row.
        patches: The rows' interventions.
        ids: The prompts.
        span: The slots that are computed for each row; the keys and values of earlier ones are
            those of the unpatched prompt.
        capacity: Capacity of the cache in tokens.
    """

    model: LanguageModel
    conditions: Sequence[Condition]
    patches: Patches
    ids: Int[Tensor, "row pos"]
    span: Span
    capacity: int

    @property
    def _start(self) -> int:
        """The first position that is computed for each row."""
        return self.ids.shape[1] - (self.span.end - self.span.first)

    def run(self) -> tuple[Float[Tensor, "row vocab"], ReservedCache]:
        """Return the logits of the last position, and a cache with the whole prompts."""
        n_prompt = self.ids.shape[1]
        distinct, prompt_of = torch.unique(self.ids, dim=0, return_inverse=True)
        clean = ReservedCache(self.model.n_layers, n_prompt)
        by_layer = rows_by_layer(self.model, self.conditions)
        layers = [layer - 1 for layer in by_layer if layer]
        outputs = block_outputs(self.model, distinct, layers, cache=clean)
        whole = ReservedCache(self.model.n_layers, self.capacity)
        logits: Tensor | None = None
        for layer, rows in by_layer.items():
            part = torch.tensor(rows, device=self.ids.device)
            prompts = prompt_of[part]
            part_logits, cache = self._run_part(layer, rows, prompts, clean, outputs)
            for index, target in enumerate(whole.layers):
                source, chosen = (clean, prompts) if index < layer else (cache, None)
                target.put(part, len(self.ids), source.layers[index], chosen)
            if logits is None:
                logits = part_logits.new_empty(len(self.ids), part_logits.shape[-1])
            logits[part] = part_logits
        assert logits is not None
        return logits, whole

    def _run_part(
        self,
        layer: int,
        rows: list[int],
        prompts: Int[Tensor, " part"],
        clean: ReservedCache,
        outputs: dict[int, Any],
    ) -> tuple[Float[Tensor, "part vocab"], ReservedCache]:
        n_prompt = self.ids.shape[1]
        start = self._start
        patches = self.patches.select(rows)
        patches.at(self.span)
        cache = clean.spread(prompts, n_prompt, start)
        below = select_rows(outputs[layer - 1], prompts, first=start) if layer else None
        with handed_over(self.model, layer, below), patched(self.model, patches):
            logits: Tensor = self.model.plain_model(
                input_ids=self.ids[rows, start:],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        return logits, cache


def is_worthwhile(
    model: LanguageModel, conditions: Sequence[Condition], n_positions: int, prompt_tokens: int
) -> bool:
    """Estimate whether skipping layers saves more operations than the extra passes cost.

    Args:
        model: The model.
        conditions: The conditions of a batch's rows.
        n_positions: Number of positions that each row reads at step 0.
        prompt_tokens: Number of tokens of all distinct prompts, which run once unpatched.
    """
    skipped = sum(layer * len(rows) for layer, rows in rows_by_layer(model, conditions).items())
    saved = skipped * n_positions - model.n_layers * prompt_tokens
    # About 12 d_model² weights per layer, with one multiplication and one addition each.
    return saved * 24.0 * model.d_model**2 >= _LEAST_OPERATIONS_SAVED
