"""Running a table of conditions and scoring what came out of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from emotion_circuits.evaluation import TextEvaluator, continuation_nll, nest_scores
from emotion_circuits.interventions import Checkpoint, Condition, Sampling, sweep
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings


class ScoredText(NamedTuple):
    """One continuation.

    Attributes:
        text: As it was decoded.
        token_ids: As they were generated, the end-of-text token included where it came.
        metrics: ``{metric: {label: probability}}``.
        fluency: Nats per token under the unpatched model; lower is more fluent.
    """

    text: str
    token_ids: list[int]
    metrics: dict[str, dict[str, float]]
    fluency: float


Scored = dict[str, dict[str, ScoredText]]


class KnownTexts:
    """Scores that an earlier sweep of the same model and prompts gave.

    A classifier's rounding depends on which texts share a batch. If a control leaves every text
    as it was, its effect must be exactly zero, and not some millionths with a standard deviation
    of some millionths; so what was scored before is not scored again.
    """

    def __init__(self, texts: Iterable[tuple[str, ScoredText]] = ()) -> None:
        self._metrics: dict[tuple[str, str], dict[str, dict[str, float]]] = {}
        self._fluency: dict[tuple[str, tuple[int, ...]], float] = {}
        for prompt, item in texts:
            self._metrics[prompt, item.text] = item.metrics
            self._fluency[prompt, tuple(item.token_ids)] = item.fluency

    def metrics(self, score: str) -> dict[str, dict[str, dict[str, float]]]:
        """Give the scores by what evaluators read."""
        return {
            scored_text(prompt, text, score): found
            for (prompt, text), found in self._metrics.items()
        }

    def fluency(self, prompt: str, token_ids: Sequence[int]) -> float | None:
        """Give a continuation's fluency, if it is known."""
        return self._fluency.get((prompt, tuple(token_ids)))


def sampling_of(settings: ResidualPatchingSettings, seed: int) -> Sampling | None:
    """Give how tokens are drawn; None for greedy decoding."""
    return None if settings.sampling == "greedy" else Sampling(settings.temperature, seed)


def scored_text(prompt: str, text: str, score: str) -> str:
    """Give what evaluators read, without the space that joins a continuation to its prompt."""
    return (prompt + text if score == "full_text" else text).strip()


def run_conditions(
    model: LanguageModel,
    evaluator: TextEvaluator,
    prompts: Sequence[str],
    conditions: Sequence[Condition],
    *,
    settings: ResidualPatchingSettings,
    seed: int,
    checkpoint: Checkpoint | None = None,
    known: KnownTexts | None = None,
) -> Scored:
    """Continue each prompt under each condition, and score the continuations.

    Args:
        model: The model.
        evaluator: Reads the continuations.
        prompts: Distinct texts.
        conditions: With distinct names.
        settings: Decoding and scoring.
        seed: Of sampling.
        checkpoint: Where finished rows outlive a killed run.
        known: Scores to take over.

    Returns:
        For each condition's name and prompt its continuation with its scores. Equal texts share
        one object of scores.
    """
    table = sweep(
        model,
        prompts,
        conditions,
        max_new_tokens=settings.sequence_length,
        batch_rows=settings.rows,
        sampling=sampling_of(settings, seed),
        checkpoint=checkpoint,
    )
    known = known or KnownTexts()
    read = [
        scored_text(prompt, text, settings.score)
        for prompt, text in zip(table["prompt"], table["text"], strict=True)
    ]
    metrics = _score(evaluator, read, known.metrics(settings.score), settings.batch_size)
    fluency = _fluency(model, table.to_dict("list"), known, settings.batch_size)
    found: Scored = {condition.name: {} for condition in conditions}
    columns = (table["condition"], table["prompt"], table["text"], table["token_ids"])
    for place, (name, prompt, text, ids) in enumerate(zip(*columns, strict=True)):
        found[name][prompt] = ScoredText(text, list(ids), metrics[read[place]], fluency[place])
    return found


def _score(
    evaluator: TextEvaluator,
    texts: Sequence[str],
    known: Mapping[str, dict[str, dict[str, float]]],
    batch_size: int,
) -> dict[str, dict[str, dict[str, float]]]:
    missing = sorted(set(texts) - set(known))
    scores = evaluator.evaluate_batch(missing, batch_size)
    return {**known, **dict(zip(missing, nest_scores(scores), strict=True))}


def _fluency(
    model: LanguageModel, table: Mapping[Any, list[Any]], known: KnownTexts, batch_size: int
) -> list[float]:
    found = [
        known.fluency(prompt, ids)
        for prompt, ids in zip(table["prompt"], table["token_ids"], strict=True)
    ]
    missing = [row for row, value in enumerate(found) if value is None]
    values = continuation_nll(
        model,
        [table["prompt_ids"][row] for row in missing],
        [table["token_ids"][row] for row in missing],
        batch_size=batch_size,
    )
    filled = dict(zip(missing, values.tolist(), strict=True))
    return [filled[row] if value is None else value for row, value in enumerate(found)]
