"""The engine: rows of prompt and condition, many in one batch, each as if it ran alone.

What a row gives is defined by recomputing its full sequence at each step without a cache, with
its interventions at the positions they cover. The engine gets there faster: the positions before
the first intervention are computed once a prompt and shared, keys and values are kept, and with a
moving window only the positions in the window, and the one that left it, are computed again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.cache import ReservedCache
from emotion_circuits.interventions.conditions import BASELINE, Condition, Intervention
from emotion_circuits.interventions.needs import Need
from emotion_circuits.interventions.patches import Applied, Patches, Span, patched, patched_bridge
from emotion_circuits.interventions.sampling import Sampling, choose_tokens, uniform_draws
from emotion_circuits.interventions.shared_prefill import SharedPrefill, is_worthwhile
from emotion_circuits.interventions.sites import check_site
from emotion_circuits.language_models import LanguageModel

# Finished rows leave a batch when they are so large a share of it: the others must be copied then.
_LEAVE: Final = 0.125


@dataclass(frozen=True)
class Row:
    """One text to generate.

    Attributes:
        prompt_ids: Tokens of the prompt, BOS included.
        condition: What is changed meanwhile.
        seed: Settles the row's draws, when sampling.
    """

    prompt_ids: tuple[int, ...]
    condition: Condition = BASELINE
    seed: int = 0

    @property
    def n_prompt(self) -> int:
        """Tokens of the prompt."""
        return len(self.prompt_ids)

    @property
    def clean_prefix(self) -> int:
        """How many first positions no intervention ever reaches; the last one always counts."""
        starts = [
            0
            if Need.WHOLE_PROMPT in item.operator.needs
            else item.positions.first(self.n_prompt, 0)
            for item in self.condition.interventions
        ]
        return min([*starts, self.n_prompt - 1])


class Generated(NamedTuple):
    """What came out of one row.

    Attributes:
        token_ids: New tokens, the end-of-text token included where it came.
        logits: ``[step, vocab]`` in float32 on the CPU, where they were asked for.
    """

    token_ids: tuple[int, ...]
    logits: Float[Tensor, "step vocab"] | None = None


def batch_key(row: Row) -> tuple[Any, ...]:
    """Rows of one key can share forward passes: they read the same positions at each step."""
    return (
        row.n_prompt,
        row.clean_prefix,
        row.condition.reads_attention,
        tuple(sorted(row.condition.windows, key=repr)),
    )


def check_row(model: LanguageModel, row: Row, max_new_tokens: int) -> None:
    """Refuse a row that cannot be generated, before anything runs.

    Raises:
        InputError: If a site does not exist, or prompt and new tokens exceed the context.
    """
    if row.n_prompt == 0:
        raise InputError(f"a prompt has no tokens for model {model.name!r}")
    if row.n_prompt + max_new_tokens - 1 > model.n_ctx:
        raise InputError(
            f"a prompt of {row.n_prompt} tokens and {max_new_tokens} new ones do not fit into "
            f"model {model.name!r}, which reads at most {model.n_ctx}"
        )
    for intervention in row.condition.interventions:
        check_site(model, intervention.site)
        wanted = model.d_head if intervention.site.point == "z" else model.d_model
        given = intervention.operator.parameters()[0].shape[-1]
        if given != wanted:
            raise InputError(
                f"{_name(intervention)} has {given} values; {intervention.site} has {wanted}"
            )


def _name(intervention: Intervention) -> str:
    """Name what an operator holds, as its first field is called."""
    return fields(intervention.operator)[0].name  # type: ignore[arg-type]


def end_tokens(model: LanguageModel) -> frozenset[int]:
    """Token ids after which a text is finished."""
    given: list[Any] = [model.tokenizer.eos_token_id, model.plain_model.config.eos_token_id]
    generation = getattr(model.plain_model, "generation_config", None)
    given.append(getattr(generation, "eos_token_id", None))
    flat = [one for item in given for one in (item if isinstance(item, list) else [item])]
    return frozenset(int(token) for token in flat if token is not None)


class Prefixes:
    """Clean keys and values of the first positions of prompts, computed once for each prompt."""

    def __init__(self, model: LanguageModel, rows: Sequence[Row]) -> None:
        self.length = rows[0].clean_prefix
        self._row_of = {ids: place for place, ids in enumerate(dict.fromkeys(map(_ids, rows)))}
        self._cache = ReservedCache(model.n_layers, self.length)
        if self.length:
            ids = torch.tensor(
                [prompt[: self.length] for prompt in self._row_of], device=model.device
            )
            model.plain_model(
                input_ids=ids, past_key_values=self._cache, use_cache=True, logits_to_keep=1
            )

    def spread(self, rows: Sequence[Row], capacity: int) -> ReservedCache:
        """Give a cache for a batch whose rows begin with their prompts' prefixes."""
        places = torch.tensor([self._row_of[row.prompt_ids] for row in rows])
        device = next((layer.device for layer in self._cache.layers if layer.is_initialized), None)
        return self._cache.spread(places.to(device or "cpu"), capacity, self.length)


