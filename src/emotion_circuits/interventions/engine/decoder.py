"""A batch of rows while it is generated: tokens, cache and interventions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.patches import Applied, Patches, patched
from emotion_circuits.interventions.engine.prefill import Prefill
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.padding import Padding
from emotion_circuits.language_models.reserved_cache import ReservedCache


class Decoder:
    """A batch of rows, each at a step of its own. All end at the same slot.

    Attributes:
        row_ids: Index of each row among all rows of the call.
        steps: The step that each row is at.
        patches: The rows' interventions.
    """

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        *,
        row_ids: Sequence[int],
        n_steps: int,
        ledger: list[Applied] | None,
    ) -> None:
        """Begin with the rows' prompts.

        Args:
            model: The model.
            rows: At least one row; all have the same windows, and prompts of one length unless
                ``model.mixes_lengths``.
            row_ids: Index of each row among all rows of the call.
            n_steps: Largest number of steps.
            ledger: List to which a line for each patched position is added.
        """
        self.model = model
        self.row_ids = list(row_ids)
        self.steps = np.zeros(len(rows), dtype=int)
        self._rows = list(rows)
        self._n_steps = n_steps
        self._ledger = ledger
        lengths = [row.n_prompt for row in rows]
        self.patches = self._compile(None)
        self._padding = Padding.to(max(lengths), lengths, model.device)
        self._ids = self._padding.ids([row.prompt_ids for row in rows])
        self._cache: ReservedCache | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def _compile(self, paddings: Sequence[int] | None) -> Patches:
        return Patches(
            self.model,
            [row.condition for row in self._rows],
            self.row_ids,
            n_prompts=[row.n_prompt for row in self._rows],
            n_steps=self._n_steps,
            paddings=paddings,
            ledger=self._ledger,
        )

    @property
    def _end(self) -> int:
        """The slot after the last token of each row."""
        return self._ids.shape[1]

    @property
    def _held(self) -> ReservedCache:
        assert self._cache is not None
        return self._cache

    def forward(self) -> Float[Tensor, "row vocab"]:
        """Return the logits of the last token of each row."""
        logits, cache = self._begin() if self._cache is None else (None, self._cache)
        if logits is None:
            first = cache.get_seq_length()
            self.patches.at(Span(self.steps, first, self._end))
            unread = self._ids[:, first:]
            logits = self._run(unread, cache, self._padding, logits_to_keep=1)[:, -1]
        # The cache forgets slots in a window, since the next step computes them with another
        # strength, or without the intervention.
        cache.keep(self._end - self._n_forgotten())
        self._cache = cache
        return logits

    def _begin(self) -> tuple[Float[Tensor, "row vocab"] | None, ReservedCache]:
        """Compute whole prompts, or their prefixes alone; then there are no logits."""
        capacity = self._end + self._n_steps - 1
        prefill = Prefill(self.model, self._rows, self.patches, capacity=capacity)
        return (None, prefill.prefixes()) if prefill.is_prefix else prefill.run()

    def _n_forgotten(self) -> int:
        """Return how many last slots a window of any row covers."""
        lengths = {
            (row.n_prompt, step) for row, step in zip(self._rows, self.steps.tolist(), strict=True)
        }
        return max(
            (
                n_prompt + step - rule.first(n_prompt, step)
                for rule in self._rows[0].condition.windows
                for n_prompt, step in lengths
            ),
            default=0,
        )

    def read(
        self, rows: Int[Tensor, " read"], tokens: Int[Tensor, "read new"]
    ) -> Float[Tensor, "read new vocab"]:
        """Return the logits at given tokens after the prompt, which stays as it is in the cache.

        ``forward`` must be called before, once.

        Args:
            rows: Index of each sequence's row in the batch; rows may repeat.
            tokens: New tokens of each sequence, at most one fewer than steps were planned.
        """
        n_new = tokens.shape[1]
        cache = self._held.spread(rows, self._end + n_new, self._end)
        patches = self.patches.select(rows.tolist())
        patches.at(Span(np.full(len(rows), n_new), self._end, self._end + n_new))
        with patched(self.model, patches):
            return self._run(tokens, cache, self._padding.select(rows))

    def _run(
        self, ids: Int[Tensor, "row new"], cache: ReservedCache, padding: Padding, **options: int
    ) -> Float[Tensor, "row kept vocab"]:
        first, network = cache.get_seq_length(), self.model.plain_model
        hiding = padding.arguments(network, first, first + ids.shape[1])
        logits: Tensor = network(
            input_ids=ids, past_key_values=cache, use_cache=True, **hiding, **options
        ).logits
        return logits

    def append(self, chosen: Int[Tensor, " row"]) -> None:
        """Append the tokens that the next step reads."""
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)
        self.steps = self.steps + 1

    def keep(self, indices: list[int]) -> None:
        """Keep some of the rows in the batch."""
        self._rows = [self._rows[index] for index in indices]
        self.row_ids = [self.row_ids[index] for index in indices]
        self.steps = self.steps[indices]
        kept = torch.tensor(indices, device=self._ids.device, dtype=torch.long)
        self._ids = self._ids.index_select(0, kept)
        self._held.select(kept)
        self._padding = self._padding.select(kept)
        self.patches.keep(indices)

    def join(self, other: Decoder) -> None:
        """Add the rows of another batch, which must not be used afterwards.

        Both have read at least their prompts, and appended the tokens that the next step reads.
        """
        parts = (self, other)
        end = max(part._end for part in parts)
        n_unread = max(part._end - part._held.get_seq_length() for part in parts)
        steps = np.concatenate([part.steps for part in parts])
        capacity = end + self._n_steps - 1 - int(steps.min())
        whole, n_rows = ReservedCache(self.model.n_layers, capacity), len(self) + len(other)
        sizes, ids, first = [], [], 0
        for part in parts:
            part._held.keep(part._end - n_unread)
            rows = torch.arange(first, first + len(part), device=self._ids.device)
            whole.put(rows, n_rows, part._held, None, end=end - n_unread)
            part._cache = None
            missing = end - part._end
            sizes.append(part._padding.sizes + missing)
            ids.append(torch.nn.functional.pad(part._ids, (missing, 0)))
            first += len(part)
        self._rows += other._rows
        self.row_ids += other.row_ids
        self.steps, self._cache = steps, whole
        self._ids, self._padding = torch.cat(ids), Padding(torch.cat(sizes))
        self.patches = self._compile(self._padding.sizes.tolist())
