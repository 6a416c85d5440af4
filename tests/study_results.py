"""Results of a small study, written by hand, from which a report is made."""

from dataclasses import replace

import numpy as np
import pandas as pd

from emotion_circuits.prompts import EmotionSet
from emotion_circuits.reporting import (
    draw_claims,
    draw_head_map,
    draw_power,
    draw_probes,
    draw_transfer,
)
from emotion_circuits.reporting.results import StudyResults

MODELS = ("one", "two")
EMOTIONS = EmotionSet()


def emotions_of(n):
    """A study of many emotions."""
    if n <= 3:
        return EMOTIONS
    names = tuple(f"emotion{i}" for i in range(n))
    return EmotionSet(names=names, target_metrics={name: f"scores/{name}" for name in names})


def selection(emotions, *, n=40, change=(0.4, 0.2, 0.6), **values):
    line = {
        "choice": "headline",
        "layer": 2,
        "alpha": 1.5,
        "n": n,
        "metric_name": "m",
        "within_fluency": True,
        "relative_dose": 0.3,
        "mean_diff": change[0],
        "ci_lower": change[1],
        "ci_upper": change[2],
        "cohen_d": 1.2,
        "effect_size_ci_lower": 0.8,
        "effect_size_ci_upper": 1.7,
        "fluency_loss": 0.25,
        "fluency_loss_lower": 0.1,
        "fluency_loss_upper": 0.4,
        "random_p": 1 / 21,
        "random_n": 20,
        "covariance_p": 1 / 21,
        "covariance_n": 20,
        "shuffled_p": 0.3,
    }
    return pd.DataFrame([line | {"emotion": name} | values for name in emotions.names])


def probes(emotions, model, n_layers):
    lines = []
    rng = np.random.default_rng(0)
    for name in emotions.names:
        where = {"model_name": model, "contrast": f"{name}_vs_{emotions.neutral}", "n_test": 30}
        for layer in range(n_layers):
            auroc = 0.5 + 0.4 * rng.random()
            ends = {"ci_lower": auroc - 0.1, "ci_upper": auroc + 0.1}
            own = {"probe": "residual", "subset": "implicit", "layer": layer, "auroc": auroc}
            null = {"probe": "residual_shuffled_labels", "subset": "all", "layer": layer}
            lines += [where | own | ends]
            lines += [where | null | {"auroc": 0.5, "ci_lower": 0.4, "ci_upper": 0.6}]
        lines.append(where | {"probe": "bag_of_words", "subset": "implicit", "auroc": 0.55})
    return pd.DataFrame(lines)


def head_scores(emotions, model, n_layers, n_heads):
    rng = np.random.default_rng(1)
    lines = []
    for name in emotions.names:
        for layer in range(n_layers):
            for head in range(n_heads):
                drop = float(rng.normal(0, 0.1))
                line = {"model_name": model, "layer": layer, "head": head, "emotion": name}
                line |= {"half": "both", "n_pairs": 30, "drop_mean": drop}
                lines.append(line | {"drop_mean_lower": drop - 0.1, "drop_mean_upper": drop + 0.1})
    return pd.DataFrame(lines)


def claims(emotions, models):
    lines = [
        {
            "profile": "p",
            "phase": phase,
            "model_name": model,
            "emotion": name,
            "confirmatory": True,
            "mean_diff": 0.4,
            "ci_lower": 0.2,
            "ci_upper": 0.6,
            "n_effective": 40,
            "power": 0.9,
            "minimal_detectable_effect": 0.5,
            "p_value_bonferroni": 0.01,
        }
        for model in models
        for name in emotions.names
        for phase in ("residual", "random")
    ]
    return pd.DataFrame(lines)


def overlaps():
    line = {"model_a": "one", "model_b": "two", "layer_a": 2, "layer_b": 2, "method": "ridge"}
    return pd.DataFrame([line])


def transfer(emotions):
    return pd.DataFrame(
        {
            "emotion": name,
            "layer_b": layer,
            "auroc_mapped": 0.7,
            "ci_lower": 0.6,
            "ci_upper": 0.8,
            "auroc_own": 0.8,
            "auroc_shuffled_p95": 0.6,
            "n_test": 30,
        }
        for name in emotions.names
        for layer in range(3)
    )


def continuations(text):
    return {
        "patch": "Its strength was the same for all tokens.",
        "items": [
            {
                "emotion": "anger",
                "layer": 2,
                "alpha": 1.5,
                "prompt": text,
                "texts": [
                    {"condition": "unsteered", "text": text, "is_patched": False, "score": 0.1},
                    {"condition": "steered", "text": text, "is_patched": True, "score": 0.9},
                ],
            }
        ],
    }


def timings(seconds=1.0):
    event = {"timestamp": "2026-01-01T00:00:00+00:00", "device": "cpu", "samples": 8}
    event |= {"metadata": {"peak_rss_mib": 100.0}, "elapsed_seconds": seconds}
    return pd.DataFrame(
        [
            event | {"phase": "dataset", "model": None},
            event | {"phase": "activations", "model": "one"},
        ]
    )


def study(*, n_emotions=3, n_layers=4, n_heads=3, n_prompts=225, text="Thanks.", left_out=()):
    """Results of both models, without those named in ``left_out``."""
    emotions = emotions_of(n_emotions)
    counts = dict.fromkeys(emotions.labels, n_prompts)
    values = {
        "dataset_statistics": {"emotion_counts": counts, "input": "texts.jsonl"},
        "phase_timings": timings(),
        "power_analysis": claims(emotions, MODELS),
        "claims_figure": draw_claims(claims(emotions, MODELS)),
        "power_figure": draw_power(claims(emotions, MODELS)),
        "one_vs_two.transfer": transfer(emotions),
        "one_vs_two.transfer_figure": draw_transfer(transfer(emotions), overlaps(), emotions),
    }
    for model in MODELS:
        scores = head_scores(emotions, model, n_layers, n_heads)
        values |= {
            f"{model}.probe_scores": probes(emotions, model, n_layers),
            f"{model}.probe_figure": draw_probes(probes(emotions, model, n_layers)),
            f"{model}.residual_selection": selection(emotions),
            f"{model}.head_score_table": scores,
            f"{model}.head_map_figure": draw_head_map(scores, emotions),
            f"{model}.continuations": continuations(text),
        }
    return StudyResults(
        profile="p",
        emotions=emotions,
        models=MODELS,
        pairs=(("one", "two"),),
        values={name: value for name, value in values.items() if name not in left_out},
        configuration={"alignment": {"k": 3, "methods": ["ridge"]}},
        versions={"kedro": "1.7"},
    )


def with_values(results, **values):
    """The same study with other results."""
    return replace(results, values={**results.values, **values})
