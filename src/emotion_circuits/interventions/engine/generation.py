"""Generation of a batch of rows, with the same result for each row as if it ran alone.

By definition, a row's full sequence is recomputed at each step without a cache, with interventions
at the positions they cover. This module computes the same with less work: positions before the
first intervention are computed once per prompt, keys and values are kept, and with a moving window
only the positions in the window and the one that left it are recomputed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from textwrap import shorten
from typing import Any, Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.decoder import Decoder
from emotion_circuits.interventions.engine.patches import Applied, patched
from emotion_circuits.interventions.engine.rows import Generated, Row
from emotion_circuits.interventions.engine.sampling import Sampling, choose_tokens, uniform_draws
from emotion_circuits.language_models import LanguageModel

# Share of finished rows at which they leave a batch; the other rows are then copied.
_LEAVE: Final = 0.125
# Share of unfinished rows at which waiting ones join; all keys and values are then copied.
_JOIN: Final = 0.5


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


class _Texts:
    """The texts of rows that are not finished, by the row's index in the call."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Mapping[int, Row],
        *,
        n_steps: int,
        sampling: Sampling | None,
        keep_logits: bool,
    ) -> None:
        self._model = model
        self._rows = rows
        self._n_steps = n_steps
        self._sampling = sampling
        self._keep_logits = keep_logits
        self._ends = end_tokens(model)
        self._tokens: dict[int, list[int]] = {row: [] for row in rows}
        self._logits: dict[int, list[Tensor]] = {row: [] for row in rows}
        self._finished: list[int] = []
        self._draws: dict[int, np.ndarray] = {}
        if sampling is not None:
            draws = uniform_draws(sampling, [row.seed for row in rows.values()], n_steps)
            self._draws = dict(zip(rows, draws, strict=True))

    def step(self, decoder: Decoder) -> list[int]:
        """Run a step of a batch; return the indices in the batch of rows that go on."""
        logits = decoder.forward()
        chosen = choose_tokens(logits, self._sampling, self._numbers(decoder))
        self._check_finite(logits, chosen, decoder)
        going: list[int] = []
        for index, (row, token) in enumerate(zip(decoder.row_ids, chosen.tolist(), strict=True)):
            tokens = self._tokens[row]
            if tokens and tokens[-1] in self._ends:  # it has not left the batch yet
                continue
            tokens.append(token)
            if self._keep_logits:
                self._logits[row].append(logits[index].float().cpu())
            if token in self._ends or len(tokens) == self._n_steps:
                self._finished.append(row)
            else:
                going.append(index)
        decoder.append(chosen)
        return going

    def take_finished(self) -> Iterator[tuple[int, Generated]]:
        """Yield the rows that finished since the last call."""
        finished, self._finished = self._finished, []
        for row in finished:
            kept = self._logits[row]
            yield row, Generated(tuple(self._tokens[row]), torch.stack(kept) if kept else None)

    def _numbers(self, decoder: Decoder) -> np.ndarray | None:
        if self._sampling is None:
            return None
        pairs = zip(decoder.row_ids, decoder.steps, strict=True)
        return np.array([self._draws[row][step] for row, step in pairs])

    def _check_finite(
        self, logits: Float[Tensor, "row vocab"], chosen: Int[Tensor, " row"], decoder: Decoder
    ) -> None:
        """Refuse logits that are NaN or infinite, by the logit of the chosen token.

        NaN in the stream makes all logits NaN, and the largest is infinite if any is.

        Raises:
            InputError: At the first such row.
        """
        finite = logits.gather(1, chosen[:, None]).isfinite()[:, 0].tolist()
        if not all(finite):
            index = finite.index(False)
            row = self._rows[decoder.row_ids[index]]
            shown = shorten(self._model.tokenizer.decode(list(row.prompt_ids)), 80)
            raise InputError(
                f"model {self._model.name!r} has no finite logits at step {decoder.steps[index]} "
                f"of {shown!r} under condition {row.condition.name!r}; a smaller strength or "
                "dtype float32 may help"
            )


@torch.no_grad()
def generate_batch(
    model: LanguageModel,
    rows: Sequence[Row],
    *,
    row_ids: Sequence[int],
    max_new_tokens: int,
    room: Callable[[Row], int],
    sampling: Sampling | None = None,
    keep_logits: bool = False,
    ledger: list[Applied] | None = None,
    count: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005
) -> Iterator[tuple[int, Generated]]:
    """Generate rows together; rows that finish make room for those that wait.

    Args:
        model: The model.
        rows: Rows in the order in which they begin; all have the same windows, and prompts of one
            length unless ``model.mixes_lengths``.
        row_ids: Index of each row among all rows of the call.
        max_new_tokens: Largest number of new tokens, at least 1; an end-of-text token ends a row.
        room: Function that returns how many rows may run at once, by the next row that waits.
        sampling: How tokens are drawn; ``None`` for greedy decoding.
        keep_logits: Whether to keep each step's logits.
        ledger: List to which a line for each patched position is added.
        count: Function that is called at each step with the number of new tokens.

    Yields:
        The index of a row that finished, and its text. The model has no hooks meanwhile.

    Raises:
        InputError: If logits are NaN or infinite.
    """
    by_id = dict(zip(row_ids, rows, strict=True))
    texts = _Texts(model, by_id, n_steps=max_new_tokens, sampling=sampling, keep_logits=keep_logits)

    def step(batch: Decoder) -> None:
        going = texts.step(batch)
        count(len(going))
        finished = len(batch) - len(going)
        # A row at its last step must leave, since the cache has no room for another token.
        at_end = batch.steps.max() == max_new_tokens
        if finished and (at_end or ledger is not None or finished >= _LEAVE * len(batch)):
            batch.keep(going)

    waiting = list(row_ids)
    batch: Decoder | None = None
    size = 0
    while waiting or batch:
        if waiting:
            size = max(1, room(by_id[waiting[0]]))
            n_fresh = size - (len(batch) if batch else 0)
            begun, waiting = waiting[:n_fresh], waiting[n_fresh:]
            fresh = Decoder(
                model,
                [by_id[row] for row in begun],
                row_ids=begun,
                n_steps=max_new_tokens,
                ledger=ledger,
            )
            with patched(model, fresh.patches):
                step(fresh)
            if batch and fresh:
                batch.join(fresh)
            batch = batch or fresh
        assert batch is not None
        with patched(model, batch.patches):
            while batch and (not waiting or len(batch) > _JOIN * size):
                step(batch)
        yield from texts.take_finished()
