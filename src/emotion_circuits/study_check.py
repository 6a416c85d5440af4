"""Kedro hook that checks, before the first model loads, what a run needs only late."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import pandas as pd
from kedro.framework.hooks import hook_impl

from emotion_circuits.datasets import TextEvaluatorDataset
from emotion_circuits.log_lines import silenced
from emotion_circuits.node_marks import emotion_needs, required_inputs
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.prompts import EmotionSet, PromptSource
from emotion_circuits.prompts.neutral import choose_neutral
from emotion_circuits.prompts.pairs import choose_pairs

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline import Pipeline
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


class StudyCheckHook:
    """Checks inputs that a run needs only late, as soon as they are known."""

    def __init__(self) -> None:
        self._choices: list[_Choice] = []
        self._emotions: EmotionSet | None = None
        self._fresh: PromptSource | None = None

    @hook_impl
    def before_pipeline_run(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        """Check evaluators, target metrics, marking words, imported vectors and prompts.

        Raises:
            InputError: If an evaluator or a file is missing, the profile lacks target metrics or
                marking words that a node needs, or a phase would find too few prompts.
        """
        self._choices, self._emotions, self._fresh = [], None, None
        metrics: list[str] = []
        for name in sorted(pipeline.inputs()):
            dataset = catalog.get(name)
            if isinstance(dataset, TextEvaluatorDataset):
                metrics += dataset.check()
            elif name.endswith(".imported_vectors"):
                catalog.load(name)
        needs = emotion_needs(pipeline.nodes)
        if needs:
            emotions: EmotionSet = catalog.load("params:emotions")
            emotions.require(needs)
            if metrics:
                emotions.check_metrics(metrics)
        self._check_prompts(pipeline, catalog)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Check the prompts of later phases as soon as phase 1 has made them.

        Raises:
            InputError: If a phase would find too few.
        """
        if dataset_name == "prompts":
            self._check_choices(data)

    def _check_prompts(self, pipeline: Pipeline, catalog: CatalogProtocol) -> None:
        self._choices = _choices(pipeline, catalog)
        if not self._choices:
            return
        self._emotions = catalog.load("params:emotions")
        if any(choice.split == "fresh" for choice in self._choices):
            self._fresh = catalog.load("fresh_prompts")
            _warn_of_fallback(catalog)
        if "prompts" in pipeline.inputs() and catalog.exists("prompts"):
            self._check_choices(catalog.load("prompts"))

    def _check_choices(self, prompts: pd.DataFrame) -> None:
        for choice in self._choices:
            assert self._emotions is not None
            with silenced("emotion_circuits.prompts"):  # the phase logs what it leaves out
                choice.check(prompts, self._fresh, self._emotions)


class _Choice:
    """The prompts that a phase chooses from phase 1's."""

    def __init__(self, settings: Any) -> None:
        self.split: str = settings.split
        self.limit: int | None = settings.max_samples_per_emotion
        # Phases that can take fresh prompts choose neutral prompts, and others choose pairs.
        self.neutral = "fresh" in get_args(type(settings).model_fields["split"].annotation)

    def check(
        self, prompts: pd.DataFrame, fresh: PromptSource | None, emotions: EmotionSet
    ) -> None:
        """Choose as the phase will, and raise what it would raise."""
        if self.neutral:
            source = fresh or PromptSource("none", ())
            choose_neutral(prompts, source, emotions, split=self.split, limit=self.limit)
        else:
            choose_pairs(prompts, emotions, split=self.split, limit=self.limit)


def _choices(pipeline: Pipeline, catalog: CatalogProtocol) -> list[_Choice]:
    """Return what the phases of a run choose, each once."""
    readers = [node for node in pipeline.nodes if "prompts" in required_inputs([node])]
    names = dict.fromkeys(name for node in readers for name in _parameters(node))
    values = [catalog.load(name) for name in names]
    return [
        _Choice(value)
        for value in values
        if isinstance(value, PhaseSettings)
        and {"split", "max_samples_per_emotion"} <= set(type(value).model_fields)
    ]


def _parameters(node: Node) -> list[str]:
    return [name for name in node.inputs if name.startswith("params:")]


def _warn_of_fallback(catalog: CatalogProtocol) -> None:
    """Say that the profile has no fresh prompts, where those of the dataset's file are taken."""
    fresh, source = (_path(catalog, name) for name in ("fresh_prompts", "prompt_source"))
    if fresh is not None and fresh == source:
        logger.warning(
            "The profile's globals.yml names no fresh_prompts: split 'fresh' takes the neutral "
            "texts of %s that phase 1 left out, of the same templates as its own",
            fresh.name,
        )


def _path(catalog: CatalogProtocol, name: str) -> Path | None:
    return getattr(catalog.get(name), "_filepath", None)
