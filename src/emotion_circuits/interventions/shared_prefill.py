"""Reading prompts under many conditions: layers below a condition's first are run once a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.cache import ReservedCache
from emotion_circuits.interventions.conditions import Condition
from emotion_circuits.interventions.layer_entry import (
    block_outputs,
    first_layer,
    handed_over,
    select_rows,
)
from emotion_circuits.interventions.patches import Applied, Patches, Span, patched
from emotion_circuits.language_models import LanguageModel

# A pass of its own for each first layer costs some time; what it saves must be worth that.
_LEAST_OPERATIONS_SAVED: Final = 2e9


class SharedPrefill:
    """Step 0 of a batch, in parts: rows whose conditions begin at the same layer together.

    Attributes:
        start: Positions before it are taken from the prompts' clean keys and values.
    """

    def __init__(
        self,
        model: LanguageModel,
        conditions: Sequence[Condition],
        row_ids: Sequence[int],
        ids: Int[Tensor, "row pos"],
        *,
        start: int,
        n_steps: int,
        ledger: list[Applied] | None,
    ) -> None:
        self.model = model
        self.start = start
        self._conditions = conditions
        self._row_ids = row_ids
        self._ids = ids
        self._n_steps = n_steps
        self._ledger = ledger
        self._by_layer = rows_by_layer(model, conditions)

    def run(self) -> tuple[Float[Tensor, "row vocab"], ReservedCache]:
        """Give the logits of the last position, and a cache that holds the whole prompts."""
        n_prompt = self._ids.shape[1]
        prompts, place = torch.unique(self._ids, dim=0, return_inverse=True)
        clean = ReservedCache(self.model.n_layers, n_prompt)
        layers = [layer - 1 for layer in self._by_layer if layer]
        outputs = block_outputs(self.model, prompts, layers, cache=clean)
        whole = ReservedCache(self.model.n_layers, n_prompt + self._n_steps - 1)
        logits: Tensor | None = None
        for layer, rows in self._by_layer.items():
            chosen = torch.tensor(rows, device=self._ids.device)
            found, cache = self._run_part(layer, rows, place[chosen], clean, outputs)
            for index, target in enumerate(whole.layers):
                source, of = (clean, place[chosen]) if index < layer else (cache, None)
                target.put(chosen, len(self._ids), source.layers[index], of)
            if logits is None:
                logits = found.new_empty(len(self._ids), found.shape[-1])
            logits[chosen] = found
        assert logits is not None
        return logits, whole

    def _run_part(
        self,
        layer: int,
        rows: list[int],
        place: Int[Tensor, " part"],
        clean: ReservedCache,
        outputs: dict[int, Any],
    ) -> tuple[Float[Tensor, "part vocab"], ReservedCache]:
        n_prompt = self._ids.shape[1]
        patches = Patches(
            self.model,
            [self._conditions[row] for row in rows],
            [self._row_ids[row] for row in rows],
            n_prompt=n_prompt,
            n_steps=self._n_steps,
            ledger=self._ledger,
        )
        patches.at(Span(0, self.start, n_prompt))
        cache = clean.spread(place, n_prompt, self.start)
        below = None
        if layer:
            below = select_rows(outputs[layer - 1], place, first=self.start)
        with handed_over(self.model, layer, below), patched(self.model, patches):
            logits: Tensor = self.model.plain_model(
                input_ids=self._ids[rows, self.start :],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
            ).logits[:, -1]
        return logits, cache


def rows_by_layer(model: LanguageModel, conditions: Sequence[Condition]) -> dict[int, list[int]]:
    """Sort rows by the first layer their condition changes anything at."""
    found: dict[int, list[int]] = {}
    for row, condition in enumerate(conditions):
        found.setdefault(first_layer(model, condition), []).append(row)
    return dict(sorted(found.items()))


def is_worthwhile(
    model: LanguageModel, conditions: Sequence[Condition], n_positions: int, prompt_tokens: int
) -> bool:
    """Estimate whether layers that need not be computed are worth passes of their own.

    Args:
        model: The model.
        conditions: Of a batch's rows.
        n_positions: How many positions each row reads at step 0.
        prompt_tokens: Tokens of all distinct prompts, which are run once without any change.
    """
    skipped = sum(layer * len(rows) for layer, rows in rows_by_layer(model, conditions).items())
    saved = skipped * n_positions - model.n_layers * prompt_tokens
    # Some twelve d_model x d_model weights a layer, a multiplication and an addition for each.
    return saved * 24.0 * model.d_model**2 >= _LEAST_OPERATIONS_SAVED
