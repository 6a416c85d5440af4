"""Two pipelines: one trains and judges the embedded models, the other judges existing ones."""

from itertools import permutations

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.embedded_models.nodes import (
    judge_evaluator,
    judge_language_model,
    train_goemotions,
    train_politeness,
    train_sentiment,
    train_tiny_gpt2,
    train_tiny_llama,
    write_prompts,
)

_SETTINGS = "params:embedded_models"
LANGUAGE_MODELS = {"tiny_gpt2": train_tiny_gpt2, "tiny_llama": train_tiny_llama}
EVALUATORS = {
    "sentiment": train_sentiment,
    "politeness": train_politeness,
    "goemotions": train_goemotions,
}


def create_pipeline() -> Pipeline:
    """Create the pipeline that trains all models that the project ships, and judges them."""
    tags = ["embedded_models"]
    training = [
        Node(train, _SETTINGS, f"trained_{name}", name=f"train_{name}", tags=tags)
        for name, train in {**LANGUAGE_MODELS, **EVALUATORS}.items()
    ]
    prompts = Node(
        write_prompts,
        _SETTINGS,
        ["embedded_prompts", "embedded_fresh_prompts"],
        name="write_prompts",
        tags=tags,
    )
    return Pipeline([prompts, *training]) + create_report_pipeline()


def create_report_pipeline() -> Pipeline:
    """Create the pipeline that measures the gates of trained models, and writes their cards."""
    tags = ["embedded_models_report"]
    nodes = [
        Node(
            judge_language_model,
            [f"trained_{name}", f"trained_{other}", "trained_goemotions", _SETTINGS],
            [f"gates_{name}", f"card_{name}"],
            name=f"judge_{name}",
            tags=tags,
        )
        for name, other in permutations(LANGUAGE_MODELS)
    ]
    nodes += [
        Node(
            judge_evaluator,
            [f"trained_{name}", _SETTINGS],
            [f"gates_{name}", f"card_{name}"],
            name=f"judge_{name}",
            tags=tags,
        )
        for name in EVALUATORS
    ]
    return Pipeline(nodes)
