"""Phase 5's files with planted effects, and with controls that do nothing."""

import copy

import numpy as np

from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.prompts import halve_texts
from study_emotions import FOUR

OWN = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
LABELS = ("gratitude", "anger", "remorse", "neutral")
PROMPTS = [f"prompt {number}" for number in range(40)]
# By emotion, layer and strength: rise of the own score, and nats lost.
PLANTED = {(0, 1.0): (0.05, 0.0), (0, 2.0): (0.1, 0.1), (2, 1.0): (0.4, 0.3), (2, 2.0): (0.5, 0.9)}
SETTINGS = SteeringSettings(n_bootstrap=200, alphas=[1.0, 2.0])
# Lengths of what is added at α = 1 and, by layer, of the residual stream there.
VECTOR_NORM, RESIDUAL_NORMS = 3.0, {0: 12.0, 2: 20.0}


def metrics_of(own, rise, rng):
    goemotions = {label: 0.1 + float(rng.normal(0, 0.02)) for label in LABELS}
    if own:
        goemotions[own] += rise
    return {"sentiment": {"positive": 0.5 + float(rng.normal(0, 0.02))}, "goemotions": goemotions}


def cell(own, rise, loss, rng):
    return {
        "texts": dict.fromkeys(PROMPTS, f"{own} {rise}"),
        "metrics": {prompt: metrics_of(own, rise, rng) for prompt in PROMPTS},
        "fluency": {prompt: 1.0 + loss + float(rng.normal(0, 0.05)) for prompt in PROMPTS},
        "token_ids": {prompt: [1] for prompt in PROMPTS},
    }


def records(own, rise, rng):
    made = cell(own, rise, 0.0, rng)
    return [
        {
            "prompt": prompt,
            "text": made["texts"][prompt],
            "metrics": made["metrics"][prompt],
            "fluency": made["fluency"][prompt],
        }
        for prompt in PROMPTS
    ]


def planted_sweep(n_layers=5):
    """Layers 0 and 2 of a model; with three layers, the second of them is among the last."""
    rng = np.random.default_rng(0)
    results = {
        emotion: {
            layer: {a: cell(OWN[emotion], *PLANTED[layer, a], rng) for a in (1.0, 2.0)}
            for layer in (0, 2)
        }
        for emotion in FOUR.names
    }
    return {
        "model": "planted",
        "prompts": PROMPTS,
        "baseline": cell(None, 0.0, 0.0, rng),
        "sweep_results": results,
        "halves": halve_texts(PROMPTS, 0)._asdict(),
        "vector_norms": {emotion: {0: VECTOR_NORM, 2: VECTOR_NORM} for emotion in FOUR.names},
        "residual_norms": RESIDUAL_NORMS,
        "metadata": {"n_layers": n_layers},
    }


def idle_controls():
    rng = np.random.default_rng(1)
    kinds = {
        f"{kind}_results": {
            emotion: {2: {i: {a: records(None, 0, rng) for a in (1.0, 2.0)} for i in range(20)}}
            for emotion in FOUR.names
        }
        for kind in ("random", "shuffled", "covariance")
    }
    again = [records(None, 0, rng) for _ in range(10)]
    return kinds | {"emotion_results": {}, "reseeded_results": again}


def spoil(sweep, half):
    """Turn the scores of one half upside down."""
    spoiled = copy.deepcopy(sweep)
    for layers in spoiled["sweep_results"].values():
        for layer, alphas in layers.items():
            for alpha, of_alpha in alphas.items():
                for prompt in spoiled["halves"][half]:
                    for label in LABELS:
                        value = 0.9 if (layer, alpha) == (0, 1.0) else 0.0
                        of_alpha["metrics"][prompt]["goemotions"][label] = value
    return spoiled
