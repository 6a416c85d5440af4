"""Generation of a batch of rows, with the same result for each row as if it ran alone.

By definition, a row's full sequence is recomputed at each step without a cache, with interventions
at the positions they cover. This module computes the same with less work: positions before the
first intervention are computed once per prompt, keys and values are kept, and with a moving window
only the positions in the window and the one that left it are recomputed. Rows of a batch end at the
same slot; the slots before shorter ones are hidden by a mask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from textwrap import shorten
from typing import Any, Final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.patches import Applied, Patches, patched
from emotion_circuits.interventions.engine.prefill import Prefill
from emotion_circuits.interventions.engine.rows import Generated, Row
from emotion_circuits.interventions.engine.sampling import Sampling, choose_tokens, uniform_draws
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.padding import Padding
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
        self.alive = list(range(len(rows)))
        n_prompts = [row.n_prompt for row in rows]
        self._end = max(n_prompts)
        self.patches = Patches(
            model,
            [row.condition for row in rows],
            row_ids,
            n_prompts=n_prompts,
            n_steps=n_steps,
            ledger=ledger,
        )
        self._windows = rows[0].condition.windows
        self._padding = Padding.to(self._end, n_prompts, model.device)
        self._ids = self._padding.ids([row.prompt_ids for row in rows])
        capacity = self._end + n_steps - 1
        self._prefill = Prefill(model, rows, self.patches, capacity=capacity)
        self._cache = ReservedCache(model.n_layers, 0)

    def forward(self, step: int) -> Float[Tensor, "row vocab"]:
        """Return the logits of the last token of each row."""
        end = self._end + step
        if step == 0 and not self._prefill.is_prefix:
            logits, self._cache = self._prefill.run()
        else:
            if step == 0:
                self._cache = self._prefill.prefixes()
            first = self._cache.get_seq_length()
            self.patches.at(Span(step, first, end))
            unread = self._ids[:, first:]
            logits = self._run(unread, self._cache, self._padding, logits_to_keep=1)[:, -1]
        # The cache forgets slots in a window, since the next step computes them with another
        # strength, or without the intervention.
        self._cache.keep(min([end, *(rule.first(self._end, step) for rule in self._windows)]))
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
        cache = self._cache.spread(rows, self._end + n_new, self._end)
        patches = self.patches.select(rows.tolist())
        patches.at(Span(n_new, self._end, self._end + n_new))
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

    def keep(self, indices: list[int]) -> None:
        """Keep some of the rows in the batch."""
        self.alive = [self.alive[index] for index in indices]
        kept = torch.tensor(indices, device=self._ids.device)
        self._ids = self._ids.index_select(0, kept)
        self._cache.select(kept)
        self._padding = self._padding.select(kept)
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
    """Generate rows together.

    Args:
        model: The model.
        rows: At least one row; all have the same windows, and prompts of one length unless
            ``model.mixes_lengths``.
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