def _ids(row: Row) -> tuple[int, ...]:
    return row.prompt_ids


class Decoder:
    """A batch of rows at some step: their tokens, their cache, and who is still going on."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        prefixes: Prefixes,
        *,
        row_ids: Sequence[int],
        n_steps: int,
        ledger: list[Applied] | None,
    ) -> None:
        self.model = model
        self.n_prompt = rows[0].n_prompt
        self.alive = list(range(len(rows)))
        self.patches = Patches(
            model,
            [row.condition for row in rows],
            row_ids,
            n_prompt=self.n_prompt,
            n_steps=n_steps,
            ledger=ledger,
        )
        self._windows = rows[0].condition.windows
        self._reads_attention = rows[0].condition.reads_attention
        self._cache = prefixes.spread(rows, self.n_prompt + n_steps - 1)
        self._known = prefixes.length
        self._ids = torch.tensor([row.prompt_ids for row in rows], device=model.device)
        self._prefill = self._shared_prefill(rows, row_ids, n_steps, ledger)

    def _shared_prefill(
        self,
        rows: Sequence[Row],
        row_ids: Sequence[int],
        n_steps: int,
        ledger: list[Applied] | None,
    ) -> SharedPrefill | None:
        """Plan step 0 in parts by layer, where that saves anything."""
        conditions = [row.condition for row in rows]
        if (
            self._windows
            or self._reads_attention
            or not is_worthwhile(
                self.model,
                conditions,
                self.n_prompt - self._known,
                self.n_prompt * len({row.prompt_ids for row in rows}),
            )
        ):
            return None
        return SharedPrefill(
            self.model,
            conditions,
            row_ids,
            self._ids,
            start=self._known,
            n_steps=n_steps,
            ledger=ledger,
        )

    def forward(self, step: int) -> Float[Tensor, "row vocab"]:
        """Give the logits of the last position."""
        end = self.n_prompt + step
        if step == 0 and self._prefill is not None:
            logits, self._cache = self._prefill.run()
            self._known = end
            return logits
        self.patches.at(Span(step, self._known, end))
        # Positions in a window are forgotten: the next step computes them with another strength,
        # or without.
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

    def append(self, chosen: Int[Tensor, " row"]) -> None:
        """Take up the tokens the next step is to read."""
        self._ids = torch.cat([self._ids, chosen[:, None]], dim=1)

    def keep(self, places: list[int]) -> None:
        """Go on with some of the rows only."""
        self.alive = [self.alive[place] for place in places]
        kept = torch.tensor(places, device=self._ids.device)
        self._ids = self._ids.index_select(0, kept)
        self._cache.select(kept)
        self.patches.keep(places)


@torch.no_grad()
def generate_batch(
    model: LanguageModel,
    rows: Sequence[Row],
    prefixes: Prefixes,
    *,
    row_ids: Sequence[int],
    max_new_tokens: int,
    sampling: Sampling | None = None,
    keep_logits: bool = False,
    ledger: list[Applied] | None = None,
    count: Callable[[int], None] = lambda tokens: None,  # noqa: ARG005 - nobody counts
) -> list[Generated]:
    """Generate rows of one ``batch_key`` together.

    Args:
        model: The model.
        rows: At least one, all of the same key.
        prefixes: Of at least these rows' prompts.
        row_ids: What the ledger calls each row.
        max_new_tokens: At least 1; a row ends earlier with an end-of-text token.
        sampling: None for greedy decoding.
        keep_logits: Whether to keep each step's logits.
        ledger: Is given a line for each patched position.
        count: Is told how many tokens each step made.

    Returns:
        One result a row, in order.
    """
    decoder = Decoder(model, rows, prefixes, row_ids=row_ids, n_steps=max_new_tokens, ledger=ledger)
    draws = None
    if sampling is not None:
        draws = uniform_draws(sampling, [row.seed for row in rows], max_new_tokens)
    ends = end_tokens(model)
    tokens: list[list[int]] = [[] for _ in rows]
    logits: list[list[Tensor]] = [[] for _ in rows]
    with patched(model, decoder.patches):
        for step in range(max_new_tokens):
            scores = decoder.forward(step)
            lots = None if draws is None else draws[decoder.alive, step]
            chosen = choose_tokens(scores, sampling, lots)
            going: list[int] = []
            for place, (row, token) in enumerate(zip(decoder.alive, chosen.tolist(), strict=True)):
                if tokens[row] and tokens[row][-1] in ends:
                    continue
                tokens[row].append(token)
                if keep_logits:
                    logits[row].append(scores[place].float().cpu())
                if token not in ends:
                    going.append(place)
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
