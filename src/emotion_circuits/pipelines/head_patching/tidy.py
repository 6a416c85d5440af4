"""The tidy table of head patching: one line for each pair of prompts and combination."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.experiments import Outcomes, metric_name
from emotion_circuits.experiments.contract.heads import COMBINATION
from emotion_circuits.experiments.head_readings import recovered_by
from emotion_circuits.experiments.outcomes import BASELINE_KIND
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.experiments.three_readings import READINGS, reading_keys
from emotion_circuits.prompts import CLUSTER

# Columns that differ between the pairs of a combination.
_OWN: Final = ("heads", "pair_id", CLUSTER, "half", "prompt")


def pair_table(reactions: Reactions, outcomes: Outcomes) -> pd.DataFrame:
    """Return the effect of each combination on each pair, in the target metric of the emotion.

    Args:
        reactions: The unpatched reactions to the prompts.
        outcomes: The baseline of every prompt, and outcomes of the plans of ``HeadPlanner``.

    Returns:
        ``emotion_value`` and ``neutral_value``: the metric of the pair's unpatched texts;
        ``patched_value``: the metric of the patched text; ``recovered``: its change towards the
        value of the pair's other prompt, or for ablation the decrease on the emotional prompt;
        ``fluency_loss``: nats per token under the unpatched model, patched minus unpatched;
        ``fluency_loss_reference``: the same for the unpatched reaction to the pair's other prompt,
        which is the cost of the lost emotion alone, or of an emotion on the neutral prompt. For
        ablation only (else NaN), ``neutral_patched_value``: the metric on the neutral prompt under
        the same ablation; ``neutral_shift``: its increase by the ablation; ``contrast_drop``: the
        decrease of the difference between the two prompts; ``neutral_fluency_loss``: the loss on
        the neutral prompt; ``recovered_masked`` and ``recovered_markers``: ``recovered`` in the
        score with emotion words masked and in the rate of marker words, NaN without them.
    """
    prompts = reactions.prompts
    baseline = outcomes.baseline
    changed = Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND])
    lines: list[dict[str, Any]] = []
    for where, part in changed.groups(COMBINATION):
        columns = {name: part.table[name].tolist() for name in _OWN}
        for emotion in [where["emotion"]] if where["emotion"] else prompts.emotions.names:
            key = prompts.emotions.target_metrics[emotion]
            shared = {
                "model_name": prompts.model.name,
                "what": "ablation" if where["kind"] == "ablation" else "patching",
                "emotion": emotion,
                **{name: where[name] for name in ("direction", "mode", "ablation", "head_set")},
            }
            moved = _moved(part, baseline, emotion, key)
            for line, values in _pair_values(reactions, part, baseline, emotion, key, where):
                own = {name: column[line] for name, column in columns.items()}
                # Patching from the emotional into the neutral prompt raises what it recovers.
                sign = 1 if where["direction"] == "emotion_to_neutral" else -1
                also = {name: sign * float(change[line]) for name, change in moved.items()}
                lines.append({**shared, **own, "metric": metric_name(key), **values, **also})
    return pd.DataFrame(lines)


def _moved(part: Outcomes, baseline: Outcomes, emotion: str, key: str) -> dict[str, np.ndarray]:
    """Return the change of each further reading on each line; NaN if it was not measured."""
    moved = {}
    for reading, other in reading_keys(emotion, key).items():
        if reading == READINGS[0]:
            continue
        change = np.full(len(part.table), np.nan)
        if other in part.keys:
            before = baseline.values([other])[part.table["prompt_index"].to_numpy(), 0]
            change = part.values([other])[:, 0] - before
        moved[recovered_by(reading)] = change
    return moved


def _pair_values(
    reactions: Reactions,
    part: Outcomes,
    baseline: Outcomes,
    emotion: str,
    key: str,
    where: Mapping[str, Any],
) -> Iterator[tuple[int, dict[str, float]]]:
    """Yield the line of each pair's changed text in the combination, and the pair's values."""
    is_ablation = where["kind"] == "ablation"
    to_neutral = where["direction"] == "emotion_to_neutral"
    indices, sources = (part.table[name].tolist() for name in ("prompt_index", "source_index"))
    # An ablation holds each prompt once; patching holds it once for each partner.
    names = indices if is_ablation else list(zip(indices, sources, strict=True))
    line_of: dict[Any, int] = {name: line for line, name in enumerate(names)}
    before, after = baseline.values([key])[:, 0], part.values([key])[:, 0]
    costs = part.table["fluency"].to_numpy() - baseline.table["fluency"].to_numpy()[indices]
    for emotional, neutral in reactions.prompts.pairs(emotion):
        index, source = (neutral, emotional) if to_neutral else (emotional, neutral)
        line = line_of.get(index if is_ablation else (index, source))
        if line is None:
            continue
        moved = float(after[line] - before[index])
        recovered = moved if to_neutral else -moved
        neutral_after = float(after[line_of[neutral]]) if is_ablation else np.nan
        on_emotion, on_neutral = reactions.unpatched[emotional, neutral]
        shift = neutral_after - float(before[neutral])
        yield (
            line,
            {
                "emotion_value": float(before[emotional]),
                "neutral_value": float(before[neutral]),
                "patched_value": float(after[line]),
                "recovered": recovered,
                "neutral_patched_value": neutral_after,
                "neutral_shift": shift,
                "contrast_drop": recovered + shift,
                "fluency_loss": float(costs[line]),
                "fluency_loss_reference": -on_neutral if to_neutral else on_emotion,
                "neutral_fluency_loss": float(costs[line_of[neutral]]) if is_ablation else np.nan,
            },
        )
