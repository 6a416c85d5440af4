"""Three pipelines: training, training with further seeds, and evaluation of existing models."""

from collections.abc import Mapping
from typing import Any

from kedro.pipeline import Node, Pipeline

from emotion_circuits.pipelines.embedded_models.nodes import (
    judge_evaluator,
    judge_language_model,
    train_goemotions,
    train_politeness,
    train_sentiment,
    train_tiny_gpt2,
    train_tiny_llama,
    trainer_with_seed,
    write_card,
    write_prompts,
)

Endings = Mapping[str, Mapping[int, str]]  # by language model and seed

_SETTINGS = "params:embedded_models"
_REPORT = ["embedded_models_report"]
LANGUAGE_MODELS = {"tiny_gpt2": train_tiny_gpt2, "tiny_llama": train_tiny_llama}
EVALUATORS = {
    "sentiment": train_sentiment,
    "politeness": train_politeness,
    "goemotions": train_goemotions,
}


def seed_endings(parameters: Mapping[str, Any]) -> Endings:
    """Return the ending of each seed's datasets: empty for the included model.

    Args:
        parameters: The raw group ``embedded_models``. Impossible values count as no further seeds
            here; the nodes' validation refuses them.

    Returns:
        By language model and seed ``""``, or ``_seed_<seed>`` for a model that is not included.
    """
    seeds = parameters.get("seeds")
    endings = {}
    for name in LANGUAGE_MODELS:
        plan = parameters.get(name)
        own = plan.get("seed", 0) if isinstance(plan, Mapping) else 0
        wanted = (
            [seed for seed in seeds if isinstance(seed, int)] if isinstance(seeds, list) else []
        )
        endings[name] = {own: ""} | {seed: f"_seed_{seed}" for seed in wanted if seed != own}
    return endings


def create_pipeline(endings: Endings) -> Pipeline:
    """Create the pipeline that trains all models that the project includes, and judges them.

    Args:
        endings: The result of ``seed_endings``.
    """
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
    return Pipeline([prompts, *training]) + create_report_pipeline(endings)


def create_seeds_pipeline(endings: Endings) -> Pipeline:
    """Create the pipeline that trains language models with further seeds, into the results.

    Args:
        endings: The result of ``seed_endings``.
    """
    return Pipeline(
        Node(
            trainer_with_seed(name, seed),
            _SETTINGS,
            f"trained_{name}{ending}",
            name=f"train_{name}{ending}",
            tags=["embedded_models_seeds"],
        )
        for name, of_model in endings.items()
        for seed, ending in of_model.items()
        if ending
    )


def create_report_pipeline(endings: Endings) -> Pipeline:
    """Create the pipeline that measures the gates of trained models, and writes their cards.

    Args:
        endings: The result of ``seed_endings``.
    """
    return Pipeline(
        [
            *(_judge(name, seed, endings) for name in LANGUAGE_MODELS for seed in endings[name]),
            *(_card(name, endings[name]) for name in LANGUAGE_MODELS),
            *(
                Node(
                    judge_evaluator,
                    [f"trained_{name}", _SETTINGS],
                    [f"gates_{name}", f"card_{name}"],
                    name=f"judge_{name}",
                    tags=_REPORT,
                )
                for name in EVALUATORS
            ),
        ]
    )


def _judge(name: str, seed: int, endings: Endings) -> Node:
    """Create the node that measures a model, and its overlap with the other of the same seed."""
    (other,) = LANGUAGE_MODELS.keys() - {name}
    ending = endings[name][seed]
    partner = f"trained_{other}{endings[other].get(seed, '')}"
    return Node(
        judge_language_model,
        [f"trained_{name}{ending}", partner, "trained_goemotions", _SETTINGS],
        f"gates_{name}{ending}",
        name=f"judge_{name}{ending}",
        tags=_REPORT,
    )


def _card(name: str, endings: Mapping[int, str]) -> Node:
    """Create the node that writes a model's card from the gates of all its seeds."""
    of_seeds = {
        f"{kind}_{seed}": f"{kind}_{name}{ending}"
        for seed, ending in endings.items()
        for kind in ("trained", "gates")
        if ending
    }
    return Node(
        write_card,
        {"trained": f"trained_{name}", "gates": f"gates_{name}", **of_seeds},
        [f"seeds_{name}", f"card_{name}"],
        name=f"write_card_{name}",
        tags=_REPORT,
    )
