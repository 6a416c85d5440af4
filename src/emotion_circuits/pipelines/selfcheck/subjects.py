"""Models to check: built ones, or folders with a planted.json."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model
from emotion_circuits.language_models.loading import wrap_language_model
from emotion_circuits.pipelines.selfcheck.settings import SelfcheckSettings
from emotion_circuits.planted import PlantedTruth, build_planted
from emotion_circuits.prompts import EmotionSet, PromptSource, SourceRecord, standard_form

_METRIC = "markers"
# What is added to a seed for the directions of a rotated copy.
_OTHER_BASIS = 1_000_000


@dataclass(frozen=True)
class PlantedSubject:
    """A model to check.

    Attributes:
        name: Its name in tables.
        model: The model.
        prompts: Phase 1's table.
        truth: What is known of it.
        planted: Whether a circuit is there.
        rotated: The same model in a rotated stream; None if there is none.
    """

    name: str
    model: LanguageModel
    prompts: pd.DataFrame
    truth: PlantedTruth
    planted: bool
    rotated: PlantedSubject | None = None

    @property
    def emotions(self) -> EmotionSet:
        """The study's emotions; an emotion is measured by counting its reactions."""
        names = self.truth.emotions
        return EmotionSet(
            names=names,
            neutral=self.truth.neutral,
            target_metrics={name: f"{_METRIC}/{name}" for name in names},
            marking_words=self.truth.reactions,
        )

    @property
    def evaluator(self) -> TextEvaluator:
        """The evaluator that counts reactions."""
        words = {name: [f"{word}$" for word in self.truth.reactions[name]] for name in
                 self.truth.emotions}  # fmt: skip
        return TextEvaluator("cpu", {_METRIC: {"kind": "markers", "words": words}})


def subjects(settings: SelfcheckSettings) -> Iterator[PlantedSubject]:
    """Yield the models to check, each built or loaded when its turn comes.

    Raises:
        InputError: If a folder lacks a model, its ``planted.json`` or its prompts, or if these do
            not fit together.
    """
    if settings.models:
        yield from (_from_folder(Path(folder)) for folder in settings.models)
        return
    for planted, number in ((True, settings.n_seeds), (False, settings.n_unplanted)):
        for index in range(number):
            yield _built(settings, index, planted=planted)


def _spec(name: str, source: str) -> ModelSpec:
    return ModelSpec.model_validate({"name": name, "source": source, "device": "cpu"})


def _built(settings: SelfcheckSettings, index: int, *, planted: bool) -> PlantedSubject:
    seed = settings.first_seed + index
    subject = _of_basis(settings, index, planted=planted, basis_seed=seed)
    if not planted:
        return subject
    rotated = _of_basis(settings, index, planted=True, basis_seed=seed + _OTHER_BASIS)
    return replace(subject, rotated=replace(rotated, name=f"{subject.name}_rotated"))


def _of_basis(
    settings: SelfcheckSettings, index: int, *, planted: bool, basis_seed: int
) -> PlantedSubject:
    shape = settings.shapes[index % len(settings.shapes)]
    seed = settings.first_seed + index
    kind = "planted" if planted else "unplanted"
    name = f"{kind}_{shape.architecture}_{shape.n_layers}x{shape.n_heads}_{seed}"
    built = build_planted(shape, seed=seed, planted=planted, basis_seed=basis_seed)
    model = wrap_language_model(_spec(name, name), built.model, built.tokenizer)
    return PlantedSubject(name, model, built.prompts, built.truth, planted)


def _from_folder(folder: Path) -> PlantedSubject:
    truth = PlantedTruth.read(folder)
    model = load_language_model(_spec(folder.name, str(folder)))
    _check_size(model, truth, folder)
    subject = PlantedSubject(
        folder.name, model, pd.DataFrame(), truth, bool(truth.nodes or truth.directions)
    )
    path = folder / truth.prompts
    if not path.is_file():
        raise InputError(f"{path} is missing; planted.json names it as the file of prompts")
    try:
        lines = pd.read_json(path, lines=True)
    except ValueError as error:
        raise InputError(f"{path} is no JSON of one record a line: {error}") from error
    records = enumerate(lines.to_dict("records"), start=1)
    source = PromptSource(
        str(path),
        tuple(
            SourceRecord(line, {str(key): value for key, value in fields.items()})
            for line, fields in records
        ),
    )
    prompts = standard_form(source, subject.emotions, on_duplicate="drop").table
    return PlantedSubject(subject.name, model, prompts, truth, subject.planted)


def _check_size(model: LanguageModel, truth: PlantedTruth, folder: Path) -> None:
    for size in ("n_layers", "n_heads", "d_model"):
        known, seen = getattr(truth, size), getattr(model, size)
        if known != seen:
            raise InputError(f"{folder}: planted.json has {size} {known}; the model has {seen}")
    highest = max(max(ids) for ids in truth.cue_tokens.values())
    if highest >= len(model.tokenizer):
        raise InputError(
            f"{folder}: cue_tokens of planted.json hold {highest}; the tokenizer has "
            f"{len(model.tokenizer)} tokens"
        )
