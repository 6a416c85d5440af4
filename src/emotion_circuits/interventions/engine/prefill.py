"""The prompts of a batch, before its rows go on together.

Prompts of one length share passes without padding. Their keys and values are then put into one
cache, in which all prompts end at the same slot.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.patches import Patches, patched, patched_bridge
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.shared_prefill import SharedPrefill, is_worthwhile
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.reserved_cache import ReservedCache


class Prefill:
    """The prompts of a batch.

    Attributes:
        n_read: Number of tokens that each row reads at step 0, if step 0 is one pass for all rows:
            they read as many tokens, and the plain model computes every layer for each of them.
            ``None`` if step 0 runs for prompts of one length at a time.
    """

    def __init__(
        self, model: LanguageModel, rows: Sequence[Row], patches: Patches, *, capacity: int
    ) -> None:
        """Plan the prefill of some rows.

        Args:
            model: The model.
            rows: The rows; all have the same windows.
            patches: The rows' interventions.
            capacity: Capacity of the cache in tokens.
        """
        self._model = model
        self._rows = rows
        self._patches = patches
        self._capacity = capacity
        self._end = max(row.n_prompt for row in rows)
        parts: dict[tuple[int, int, bool], list[int]] = {}
        for index, row in enumerate(rows):
            key = (row.n_prompt, row.clean_prefix, row.condition.reads_attention)
            parts.setdefault(key, []).append(index)
        self._parts = list(parts.values())
        n_read = {row.n_prompt - row.clean_prefix for row in rows}
        reading = any(row.condition.reads_attention for row in rows)
        split = len(n_read) > 1 or reading or any(map(self._shares_layers, self._parts))
        self.n_read = None if split else n_read.pop()

    @property
    def _is_single(self) -> bool:
        return len(self._parts) == 1

    def prefixes(self) -> ReservedCache:
        """Return a cache with each row's prefix before its first intervention."""
        assert self.n_read is not None
        if self._is_single:
            return self._prefix_cache(self._parts[0], self._capacity)
        whole = ReservedCache(self._model.n_layers, self._capacity)
        for part in self._parts:
            clean, prompts = self._clean_prefixes(part)
            self._put(whole, part, clean, prompts, self._end - self.n_read)
        return whole

    def run(self) -> tuple[Float[Tensor, "row vocab"], ReservedCache]:
        """Run step 0, and return the logits of the last tokens and a cache with whole prompts."""
        if self._is_single:
            return self._run_part(self._parts[0], self._capacity)
        whole = ReservedCache(self._model.n_layers, self._capacity)
        logits: Tensor | None = None
        for part in self._parts:
            values, cache = self._run_part(part, self._rows[part[0]].n_prompt)
            self._put(whole, part, cache, None, self._end)
            if logits is None:
                logits = values.new_empty(len(self._rows), values.shape[-1])
            logits[part] = values
        assert logits is not None
        return logits, whole

    def _put(
        self,
        whole: ReservedCache,
        part: list[int],
        cache: ReservedCache,
        sources: Int[Tensor, " part"] | None,
        end: int,
    ) -> None:
        targets = torch.tensor(part, device=self._model.device)
        whole.put(targets, len(self._rows), cache, sources, end=end)

    def _clean_prefixes(self, part: list[int]) -> tuple[ReservedCache, Int[Tensor, " part"]]:
        """Run each distinct prefix once; return their cache, and the prefix of each row."""
        length = self._rows[part[0]].clean_prefix
        prefixes = [self._rows[index].prompt_ids[:length] for index in part]
        distinct = {prefix: number for number, prefix in enumerate(dict.fromkeys(prefixes))}
        device = self._model.device
        clean = ReservedCache(self._model.n_layers, length)
        if length:
            self._model.plain_model(
                input_ids=torch.tensor(list(distinct), device=device),
                past_key_values=clean,
                use_cache=True,
                logits_to_keep=1,
            )
        return clean, torch.tensor([distinct[prefix] for prefix in prefixes], device=device)

    def _prefix_cache(self, part: list[int], capacity: int) -> ReservedCache:
        clean, prompts = self._clean_prefixes(part)
        return clean.spread(prompts, capacity, self._rows[part[0]].clean_prefix)

    def _run_part(
        self, part: list[int], capacity: int
    ) -> tuple[Float[Tensor, "part vocab"], ReservedCache]:
        """Run step 0 of rows with prompts of one length, without padding."""
        rows = [self._rows[index] for index in part]
        n_prompt, start = rows[0].n_prompt, rows[0].clean_prefix
        ids = torch.tensor([row.prompt_ids for row in rows], device=self._model.device)
        patches = self._patches.select(part)
        span = Span(0, self._end - n_prompt + start, self._end)
        if self._shares_layers(part):
            conditions = [row.condition for row in rows]
            return SharedPrefill(self._model, conditions, patches, ids, span, capacity).run()
        cache = self._prefix_cache(part, capacity)
        patches.at(span)
        reading = rows[0].condition.reads_attention
        network = self._model.hf_model if reading else self._model.plain_model
        with (patched_bridge if reading else patched)(self._model, patches):
            logits: Tensor = network(
                input_ids=ids[:, start:], past_key_values=cache, use_cache=True, logits_to_keep=1
            ).logits[:, -1]
        return logits, cache

    def _shares_layers(self, part: list[int]) -> bool:
        """Whether rows of a part share the layers below their interventions at step 0."""
        rows = [self._rows[index] for index in part]
        if rows[0].condition.windows or rows[0].condition.reads_attention:
            return False
        conditions = [row.condition for row in rows]
        prompt_tokens = rows[0].n_prompt * len({row.prompt_ids for row in rows})
        n_read = rows[0].n_prompt - rows[0].clean_prefix
        return is_worthwhile(self._model, conditions, n_read, prompt_tokens)
