"""Screening's contrast of log odds, recomputed in plain PyTorch on a planted model."""

import numpy as np
import pytest

from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.language_models import ModelSpec
from emotion_circuits.language_models.loading import wrap_language_model
from emotion_circuits.pipelines.head_screening.nodes import screen_heads
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.planted import PlantedShape, build_planted, planted_emotions
from plain_ablation import mean_odds


@pytest.fixture(scope="module")
def small():
    return build_planted(PlantedShape(n_layers=3, n_heads=5), seed=0)


def test_the_contrast_of_log_odds_is_that_of_ablating_in_plain_pytorch(small):
    truth = small.truth
    emotions = planted_emotions(truth.emotions, truth.neutral)
    spec = ModelSpec(name="small", source="small", device="cpu")
    model = wrap_language_model(spec, small.model, small.tokenizer)
    evaluator = TextEvaluator("cpu", {"markers": {"kind": "markers", "words": truth.reactions}})
    vectors = {
        "emotion_vectors": {name: np.ones((3, truth.d_model)) for name in truth.emotions},
        "metadata": {"layer_indices": [0, 1, 2], "hook_pos": "resid_post"},
    }
    settings = HeadScreeningSettings(
        ablations=["zero"], sequence_length=1, n_bootstrap=2, max_samples_per_emotion=4
    )
    _, table, _ = screen_heads(model, evaluator, small.prompts, vectors, emotions, settings, "test")
    pairs = settings.paired_prompts(model, small.prompts, emotions)
    both = table[table["half"] == "both"].set_index(["emotion", "layer", "head"])
    speaker = next(node.node for node in truth.heads if node.role == "express")
    for name in (speaker, "a0.h0", "a2.h4"):
        layer, head = (int(part) for part in name[1:].split(".h"))
        for emotion in truth.emotions:
            indices = pairs.pairs(emotion)
            drops = []
            for side in (0, 1):
                texts = [pairs.table["text"][pair[side]] for pair in indices]
                before = mean_odds(small, texts, emotion)
                drops.append(before - mean_odds(small, texts, emotion, without=[name]))
            row = both.loc[(emotion, layer, head)]
            # Float32 on both sides, over other kernels.
            assert row["logit_drop_zero"] == pytest.approx(drops[0], abs=1e-3)
            assert row["logit_contrast_drop_zero"] == pytest.approx(drops[0] - drops[1], abs=1e-3)
