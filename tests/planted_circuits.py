"""A planted model with its vectors, its sweep and a file of circuits, as the phases make them."""

from __future__ import annotations

from typing import NamedTuple

import pandas as pd

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.language_models import LanguageModel, ModelSpec
from emotion_circuits.language_models.loading import wrap_language_model
from emotion_circuits.pipelines.activations.nodes import capture_activations
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import fit_emotion_vectors
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from emotion_circuits.pipelines.residual_patching.nodes import sweep_emotions
from emotion_circuits.planted import PlantedModel, PlantedShape, build_planted
from emotion_circuits.prompts import EmotionSet, PromptSource

N_PAIRS = 6
STEERING = SteeringSettings(
    split="test", max_samples_per_emotion=10, alphas=[1.0, 2.0], layers_up_to=1.0,
    sequence_length=3, n_bootstrap=50,
)  # fmt: skip


class Planted(NamedTuple):
    """Everything the phase reads."""

    built: PlantedModel
    model: LanguageModel
    evaluator: TextEvaluator
    emotions: EmotionSet
    activations: dict
    vectors: dict
    sweep: dict


def plant(folder, shape=None, seed=3):
    built = build_planted(shape or PlantedShape(), seed=seed)
    spec = ModelSpec.model_validate({"name": "planted", "source": "planted", "device": "cpu"})
    model = wrap_language_model(spec, built.model, built.tokenizer)
    truth = built.truth
    emotions = EmotionSet(
        names=truth.emotions,
        neutral=truth.neutral,
        target_metrics={name: f"markers/{name}" for name in truth.emotions},
        marking_words=truth.reactions,
    )
    words = {name: [f"{word}$" for word in truth.reactions[name]] for name in truth.emotions}
    evaluator = TextEvaluator("cpu", {"markers": {"kind": "markers", "words": words}})
    activations = capture_activations(model, built.prompts, ActivationSettings())
    recipe = EmotionVectorSettings(position_strategy="last_token")
    vectors = fit_emotion_vectors(activations, emotions, recipe)[0]
    sweep = sweep_emotions(
        *(model, evaluator, vectors, {}, built.prompts, PromptSource("none", ())),
        *(Checkpoint(folder / "rows"), "test", emotions, STEERING),
    )
    return Planted(built, model, evaluator, emotions, activations, vectors, sweep)


def planted_nodes(planted):
    """The nodes that carry each emotion."""
    return {
        emotion: [node.node for node in planted.built.truth.nodes if emotion in node.emotions]
        for emotion in planted.emotions.names
    }


def circuit_file(planted, nodes, *, limit=N_PAIRS, split="test"):
    """The file of circuits with the same nodes for both halves and for all pairs."""
    pairs = PairedPrompts.prepare(
        planted.model, planted.built.prompts, planted.emotions, split=split, limit=limit
    )
    listed = {emotion: [{"node": name} for name in names] for emotion, names in nodes.items()}
    return {
        "model": planted.model.name,
        "settings": {"split": split, "max_samples_per_emotion": limit},
        "circuits": {
            emotion: {
                "n_pairs": len(pairs.pairs(emotion)),
                "halves": {half: {"members": lines} for half in ("A", "B")},
                "nodes": lines,
                "consensus": [line["node"] for line in lines],
            }
            for emotion, lines in listed.items()
        },
    }


def own_lines(lines: pd.DataFrame, **where) -> pd.DataFrame:
    kept = lines
    for name, value in where.items():
        kept = kept[kept[name] == value]
    return kept
