"""Generation of a batch of rows, with the same result for each row as if it ran alone.

By definition, a row's full sequence is recomputed at each step without a cache, with interventions
at the positions they cover. This module computes the same with less work: positions before the
first intervention are computed once per prompt, keys and values are kept, and with a moving window
only the positions in the window and the one that left it are recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.patches import (
    Applied,
    Patches,
    Span,
    patched,
    patched_bridge,
)
from emotion_circuits.interventions.engine.rows import Generated, Row
from emotion_circuits.interventions.engine.sampling import Sampling, choose_tokens, uniform_draws
from emotion_circuits.interventions.engine.shared_prefill import SharedPrefill, is_worthwhile
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.reserved_cache import ReservedCache

# Share of finished rows at which they leave a batch; the other rows are then copied.
_LEAVE: Final = 0.125


def end_tokens(model: LanguageModel) -> frozenset[int]:
    """Return the token ids that end a text."""
    generation = getattr(model.plain_model, "generation_config", None)
    named: list[Any] = [
        model.tokenizer.eos_token_id,
        model.plain_model.config.eos_token_id,
        getattr(generation, "eos_token_id", None),
    ]
    flat = [token for ids in named for token in (ids if isinstance(ids, list) else [ids])]
    return frozenset(int(token) for token in flat if token is not None)


def prefix_cache(model: LanguageModel, rows: Sequence[Row], capacity: int) -> ReservedCache:
    """Return a cache with each row's prefix before its first intervention.

    Args:
        model: The model; it runs each distinct prefix once.
        rows: Rows with equal ``batch_key``.
        capacity: Capacity of the cache in tokens.
    """
    length = rows[0].clean_prefix
    distinct = dict.fromkeys(row.prompt_ids for row in rows)
    clean = ReservedCache(model.n_layers, length)
    if length:
        ids = torch.tensor([prompt[:length] for prompt in distinct], device=model.device)
        model.plain_model(input_ids=ids, past_key_values=clean, use_cache=True, logits_to_keep=1)
    prompt_of = {ids: prompt for prompt, ids in enumerate(distinct)}
    prompts = torch.tensor([prompt_of[row.prompt_ids] for row in rows], device=model.device)
    return clean.spread(prompts, capacity, length)


class Decoder:
    """The state of a batch: tokens, cache, interventions and unfinished rows.

    Attributes:
        alive: Indices of the rows that are still in the batch.
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
        self.model = model
        self.n_prompt = rows[0].n_prompt
        self.alive = list(range(len(rows)))
        conditions = [row.condition for row in rows]
        lengths = {"n_prompt": self.n_prompt, "n_steps": n_steps}
        self.patches = Patches(model, conditions, row_ids, **lengths, ledger=ledger)
        self._windows = rows[0].condition.windows
        self._reads_attention = rows[0].condition.reads_attention
        self._cache = prefix_cache(model, rows, self.n_prompt + n_steps - 1)
        self._known = rows[0].clean_prefix
        self._ids = torch.tensor([row.prompt_ids for row in rows], device=model.device)
        self._prefill: SharedPrefill | None = None
        n_read = self.n_prompt - self._known
        prompt_tokens = self.n_prompt * len({row.prompt_ids for row in rows})
        may_share = not self._windows and not self._reads_attention
        if may_share and is_worthwhile(model, conditions, n_read, prompt_tokens):
            self._prefill = SharedPrefill(
                model, conditions, row_ids, self._ids, self._known, n_steps, ledger
            )

    def forward(self, step: int) -> Float[Tensor, "row vocab"]:
        """Return the logits of the last position."""
        end = self.n_prompt + step
        if step == 0 and self._prefill is not None:
            logits, self._cache = self._prefill.run()
            self._known = end
            return logits
        self.patches.at(Span(step, self._known, end))
        # The cache forgets positions in a window, since the next step computes them with another
        # strength, or without the intervention.
        self._known = min([end, *(rule.first(self.n_prompt, step) for rule in self._windows)])
        if step == 0 and self._reads_attention:
            with patched_bridge(self.model, self.patches):
                return self._run(self.model.hf_model)
        return self._run(self.model.plain_model)

    def _run(self, network: Any) -> Float[Tensor, "row vocab"]:
        unread = self._ids[:, self._cache.get_seq_length() :]
        logits: Tensor = network(
            input_ids=unread, past_key_values=self._cache, use_cache=True, logits_to_keep=1
        ).logits[:, -1]
        self._cache.keep(self._known)
        return logits

    def read(
        self, rows: Int[Tensor, " read"], tokens: Int[Tensor, "read new"]
    ) -> Float[Tensor, "read new vocab"]:
        """Return the logits at given tokens after the prompt, which stays as it is in the cache.

        Args:
            rows: Index of each sequence's row in the batch; rows may repeat.
            tokens: New tokens of each sequence, at most one fewer than steps were planned.
        """
        n_new = tokens.shape[1]
        cache = self._cache.spread(rows, self.n_prompt + n_new, self.n_prompt)
        patches = self.patches.select(rows.tolist())
        patches.at(Span(n_new, self.n_prompt, self.n_prompt + n_new))
        with patched(self.model, patches):
            logits: Tensor = self.model.plain_model(
                input_ids=tokens, past_key_values=cache, use_cache=True
            ).logits
        return logits

    def append(self, chosen: Int[Tensor, " row"]) -> None:
        """Append the tokens that the next step reads."""
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)

    def keep(self, indices: list[int]) -> None:
        """Keep some of the rows in the batch."""
        self.alive = [self.alive[index] for index in indices]
        kept = torch.tensor(indices, device=self._ids.device)
        self._ids = self._ids.index_select(0, kept)
        self._cache.select(kept)
        self.patches.keep(indices)


