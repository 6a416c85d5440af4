"""Gate: does the mean-difference vector change the emotion that a language model expresses?"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS, NEUTRAL
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments import (
    FLUENCY,
    Outcomes,
    Steering,
    effect_table,
    metric_name,
)
from emotion_circuits.experiments.choice import HEADLINE, LAST_LAYERS, headline_layers
from emotion_circuits.experiments.directions import covariance_directions
from emotion_circuits.experiments.doses import Doses, residual_norms
from emotion_circuits.experiments.effects import conditions_of, mean_shift
from emotion_circuits.geometry import PooledActivations, emotion_vectors
from emotion_circuits.interventions import Condition
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.statistics import rank_p
from emotion_circuits.training.gates.continuations import (
    AS_IT_IS,
    OWN_LABEL,
    OWN_METRIC,
    continue_greedily,
)
from emotion_circuits.training.gates.intervals import N_BOOTSTRAP, cell
from emotion_circuits.training.gates.pooling import pool_prompts

# Early layers need more than the last one, after which no layer reads what was added.
ALPHAS: Final = (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0, 12.0)
# Cost, in nats per token, above which a choice is penalized; stricter than the gate's limit.
_COST_WANTED: Final = 0.4
# Kinds of random directions: of uniform orientation, and with the activations' covariance.
RANDOM_KINDS: Final = ("random", "covariance")

_Vectors = Mapping[str, Float[np.ndarray, "layer d_model"]]
_Conditions = Iterator[tuple[Condition, dict[str, Any]]]


def steering_gate(
    model: LanguageModel,
    goemotions: TextEvaluator,
    world: WorldSettings,
    *,
    n_prompts: int,
    n_random: int,
    layers_up_to: float,
    seed: int,
) -> dict[str, Any]:
    """Steer neutral prompts with each emotion's vector and with random vectors of its length.

    The vectors are token means over prompts of training combinations; layer and strength are
    chosen on validation combinations, once among the first layers and once, as a comparison,
    among the last ones; the results are measured on test combinations.

    Args:
        model: The language model.
        goemotions: The evaluator that scores the continuations.
        world: The settings of the world that the model was trained in.
        n_prompts: Number of neutral test prompts.
        n_random: Number of random directions of each kind per emotion.
        layers_up_to: Share of the layers, from the first on, that the gate chooses from.
        seed: Seed for drawing prompts, directions and resamples.

    Returns:
        ``layers_up_to``, ``layer`` and ``alpha``; for each emotion ``d`` (paired Cohen's d of its
        target metric with a 95 % bootstrap interval), ``change`` (of that metric's mean), ``cost``
        (nats per token), ``relative_dose`` (‖αv‖ / ‖h‖), ``share_wrong_way`` (share of prompts
        whose target metric falls), and for either kind of random directions (``random``: uniform;
        ``covariance``: with the activations' covariance) ``…_d`` (d of each direction),
        ``…_below_half`` (share of them with |d| below half of the emotion's d), ``…_p`` (rank of
        the emotion's change among theirs) and ``…_cost`` (their median); ``specificity`` (mean
        change of each label under each emotion's vector); ``distinct`` (number of distinct
        unsteered texts). ``last_layers`` has ``layer``, ``alpha``, ``emotions`` and
        ``specificity`` of the comparison; it is None if all layers are among the first.
    """
    train = emotion_prompts(world, split="train", n_per_emotion=n_prompts, seed=seed)
    pooled = pool_prompts(model, train)
    vectors = emotion_vectors(pooled)
    choosing = _neutral(world, "validation", max(8, n_prompts // 3), seed)
    table = _moved(model, goemotions, vectors, choosing)
    early = headline_layers(model.n_layers, layers_up_to)
    chosen = {
        name: _best(lines)
        for name, lines in (
            (HEADLINE, [line for line in table if line["layer"] in early]),
            (LAST_LAYERS, [line for line in table if line["layer"] not in early]),
        )
        if lines
    }
    prompts = _neutral(world, "test", n_prompts, seed)
    conditions = _with_random(vectors, pooled, chosen, n_random, np.random.default_rng(seed))
    outcomes = continue_greedily(model, goemotions, prompts, [AS_IT_IS, *conditions])
    effects = _effects(model, outcomes, vectors, seed)
    measured = {
        name: {
            "layer": layer,
            "alpha": alpha,
            "emotions": {emotion: _summary(effects, name, emotion) for emotion in EMOTIONS},
            "specificity": {emotion: _changes(effects, name, emotion) for emotion in EMOTIONS},
        }
        for name, (layer, alpha) in chosen.items()
    }
    said = {"unsteered": outcomes.baseline} | {
        emotion: outcomes.where(choice=HEADLINE, kind="emotion", emotion=emotion)
        for emotion in EMOTIONS
    }
    texts = {name: part.table["text"].tolist() for name, part in said.items()}
    return {
        "layers_up_to": layers_up_to,
        "n_prompts": n_prompts,
        "n_random": n_random,
        "distinct": len(set(texts["unsteered"])),
        **measured[HEADLINE],
        "last_layers": measured.get(LAST_LAYERS),
        "choice": table,
        "samples": [
            {"situation": prompts[index].strip()} | {name: of[index] for name, of in texts.items()}
            for index in range(min(3, n_prompts))
        ],
    }


def _neutral(world: WorldSettings, split: str, n: int, seed: int) -> list[str]:
    # This seed differs from the one that the shipped dataset was drawn with.
    prompts = emotion_prompts(world, split=split, n_per_emotion=n, seed=seed + 1000)
    texts: list[str] = prompts["text"][prompts["emotion"] == NEUTRAL].tolist()
    return texts


def _with_random(
    vectors: _Vectors,
    pooled: PooledActivations,
    chosen: Mapping[str, tuple[int, float]],
    n_random: int,
    rng: np.random.Generator,
) -> _Conditions:
    """Yield conditions for each emotion's vector, and for random directions of its length."""
    for name, (layer, alpha) in chosen.items():
        of_layer = pooled.values[:, layer]
        for emotion in EMOTIONS:
            vector = vectors[emotion][layer]
            drawn = {
                "random": rng.standard_normal((n_random, len(vector))),
                "covariance": covariance_directions(of_layer, n_random, rng),
            }
            length = np.linalg.norm(vector)
            directions = {"emotion": vector[None]} | {
                kind: of_kind * (length / np.linalg.norm(of_kind, axis=1))[:, None]
                for kind, of_kind in drawn.items()
            }
            for kind, of_kind in directions.items():
                steered = Steering().conditions(kind, emotion, layer, of_kind, [alpha])
                yield from ((one, {**where, "choice": name}) for one, where in steered)


def _effects(
    model: LanguageModel, outcomes: Outcomes, vectors: _Vectors, seed: int
) -> pd.DataFrame:
    """Estimate the effect of each choice, kind, emotion and draw on each score."""
    table = effect_table(
        Outcomes(outcomes.table.assign(half="test")),
        ["choice", "kind", "emotion", "layer", "alpha", "draw"],
        n_bootstrap=N_BOOTSTRAP,
        seed=seed,
        halves=["test"],
    )
    layers = sorted({int(layer) for layer in table["layer"]})
    doses = Doses(_lengths(vectors), _stream(model, outcomes, layers), removed=False)
    return doses.beside(table, OWN_METRIC)


def _lengths(vectors: _Vectors) -> dict[str, dict[int, float]]:
    return {
        emotion: dict(enumerate(np.linalg.norm(of_emotion, axis=1).tolist()))
        for emotion, of_emotion in vectors.items()
    }


def _stream(model: LanguageModel, outcomes: Outcomes, layers: list[int]) -> dict[int, float]:
    unsteered = outcomes.baseline.table
    said = unsteered["token_ids"].tolist()
    return residual_norms(model, unsteered["prompt"].tolist(), said, Steering(), layers)


def _summary(effects: pd.DataFrame, choice: str, emotion: str) -> dict[str, Any]:
    own_name, cost_name = metric_name(OWN_METRIC[emotion]), metric_name(FLUENCY)
    own, cost = (
        _lines(effects, choice, "emotion", emotion, name)[0] for name in (own_name, cost_name)
    )
    summary = {
        "d": cell(own["cohen_d"], own["effect_size_ci_lower"], own["effect_size_ci_upper"]),
        "change": cell(own["mean_diff"], own["ci_lower"], own["ci_upper"]),
        "cost": cell(cost["mean_diff"], cost["ci_lower"], cost["ci_upper"]),
        "relative_dose": round(own["relative_dose"], 4),
        "share_wrong_way": round(own["share_wrong_way"], 4),
    }
    for kind in RANDOM_KINDS:
        drawn = _lines(effects, choice, kind, emotion, own_name)
        d, changes = (np.array([line[name] for line in drawn]) for name in ("cohen_d", "mean_diff"))
        costs = [line["mean_diff"] for line in _lines(effects, choice, kind, emotion, cost_name)]
        summary |= {
            f"{kind}_d": d.round(4).tolist(),
            f"{kind}_below_half": round(float(np.mean(np.abs(d) < own["cohen_d"] / 2)), 4),
            f"{kind}_p": round(float(rank_p(own["mean_diff"], changes)), 4),
            f"{kind}_cost": round(float(np.median(costs)), 4),
        }
    return summary


def _lines(
    effects: pd.DataFrame, choice: str, kind: str, emotion: str, metric: str
) -> list[dict[str, Any]]:
    """Return one line per draw."""
    wanted = {"choice": choice, "kind": kind, "emotion": emotion, "metric_name": metric}
    kept = (effects[list(wanted)] == list(wanted.values())).all(axis=1)
    return [
        {str(key): value for key, value in line.items()}
        for line in effects[kept].to_dict("records")
    ]


def _changes(effects: pd.DataFrame, choice: str, emotion: str) -> dict[str, float]:
    return {
        OWN_LABEL[other]: round(
            _lines(effects, choice, "emotion", emotion, metric_name(key))[0]["mean_diff"], 4
        )
        for other, key in OWN_METRIC.items()
    }


def _moved(
    model: LanguageModel, goemotions: TextEvaluator, vectors: _Vectors, prompts: list[str]
) -> list[dict[str, Any]]:
    """Return each layer's and strength's change, cost and relative dose, by emotion."""
    layers = list(range(model.n_layers))
    conditions = [
        condition
        for layer in layers
        for emotion in EMOTIONS
        for condition in Steering().conditions(
            "emotion", emotion, layer, [vectors[emotion][layer]], ALPHAS
        )
    ]
    outcomes = continue_greedily(model, goemotions, prompts, [AS_IT_IS, *conditions])
    lengths, stream = _lengths(vectors), _stream(model, outcomes, layers)
    moved: dict[tuple[int, float], dict[str, Any]] = {
        (layer, alpha): {"layer": layer, "alpha": alpha, "change": {}, "cost": {}}
        | {
            "relative_dose": {
                emotion: round(alpha * lengths[emotion][layer] / stream[layer], 4)
                for emotion in EMOTIONS
            }
        }
        for layer in layers
        for alpha in ALPHAS
    }
    for where, part in conditions_of(outcomes, ["layer", "alpha", "emotion"]):
        emotion = where["emotion"]
        shift = mean_shift(part, outcomes.baseline, [OWN_METRIC[emotion], FLUENCY])
        line = moved[int(where["layer"]), float(where["alpha"])]
        line["change"][emotion], line["cost"][emotion] = shift.round(4).tolist()
    return list(moved.values())


def _best(lines: list[dict[str, Any]]) -> tuple[int, float]:
    """Choose layer and strength: most change of the least changed emotion, less excess cost."""

    def worth(line: dict[str, Any]) -> float:
        excess: float = max(0.0, max(line["cost"].values()) - _COST_WANTED)
        least: float = min(line["change"].values())
        return least - 10 * excess

    best = lines[int(np.argmax([worth(line) for line in lines]))]
    return best["layer"], best["alpha"]
