"""The prompts of a batch, before its rows go on together.

Prompts of about one length share passes, with padding before the shorter ones. Their keys and
values are then put into one cache, in which all prompts end at the same slot.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.layer_entry import rows_by_layer
from emotion_circuits.interventions.engine.lengths import close_lengths
from emotion_circuits.interventions.engine.patches import Patches, patched, patched_bridge
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.shared_prefill import SharedPrefill, is_worthwhile
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.padding import Padding
from emotion_circuits.language_models.reserved_cache import ReservedCache

# A pass reads all weights, which takes about as long as reading this many tokens.
_PASS_COST: Final = 32


class _Part(NamedTuple):
    """Rows that share passes over their prompts.

    Attributes:
        rows: Indices of the rows.
        n_read: Number of tokens that each row reads at step 0; ``None`` for the whole prompt.
        reads_attention: Whether an operator needs attention patterns or values.
    """

    rows: list[int]
    n_read: int | None
    reads_attention: bool


class Prefill:
    """The prompts of a batch.

    Attributes:
        is_prefix: Whether only the prefixes before the interventions are computed here. Step 0 is
            then one pass for all rows, since they read as many tokens, and the plain model computes
            every layer for each of them.
    """

    def __init__(
        self, model: LanguageModel, rows: Sequence[Row], patches: Patches, *, capacity: int
    ) -> None:
        """Plan the prefill of some rows.

        Args:
            model: The model.
            rows: The rows; all have the same windows, and prompts of one length unless
                ``model.mixes_lengths``.
            patches: The rows' interventions.
            capacity: Capacity of the cache in tokens.
        """
        self._model = model
        self._rows = rows
        self._patches = patches
        self._capacity = capacity
        self._end = max(row.n_prompt for row in rows)
        self._shares_layers = _shares_layers(model, rows)
        n_read = {row.n_prompt - row.clean_prefix for row in rows}
        needing = any(row.condition.reads_attention for row in rows)
        self.is_prefix = len(n_read) == 1 and not needing and not self._shares_layers
        self._parts = self._plan()

    def _plan(self) -> list[_Part]:
        """Put rows that read the same tokens and have close lengths into parts."""
        alike: dict[tuple[int | None, bool, int | None], list[int]] = {}
        for index, row in enumerate(self._rows):
            n_read = row.n_prompt - row.clean_prefix if row.clean_prefix else None
            # Operators with needs are shown patterns and values of a prompt without padding.
            needs = any(item.operator.needs for item in row.condition.interventions)
            key = (n_read, row.condition.reads_attention, row.n_prompt if needs else None)
            alike.setdefault(key, []).append(index)
        return [
            _Part(part, n_read, reads_attention)
            for (n_read, reads_attention, _), indices in alike.items()
            for part in self._close(indices)
        ]

    def _close(self, indices: list[int]) -> list[list[int]]:
        rows = [self._rows[index] for index in indices]
        read: Iterable[Row] = rows
        if self.is_prefix:  # each distinct prompt is read once
            read = {row.prompt_ids: row for row in rows}.values()
        n_passes = 1
        if self._shares_layers:
            n_passes = len(rows_by_layer(self._model, [row.condition for row in rows]))
        groups = close_lengths(Counter(row.n_prompt for row in read), _PASS_COST * n_passes)
        return [[i for i in indices if self._rows[i].n_prompt in lengths] for lengths in groups]

    @property
    def _is_single(self) -> bool:
        return len(self._parts) == 1

    def prefixes(self) -> ReservedCache:
        """Return a cache with each row's prefix before its first intervention."""
        if self._is_single:
            return self._prefix_cache(self._parts[0], self._capacity)
        whole = ReservedCache(self._model.n_layers, self._capacity)
        for part in self._parts:
            clean, prompts = self._clean_prefixes(part)
            n_read = self._width(part) - self._start(part)
            self._put(whole, part, clean, prompts, self._end - n_read)
        return whole

    def run(self) -> tuple[Float[Tensor, "row vocab"], ReservedCache]:
        """Run step 0, and return the logits of the last tokens and a cache with whole prompts."""
        if self._is_single:
            return self._run_part(self._parts[0], self._capacity)
        whole = ReservedCache(self._model.n_layers, self._capacity)
        logits: Tensor | None = None
        for part in self._parts:
            values, cache = self._run_part(part, self._width(part))
            self._put(whole, part, cache, None, self._end)
            if logits is None:
                logits = values.new_empty(len(self._rows), values.shape[-1])
            logits[part.rows] = values
        assert logits is not None
        return logits, whole

    def _put(
        self,
        whole: ReservedCache,
        part: _Part,
        cache: ReservedCache,
        sources: Int[Tensor, " part"] | None,
        end: int,
    ) -> None:
        targets = torch.tensor(part.rows, device=self._model.device)
        whole.put(targets, len(self._rows), cache, sources, end=end)

    def _width(self, part: _Part) -> int:
        """The number of slots of a part, which its longest prompt fills."""
        return max(self._rows[index].n_prompt for index in part.rows)

    def _start(self, part: _Part) -> int:
        """The first slot of a part that is read at step 0."""
        return 0 if part.n_read is None else self._width(part) - part.n_read

    def _clean_prefixes(self, part: _Part) -> tuple[ReservedCache, Int[Tensor, " part"]]:
        """Run each distinct prefix once; return their cache, and the prefix of each row."""
        start, network = self._start(part), self._model.plain_model
        rows = [self._rows[index] for index in part.rows]
        prefixes = [row.prompt_ids[: row.clean_prefix] for row in rows]
        distinct = {prefix: number for number, prefix in enumerate(dict.fromkeys(prefixes))}
        clean = ReservedCache(self._model.n_layers, start)
        if start:
            padding = Padding.to(start, list(map(len, distinct)), self._model.device)
            network(
                input_ids=padding.ids(list(distinct)),
                past_key_values=clean,
                use_cache=True,
                logits_to_keep=1,
                **padding.arguments(network, 0, start),
            )
        numbers = [distinct[prefix] for prefix in prefixes]
        return clean, torch.tensor(numbers, device=self._model.device)

    def _prefix_cache(self, part: _Part, capacity: int) -> ReservedCache:
        clean, prompts = self._clean_prefixes(part)
        return clean.spread(prompts, capacity, self._start(part))

    def _run_part(
        self, part: _Part, capacity: int
    ) -> tuple[Float[Tensor, "part vocab"], ReservedCache]:
        """Run step 0 of a part's rows."""
        rows = [self._rows[index] for index in part.rows]
        width, start = self._width(part), self._start(part)
        padding = Padding.to(width, [row.n_prompt for row in rows], self._model.device)
        patches = self._patches.select(part.rows)
        span = Span.of_prompts(len(rows), self._end - width + start, self._end)
        if self._shares_layers:
            return SharedPrefill(self._model, rows, patches, padding, span, capacity).run()
        cache = self._prefix_cache(part, capacity)
        patches.at(span)
        network = self._model.hf_model if part.reads_attention else self._model.plain_model
        with (patched_bridge if part.reads_attention else patched)(self._model, patches):
            logits: Tensor = network(
                input_ids=padding.ids([row.prompt_ids for row in rows])[:, start:],
                past_key_values=cache,
                use_cache=True,
                logits_to_keep=1,
                **padding.arguments(network, start, width),
            ).logits[:, -1]
        return logits, cache


def _shares_layers(model: LanguageModel, rows: Sequence[Row]) -> bool:
    """Return whether rows share the layers below their interventions at step 0."""
    conditions = [row.condition for row in rows]
    if any(condition.windows or condition.reads_attention for condition in conditions):
        return False
    n_read = [row.n_prompt - row.clean_prefix for row in rows]
    prompt_tokens = sum(map(len, {row.prompt_ids for row in rows}))
    return is_worthwhile(model, conditions, n_read, prompt_tokens)
