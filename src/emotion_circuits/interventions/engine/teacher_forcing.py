"""Log-probabilities of fixed continuations under conditions, with one prefill per prompt."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.decoder import Decoder
from emotion_circuits.interventions.engine.patches import patched
from emotion_circuits.interventions.engine.rows import Row, check_row
from emotion_circuits.interventions.engine.run import grouped
from emotion_circuits.interventions.recording.batches import by_length, chunks
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.progress import progress_bar

_TOKENS_PER_PASS: Final = 4096
_LOGITS_PER_PASS: Final = 2**26

Tokens = Sequence[int]


@torch.no_grad()
def continuation_log_probs(
    model: LanguageModel,
    rows: Sequence[Row],
    continuations: Sequence[Tokens],
    *,
    progress: str | None = None,
) -> Float[np.ndarray, " row"]:
    """Return the mean log-probability of each continuation under its row's condition.

    Continuations are teacher-forced: the model reads their tokens instead of those it predicts.
    Rows with the same prompt and the same condition object share the pass over the prompt, and
    equal continuations of them are read once.

    Args:
        model: The model; it is unchanged afterwards, even after an exception.
        rows: Prompts and conditions. A condition must not have a moving window, which covers other
            positions at each step.
        continuations: Token ids that follow each prompt, at least one.
        progress: Label of a progress bar; ``None`` for no bar.

    Returns:
        Nats per token, float64.

    Raises:
        InputError: If a continuation is empty, a condition has a moving window, a site does not
            exist, or prompt and continuation do not fit into the model's context.
    """
    # For each prompt and condition, the indices of each continuation.
    members: dict[tuple[tuple[int, ...], int], dict[tuple[int, ...], list[int]]] = {}
    for index, (row, continuation) in enumerate(zip(rows, continuations, strict=True)):
        check_reading(model, row, continuation)
        of_prompt = members.setdefault((row.prompt_ids, id(row.condition)), {})
        of_prompt.setdefault(tuple(continuation), []).append(index)
    sharing = [list(of_prompt.values()) for of_prompt in members.values()]
    prompts = [rows[equal[0][0]] for equal in sharing]
    means = np.full(len(rows), np.nan)
    parts = [
        part
        for group in grouped(model, prompts, range(len(prompts)))
        for part in chunks(group, max(1, _TOKENS_PER_PASS // prompts[group[0]].n_prompt))
    ]
    with progress_bar(total=len(rows), desc=progress, unit="row", disable=progress is None) as bar:
        for part in parts:
            readers = [(place, equal) for place, one in enumerate(part) for equal in sharing[one]]
            read = read_part(
                model,
                [prompts[one] for one in part],
                [place for place, _ in readers],
                [continuations[equal[0]] for _, equal in readers],
            )
            for chosen, values in read:
                for one, value in zip(chosen, _mean_log_probs(*values), strict=True):
                    means[readers[one][1]] = value
                bar.update(sum(len(readers[one][1]) for one in chosen))
    return means


def check_reading(model: LanguageModel, row: Row, continuation: Tokens) -> None:
    """Refuse a continuation that cannot be read under the row's condition.

    Raises:
        InputError: As ``continuation_log_probs``.
    """
    if not continuation:
        raise InputError("a continuation has no tokens; its log-probability is undefined")
    check_row(model, row, len(continuation))
    for item in row.condition.interventions:
        if item.positions.moving:
            raise InputError(
                f"condition {row.condition.name!r} acts at {item.positions}; with given "
                "continuations allowed are positions that do not move"
            )


def read_part(
    model: LanguageModel,
    rows: Sequence[Row],
    owners: Sequence[int],
    continuations: Sequence[Tokens],
) -> Iterator[tuple[list[int], tuple[Float[Tensor, "read pos vocab"], Int[Tensor, "read pos"]]]]:
    """Run prompts once, then their continuations, those of equal length together.

    Args:
        model: The model.
        rows: Distinct rows, with prompts of one length unless ``model.mixes_lengths``.
        owners: For each continuation, the index of its row.
        continuations: Token ids.

    Yields:
        Indices of continuations; their logits, and their tokens.
    """
    n_steps = max(map(len, continuations))
    decoder = Decoder(model, rows, row_ids=range(len(rows)), n_steps=n_steps, ledger=None)
    with patched(model, decoder.patches):
        first = decoder.forward().float()
    for indices in by_length(continuations):
        for part in chunks(indices, _rows_per_pass(model, len(continuations[indices[0]]))):
            owned = torch.tensor([owners[index] for index in part], device=model.device)
            tokens = torch.tensor([list(continuations[index]) for index in part]).to(model.device)
            logits = first.index_select(0, owned)[:, None]
            if tokens.shape[1] > 1:  # the model predicts the last token and does not read it
                later = decoder.read(owned, tokens[:, :-1]).float()
                logits = torch.cat([logits, later], dim=1)
            yield part, (logits, tokens)


def _rows_per_pass(model: LanguageModel, length: int) -> int:
    vocab = int(model.plain_model.config.get_text_config().vocab_size)
    return max(1, min(_TOKENS_PER_PASS, _LOGITS_PER_PASS // vocab) // length)


def _mean_log_probs(logits: Float[Tensor, "read pos vocab"], tokens: Tensor) -> np.ndarray:
    chosen = logits.log_softmax(-1).gather(2, tokens[..., None])[..., 0]
    means: np.ndarray = chosen.double().mean(1).cpu().numpy()
    return means
