"""The shipped models with a few prompts, and one of them with a head that writes nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.pipelines.activations.nodes import capture_activations
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import fit_emotion_vectors
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from study_emotions import FOUR

SILENT = (1, 2)


def load_prompts(project_root, n_pairs=4):
    table = pd.read_json(project_root / "data/emotion_dataset_embedded.jsonl", lines=True)
    train = table[table["split"] == "train"][: 4 * n_pairs]
    return pd.concat([train, table[table["split"] == "test"][: 4 * n_pairs]], ignore_index=True)


def load_model(project_root, name="tiny_llama"):
    source = str(project_root / "data/models" / name)
    return load_language_model(ModelSpec(name=name, source=source, device="cpu"))


def load_model_with_a_silent_head(project_root):
    """The output projection of one head is zero, so nothing that is done to it can matter."""
    model = load_model(project_root)
    layer, head = SILENT
    with torch.no_grad():
        weight = model.plain_blocks[layer].self_attn.o_proj.weight
        weight[:, head * model.d_head : (head + 1) * model.d_head] = 0
    return model


def load_evaluator(project_root):
    names = ("goemotions", "sentiment")
    return TextEvaluator(
        "cpu", {name: {"source": str(project_root / "data/models" / name)} for name in names}
    )


def vectors_of(model, prompts):
    captured = capture_activations(model, prompts, ActivationSettings())
    return fit_emotion_vectors(captured, FOUR, EmotionVectorSettings())[0]


def score_table(model, seed=0):
    """Scores of every head that differ between the halves."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "layer": layer,
            "head": head,
            "emotion": "pooled",
            "half": half,
            "drop_mean": rng.normal(),
        }
        for half in ("A", "B", "both")
        for layer in range(model.n_layers)
        for head in range(model.n_heads)
    )
