"""Results of phases 4, 5 and 6 in their file formats, with effects that are known."""

import numpy as np

EMOTIONS = ("gratitude", "anger", "apology")
LAYERS = (0, 2)
ALPHAS = (1.0, 4.0)
# Effect on the emotion's own score at the larger strength, over the deviation of the differences.
PLANTED_D = 1.5
_SPREAD = 0.08


def prompts(n):
    return [f"Dana looked at lamp {place}." for place in range(n)]


def nested(own, value, other, rng):
    """Metrics of one text as evaluators give them; only the emotion's own score is moved."""
    scores = {emotion: other + float(rng.normal(0, _SPREAD)) for emotion in EMOTIONS}
    if own:
        scores[own] = value
    return {
        "goemotions": scores,
        "sentiment": {"positive": 0.5 + float(rng.normal(0, _SPREAD)), "negative": 0.2},
    }


def baseline_of(texts, rng):
    return {text: nested("", 0.0, 0.3, rng) for text in texts}


def steered(texts, baseline, emotion, d, rng):
    """Scores whose paired difference has mean d in units of its deviation."""
    found = {}
    for text in texts:
        before = baseline[text]["goemotions"][emotion]
        found[text] = nested(emotion, before + float(rng.normal(d, 1)) * _SPREAD, 0.3, rng)
    return found


def residual_sweep(model, *, n=60, seed=0):
    rng = np.random.default_rng(seed)
    texts = prompts(n)
    baseline = baseline_of(texts, rng)
    sweep = {}
    for emotion in EMOTIONS:
        sweep[emotion] = {}
        for layer in LAYERS:
            sweep[emotion][layer] = {}
            for alpha in ALPHAS:
                d = PLANTED_D if alpha == 4.0 and layer == 2 else 0.0
                metrics = steered(texts, baseline, emotion, d, rng)
                said = dict.fromkeys(texts, "...")
                sweep[emotion][layer][alpha] = {"texts": said, "metrics": metrics}
            # Strength 0 is the unsteered model itself.
            unsteered = {"texts": dict.fromkeys(texts, "..."), "metrics": baseline}
            sweep[emotion][layer][0.0] = unsteered
    return {
        "profile": "baseline_smoke",
        "model": model,
        "prompts": texts,
        "baseline": {"texts": dict.fromkeys(texts, "..."), "metrics": baseline},
        "sweep_results": sweep,
        "alpha_values": [0.0, *ALPHAS],
        "patch_window": None,
        "sequence_length": 20,
    }


def records(metrics):
    return [{"prompt": text, "text": "...", "metrics": values} for text, values in metrics.items()]


def random_sweep(model, *, n=60, num_random=5, seed=1):
    rng = np.random.default_rng(seed)
    texts = prompts(n)
    baseline = baseline_of(texts, rng)
    random_results, emotion_results = {}, {}
    for emotion in EMOTIONS:
        random_results[emotion], emotion_results[emotion] = {}, {}
        for layer in LAYERS:
            d = PLANTED_D if layer == 2 else 0.0
            emotion_results[emotion][layer] = {
                4.0: records(steered(texts, baseline, emotion, d, rng))
            }
            random_results[emotion][layer] = {
                draw: {4.0: records(steered(texts, baseline, emotion, 0.0, rng))}
                for draw in range(num_random)
            }
    return {
        "profile": "baseline_smoke",
        "model": model,
        "alpha_values": [4.0],
        "random_results": random_results,
        "emotion_results": emotion_results,
        "num_random": num_random,
    }


def head_ablation(model, *, n=60, times=1, seed=2):
    """Two heads that lower anger by d = 1; every prompt is listed ``times`` times."""
    rng = np.random.default_rng(seed)
    texts = prompts(n)
    baseline = baseline_of(texts, rng)
    patched = steered(texts, baseline, "anger", -1.0, rng)
    return {
        "model": model,
        "profile": "baseline_smoke",
        "prompts": texts * times,
        "heads": [(3, 1), (1, 0)],
        "baseline_texts": ["..."] * n * times,
        "patched_texts": ["..."] * n * times,
        "baseline_metrics": [baseline[text] for text in texts] * times,
        "patched_metrics": [patched[text] for text in texts] * times,
    }


def head_scores(model, *, n=60, seed=3):
    """Head 1:2 lowers anger by d = 1.2, all others do nothing.

    As in the older implementation, deviations divide by n, and no key says so.
    """
    rng = np.random.default_rng(seed)
    scores = []
    for layer in range(4):
        for head in range(4):
            d = -1.2 if (layer, head) == (1, 2) else 0.0
            deltas = rng.normal(d, 1, n) * _SPREAD
            scores.append(
                {
                    "layer": layer,
                    "head": head,
                    "metric": "goemotions/anger",
                    "delta_mean": float(deltas.mean()),
                    "delta_std": float(deltas.std()),
                    "n_samples": n,
                }
            )
    return {
        "profile": "baseline_smoke",
        "model": model,
        "layers": [0, 1, 2, 3],
        "prompts": prompts(n),
        "sequence_length": 20,
        "head_scores": scores,
        "head_samples": [
            {
                "layer": 1,
                "head": 2,
                "samples": [{"prompt": "p", "baseline": "text", "patched": "text"}],
            }
        ],
    }


def k_sweep(model_a, model_b):
    leaf = {"overlap_cos_squared": 0.4, "mean_principal_angle": 0.6}
    results = {
        layer: {emotion: {k: dict(leaf) for k in (1, 2)} for emotion in EMOTIONS}
        for layer in (0, 1)
    }
    return {"model_a": model_a, "model_b": model_b, "sweep_results": results}
