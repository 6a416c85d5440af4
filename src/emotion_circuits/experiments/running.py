"""Running a plan: generate every row and score every text into one table."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments.decoding import Decoding
from emotion_circuits.experiments.outcomes import Outcomes
from emotion_circuits.experiments.plan import Plan
from emotion_circuits.interventions import (
    Checkpoint,
    Row,
    continuation_log_probs,
    decode,
    generate_rows,
)
from emotion_circuits.language_models import LanguageModel


def run(
    model: LanguageModel,
    evaluator: TextEvaluator,
    plan: Plan,
    decoding: Decoding,
    *,
    checkpoint: Checkpoint | None = None,
    known: Outcomes | None = None,
    fluency_after: Sequence[Sequence[int]] | None = None,
    progress: str | None = None,
) -> Outcomes:
    """Continue each row's prompt under its condition, and score the continuations.

    Args:
        model: The model.
        evaluator: The evaluator that scores the texts.
        plan: The rows to run.
        decoding: How to generate and score.
        checkpoint: File that keeps finished rows of a killed run.
        known: Outcomes of the same model and decoding, whose scores are reused. A classifier's
            rounding depends on which texts share a batch, but a control that changes no text must
            have an effect of exactly zero.
        fluency_after: Tokens after which each row's fluency is measured, if not its own prompt.
        progress: Label of a progress bar; None for no bar.

    Returns:
        One line per row, in the order of the plan.

    Raises:
        InputError: If a site does not exist or a row does not fit into the model's context.
    """
    results = generate_rows(
        model,
        plan.rows,
        max_new_tokens=decoding.max_new_tokens,
        batch_rows=decoding.batch_rows,
        sampling=decoding.sampling,
        checkpoint=checkpoint,
        progress=progress,
    )
    tokens = [result.token_ids for result in results]
    table = plan.coordinates.assign(text=[decode(model, ids) for ids in tokens])
    table["token_ids"] = tokens
    texts = _scored_texts(Outcomes(table), decoding)
    before = [row.prompt_ids for row in plan.rows]
    if fluency_after is not None:
        before = [tuple(ids) for ids in fluency_after]
    label = None if progress is None else f"{progress}, fluency"
    table["fluency"] = _fluency(model, plan, before, tokens, known, label)
    scores = _scores(evaluator, texts, known, decoding)
    for column, key in enumerate(evaluator.keys):
        table[key] = scores[:, column]
    return Outcomes(table)


def _scored_texts(outcomes: Outcomes, decoding: Decoding) -> list[str]:
    pairs = zip(outcomes.table["prompt"], outcomes.table["text"], strict=True)
    return [decoding.scored_text(prompt, text) for prompt, text in pairs]


def _scores(
    evaluator: TextEvaluator, texts: Sequence[str], known: Outcomes | None, decoding: Decoding
) -> Float[np.ndarray, "line metric"]:
    known_scores: dict[str, np.ndarray] = {}
    if known is not None:
        known_texts = _scored_texts(known, decoding)
        known_scores = dict(zip(known_texts, known.values(evaluator.keys), strict=True))
    missing = sorted(set(texts) - known_scores.keys())
    scores = evaluator.evaluate_batch(missing, decoding.batch_size)
    columns = np.column_stack([scores[key] for key in evaluator.keys])
    known_scores |= dict(zip(missing, columns, strict=True))
    return np.array([known_scores[text] for text in texts]).reshape(len(texts), len(evaluator.keys))


def _fluency(
    model: LanguageModel,
    plan: Plan,
    before: Sequence[tuple[int, ...]],
    tokens: Sequence[tuple[int, ...]],
    known: Outcomes | None,
    progress: str | None,
) -> list[float]:
    prompts = plan.coordinates["prompt"].tolist()
    known_nll: dict[tuple[str, tuple[int, ...]], float] = {}
    if known is not None:
        table = known.table
        pairs = zip(table["prompt"], map(tuple, table["token_ids"]), strict=True)
        known_nll = dict(zip(pairs, table["fluency"], strict=True))
    keys = list(zip(prompts, tokens, strict=True))
    # An empty continuation has no fluency.
    missing = [i for i, key in enumerate(keys) if key not in known_nll and tokens[i]]
    # Continuations of one prompt share the pass over it.
    log_probs = continuation_log_probs(
        model,
        [Row(before[index]) for index in missing],
        [tokens[index] for index in missing],
        progress=progress,
    )
    known_nll |= zip((keys[index] for index in missing), (-log_probs).tolist(), strict=True)
    return [known_nll.get(key, float("nan")) for key in keys]
