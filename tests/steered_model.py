"""A shipped model with its vectors, all three evaluators, and few prompts, as fixtures."""

import pandas as pd
import pytest

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.pipelines.activations.nodes import capture_activations
from emotion_circuits.pipelines.activations.settings import ActivationSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import (
    fit_emotion_subspaces,
    fit_emotion_vectors,
)
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from emotion_circuits.prompts import PromptSource, SourceRecord
from study_emotions import FOUR


@pytest.fixture(scope="session")
def models(project_root):
    return project_root / "data" / "models"


@pytest.fixture(scope="session")
def model(models):
    source = str(models / "tiny_gpt2")
    return load_language_model(ModelSpec(name="tiny_gpt2", source=source, device="cpu"))


@pytest.fixture(scope="session")
def evaluator(models):
    names = ("sentiment", "politeness", "goemotions")
    return TextEvaluator("cpu", {name: {"source": str(models / name)} for name in names})


@pytest.fixture(scope="session")
def prompts(project_root):
    table = pd.read_json(project_root / "data/emotion_dataset_embedded.jsonl", lines=True)
    return pd.concat([table[table["split"] == "train"][:80], table[table["split"] == "test"][:32]])


@pytest.fixture(scope="session")
def fresh(project_root):
    lines = pd.read_json(project_root / "data/neutral_prompts_embedded.jsonl", lines=True)
    rows = lines[["text", "emotion"]].to_dict("records")
    return PromptSource("fresh", tuple(SourceRecord(n, row) for n, row in enumerate(rows)))


@pytest.fixture(scope="session")
def activations(model, prompts):
    return capture_activations(model, prompts, ActivationSettings())


@pytest.fixture(scope="session")
def vectors(activations):
    # What a model says is settled after the last token, so these vectors move it soonest.
    settings = EmotionVectorSettings(position_strategy="last_token")
    return fit_emotion_vectors(activations, FOUR, settings)[0]


@pytest.fixture(scope="session")
def subspaces(activations):
    settings = EmotionVectorSettings(position_strategy="last_token", n_components=3)
    return fit_emotion_subspaces(activations, FOUR, settings)
