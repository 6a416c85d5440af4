"""Continuations of prompts under a table of conditions, or under a single condition."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.conditions import BASELINE, Condition
from emotion_circuits.interventions.engine.checkpoint import Checkpoint
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.run import Rows, generate_rows
from emotion_circuits.interventions.engine.sampling import Sampling
from emotion_circuits.language_models import LanguageModel


def sweep(
    model: LanguageModel,
    prompts: Sequence[str],
    conditions: Sequence[Condition],
    *,
    max_new_tokens: int = 30,
    batch_rows: Rows = "auto",
    sampling: Sampling | None = None,
    checkpoint: Checkpoint | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Continue each prompt under each condition.

    Args:
        model: The model.
        prompts: Texts.
        conditions: Conditions with distinct names.
        max_new_tokens: Largest number of new tokens; a text ends earlier where the model ends it.
        batch_rows: Rows per forward pass, or ``auto``.
        sampling: How tokens are drawn; ``None`` for greedy decoding. A prompt draws the same
            numbers under every condition.
        checkpoint: File of finished rows, so that a killed run loses little work.
        progress: Whether to show a progress bar.

    Returns:
        One line per prompt and condition, ordered by prompt, then by condition:
        ``prompt_index``, ``prompt``, ``condition``, ``text`` (the continuation alone),
        ``prompt_ids``, ``token_ids`` (new tokens, including an end-of-text token).

    Raises:
        InputError: If prompts are not a list of texts, names repeat, a site does not exist, or a
            prompt does not fit into the model's context.
    """
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise InputError(f"prompts are {type(prompts).__name__}; allowed is a list of texts")
    repeated = [name for name, n in Counter(item.name for item in conditions).items() if n > 1]
    if repeated:
        raise InputError(f"conditions must have distinct names; given twice: {repeated[0]!r}")
    encoded = [tuple(model.encode(prompt)) for prompt in prompts]
    rows = [
        Row(ids, condition, seed=text_seed(prompt))
        for prompt, ids in zip(prompts, encoded, strict=True)
        for condition in conditions
    ]
    results = generate_rows(
        model,
        rows,
        max_new_tokens=max_new_tokens,
        batch_rows=batch_rows,
        sampling=sampling,
        checkpoint=checkpoint,
        progress=f"{model.name} sweep" if progress else None,
    )
    cells = [(index, item.name) for index in range(len(prompts)) for item in conditions]
    return pd.DataFrame(
        {
            "prompt_index": [index for index, _ in cells],
            "prompt": [prompts[index] for index, _ in cells],
            "condition": [name for _, name in cells],
            "text": [decode(model, result.token_ids) for result in results],
            "prompt_ids": [row.prompt_ids for row in rows],
            "token_ids": [result.token_ids for result in results],
        }
    )


def generate_with_patching(
    model: LanguageModel,
    prompt: str,
    condition: Condition = BASELINE,
    *,
    max_new_tokens: int = 30,
    sampling: Sampling | None = None,
) -> str:
    """Continue one prompt under one condition, and return the continuation."""
    return generate_with_patching_batch(
        model, [prompt], condition, max_new_tokens=max_new_tokens, sampling=sampling
    )[0]


def generate_with_patching_batch(
    model: LanguageModel,
    prompts: Sequence[str],
    condition: Condition = BASELINE,
    *,
    max_new_tokens: int = 30,
    batch_rows: Rows = "auto",
    sampling: Sampling | None = None,
) -> list[str]:
    """Continue prompts under one condition, and return the continuations in order."""
    table = sweep(
        model,
        prompts,
        [condition],
        max_new_tokens=max_new_tokens,
        batch_rows=batch_rows,
        sampling=sampling,
        progress=False,
    )
    texts: list[str] = table["text"].tolist()
    return texts


def decode(model: LanguageModel, token_ids: Sequence[int]) -> str:
    """Return the text of tokens, without special tokens."""
    text: str = model.tokenizer.decode(list(token_ids), skip_special_tokens=True)
    return text


def text_seed(text: str) -> int:
    """Return a seed that depends on the text alone, and not on its position among prompts."""
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