def _check_finite(
    model: LanguageModel,
    logits: Float[Tensor, "row vocab"],
    chosen: Int[Tensor, " row"],
    rows: Sequence[Row],
    step: int,
) -> None:
    """Refuse logits that are NaN or infinite, by the logit of the chosen token.

    NaN in the stream makes all logits NaN, and the largest is infinite if any is.

    Raises:
        InputError: At the first such row.
    """
    finite = logits.gather(1, chosen[:, None]).isfinite()[:, 0].tolist()
    if not all(finite):
        row = rows[finite.index(False)]
        shown = shorten(model.tokenizer.decode(list(row.prompt_ids)), 80)
        raise InputError(
            f"model {model.name!r} has no finite logits at step {step} of {shown!r} under "
            f"condition {row.condition.name!r}; a smaller strength or dtype float32 may help"
        )


@torch.no_grad()
def generate_batch(
    model: LanguageModel,
    rows: Sequence[Row],
    *,
    row_ids: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling | None = None,
    keep_logits: bool = False,
    ledger: list[Applied] | None = None,
    count: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005
) -> list[Generated]:
    """Generate rows with equal ``batch_key`` together.

    Args:
        model: The model.
        rows: At least one row; all have the same ``batch_key``.
        row_ids: Index of each row in the ledger.
        max_new_tokens: Largest number of new tokens, at least 1; an end-of-text token ends a row.
        sampling: How tokens are drawn; ``None`` for greedy decoding.
        keep_logits: Whether to keep each step's logits.
        ledger: List to which a line for each patched position is added.
        count: Function that is called at each step with the number of new tokens.

    Returns:
        One result per row, in order.

    Raises:
        InputError: If logits are NaN or infinite.
    """
    decoder = Decoder(model, rows, row_ids=row_ids, n_steps=max_new_tokens, ledger=ledger)
    draws = None
    if sampling is not None:
        draws = uniform_draws(sampling, [row.seed for row in rows], max_new_tokens)
    ends = end_tokens(model)
    tokens: list[list[int]] = [[] for _ in rows]
    logits: list[list[Tensor]] = [[] for _ in rows]
    with patched(model, decoder.patches):
        for step in range(max_new_tokens):
            scores = decoder.forward(step)
            numbers = None if draws is None else draws[decoder.alive, step]
            chosen = choose_tokens(scores, sampling, numbers)
            _check_finite(model, scores, chosen, [rows[row] for row in decoder.alive], step)
            going: list[int] = []
            for index, (row, token) in enumerate(zip(decoder.alive, chosen.tolist(), strict=True)):
                if tokens[row] and tokens[row][-1] in ends:
                    continue
                tokens[row].append(token)
                if keep_logits:
                    logits[row].append(scores[index].float().cpu())
                if token not in ends:
                    going.append(index)
            count(len(going))
            if not going or step == max_new_tokens - 1:
                break
            decoder.append(chosen)
            finished = len(decoder.alive) - len(going)
            if finished and (ledger is not None or finished >= _LEAVE * len(decoder.alive)):
                decoder.keep(going)
    return [
        Generated(tuple(ids), torch.stack(kept) if kept else None)
        for ids, kept in zip(tokens, logits, strict=True)
    ]
