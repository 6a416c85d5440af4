"""Training and measuring of the evaluators of natural English."""

from collections.abc import Mapping
from typing import Final

from kedro.pipeline import Node, Pipeline

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.real_evaluators.nodes import (
    judge_emotions,
    judge_goemotions,
    train_emotions,
    train_goemotions,
)

_SETTINGS = "params:real_evaluators"
# Files of GoEmotions that the user may bring, as parameters or in the profile's globals.yml.
GOEMOTIONS_FILES: Final = ("goemotions_train", "goemotions_dev", "goemotions_labels")


def create_pipeline(files: Mapping[str, object]) -> Pipeline:
    """Create the pipeline.

    Args:
        files: The files of ``GOEMOTIONS_FILES`` that are given. Without one to train on there is
            no evaluator of GoEmotions' labels; without one to measure on, no measure on it.

    Raises:
        InputError: If a file is given without one that it needs.
    """
    given = [name for name in GOEMOTIONS_FILES if files.get(name)]
    needed = {"goemotions_train": GOEMOTIONS_FILES[1:], "goemotions_dev": GOEMOTIONS_FILES[2:]}
    for name in given:
        for other in needed.get(name, ()):
            if other not in given:
                raise InputError(f"{name} is given, but {other} is not")
    dev = [name for name in given if name == "goemotions_dev"]
    tags = ["real_evaluators"]
    nodes = [
        Node(
            train_emotions,
            ["prompt_source", "params:emotions", _SETTINGS],
            "evaluator_emotions",
            name="train_emotions_evaluator",
            tags=tags,
        ),
        Node(
            judge_emotions,
            ["evaluator_emotions", "prompt_source", "params:emotions", *dev],
            ["evaluator_emotions_measures", "evaluator_emotions_card"],
            name="judge_emotions_evaluator",
            tags=tags,
        ),
    ]
    if "goemotions_train" in given:
        nodes += [
            Node(
                train_goemotions,
                ["goemotions_train", "goemotions_dev", _SETTINGS],
                "evaluator_goemotions",
                name="train_goemotions_evaluator",
                tags=tags,
            ),
            Node(
                judge_goemotions,
                [
                    *("evaluator_goemotions", "prompt_source", "params:emotions"),
                    *("goemotions_dev", _SETTINGS),
                ],
                ["evaluator_goemotions_measures", "evaluator_goemotions_card"],
                name="judge_goemotions_evaluator",
                tags=tags,
            ),
        ]
    return Pipeline(nodes)
