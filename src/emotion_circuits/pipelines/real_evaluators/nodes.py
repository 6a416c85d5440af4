"""Training of the evaluators of natural English, and what they are worth on other texts."""

import pandas as pd
import torch

from emotion_circuits.evaluation.masking import mask_words
from emotion_circuits.language_models import resolve_device
from emotion_circuits.node_marks import reads_more_than_its_inputs
from emotion_circuits.pipelines.real_evaluators.card import evaluator_card
from emotion_circuits.pipelines.real_evaluators.measures import measure_evaluator, measure_labels
from emotion_circuits.pipelines.real_evaluators.settings import (
    EvaluatorTraining,
    RealEvaluatorSettings,
)
from emotion_circuits.prompts import EmotionSet, PromptSource, assign_splits, standard_form
from emotion_circuits.prompts.standard_form import goemotions_labels
from emotion_circuits.seeds import rng_for
from emotion_circuits.training.fine_tuning import LabelledTexts, fine_tune
from emotion_circuits.training.schedule import TrainingSettings
from emotion_circuits.training.trained import Trained

ALL_LABELS = "GoEmotions, dev: each label against all others"
_TEST_FRACTION = 0.2  # if the file has no splits
# Comments that a validation reads; more would cost as much as the training.
_MAX_VALIDATION = 1000


@reads_more_than_its_inputs
def train_emotions(
    source: PromptSource, emotions: EmotionSet, settings: RealEvaluatorSettings
) -> Trained:
    """Train the classifier of the study's labels on the training templates of its dataset.

    Each text that names an emotion is also shown with the name masked, so that the classifier has
    to read what happened. A share of the training templates chooses the step.

    Args:
        source: The dataset's records.
        emotions: The study's emotions.
        settings: Parameters of the evaluators.
    """
    table = _read(source, emotions, "train")
    table = assign_splits(table, emotions, settings.validation_fraction, settings.seed)
    labels = list(emotions.labels)

    def labelled(split: str) -> LabelledTexts:
        texts = table[table["split"] == split]
        masked = texts.assign(text=[mask_words(text, "[MASK]") for text in texts["text"]])
        both = pd.concat([texts, masked]).drop_duplicates("text")
        one_hot = pd.get_dummies(pd.Categorical(both["emotion"], categories=labels), dtype=float)
        return LabelledTexts(both["text"].tolist(), torch.tensor(one_hot.to_numpy()).float())

    return _fine_tune(
        "emotions",
        labelled("train"),
        labelled("test"),
        labels,
        "single_label_classification",
        settings.emotions,
        settings,
    )


@reads_more_than_its_inputs
def train_goemotions(
    train: pd.DataFrame, dev: pd.DataFrame, settings: RealEvaluatorSettings
) -> Trained:
    """Train the classifier of the labels of GoEmotions, several of which may apply to a comment.

    Args:
        train: Comments with a column of booleans per label.
        dev: The same columns; a thousand of these comments choose the step.
        settings: Parameters of the evaluators.
    """
    labels = [name for name in train.columns if name != "text"]
    chosen = _validation(dev, settings)

    def labelled(table: pd.DataFrame) -> LabelledTexts:
        targets = torch.tensor(table[labels].to_numpy(dtype="float32"))
        return LabelledTexts(table["text"].tolist(), targets)

    return _fine_tune(
        "goemotions",
        labelled(train),
        labelled(chosen),
        labels,
        "multi_label_classification",
        settings.goemotions,
        settings,
    )


def _validation(dev: pd.DataFrame, settings: RealEvaluatorSettings) -> pd.DataFrame:
    """Return the comments that choose the step: a thousand, or half of fewer."""
    n = min(_MAX_VALIDATION, len(dev) // 2)
    return dev.sample(n, random_state=rng_for(settings.seed, "goemotions_validation"))


def _fine_tune(
    name: str,
    training: LabelledTexts,
    validation: LabelledTexts,
    labels: list[str],
    problem_type: str,
    plan: EvaluatorTraining,
    settings: RealEvaluatorSettings,
) -> Trained:
    n_texts = len(training.texts)
    length = TrainingSettings.model_validate(
        plan.model_dump()
        | {
            "n_texts": n_texts,
            "weight_decay": 0.01,
            # At least once per epoch, and every 4,000 texts.
            "validate_every": max(1, min(n_texts, 4000) // plan.batch_size),
            "patience": 4 * plan.n_epochs,
        }
    )
    return fine_tune(
        name,
        settings.encoder,
        training,
        validation,
        labels=labels,
        problem_type=problem_type,
        settings=length,
        word_dropout=settings.word_dropout,
        max_tokens=settings.max_tokens,
        revision=settings.revision,
        seed=settings.seed,
        device=resolve_device(settings.device),
    )


def judge_emotions(
    trained: Trained, source: PromptSource, emotions: EmotionSet, dev: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, str]:
    """Measure the classifier of the study's labels, and write its card.

    Args:
        trained: The classifier.
        source: The dataset's records, of which the test templates are used.
        emotions: The study's emotions.
        dev: GoEmotions comments, which the classifier was not made for.

    Returns:
        The measures, as ``measure_evaluator`` gives them, and the card in Markdown.
    """
    return _judge(trained, {name: name for name in emotions.names}, source, emotions, dev)


def judge_goemotions(
    trained: Trained,
    source: PromptSource,
    emotions: EmotionSet,
    dev: pd.DataFrame,
    settings: RealEvaluatorSettings,
) -> tuple[pd.DataFrame, str]:
    """Measure the classifier of GoEmotions' labels, and write its card.

    Args:
        trained: The classifier.
        source: The study's dataset, which the classifier was not made for.
        emotions: The study's emotions.
        dev: GoEmotions comments; those that chose the step are left out.
        settings: Parameters of the evaluators, as in training.

    Returns:
        As ``judge_emotions``, with lines of each label against all other comments.
    """
    own = {name: label for label, name in _goemotions_labels(emotions).items()}
    unseen = dev.drop(_validation(dev, settings).index).reset_index(drop=True)
    measures, _ = _judge(trained, own, source, emotions, unseen)
    labels = measure_labels(trained, unseen, ALL_LABELS)
    return pd.concat([measures, labels], ignore_index=True), evaluator_card(
        trained, measures, labels
    )


def _judge(
    trained: Trained,
    label_of: dict[str, str],
    source: PromptSource,
    emotions: EmotionSet,
    dev: pd.DataFrame | None,
) -> tuple[pd.DataFrame, str]:
    tables: dict[str, pd.DataFrame] = {f"{source.name}, test": _read(source, emotions, "test")}
    if dev is not None:
        tables["GoEmotions, dev"] = _single_labels(dev, emotions)
    measures = measure_evaluator(trained, tables, label_of, emotions)
    return measures, evaluator_card(trained, measures)


def _read(source: PromptSource, emotions: EmotionSet, split: str) -> pd.DataFrame:
    table, _ = standard_form(source, emotions)
    if (table["split"] == "").any():
        table = assign_splits(table, emotions, _TEST_FRACTION, 0)
    return table[table["split"] == split].reset_index(drop=True)


def _single_labels(dev: pd.DataFrame, emotions: EmotionSet) -> pd.DataFrame:
    """Return the comments with one label only, which is one of the study's."""
    own = _goemotions_labels(emotions)
    labels = dev.drop(columns="text")
    single = labels.sum(axis=1) == 1
    named = labels.idxmax(axis=1)[single & labels.idxmax(axis=1).isin(list(own))]
    return pd.DataFrame(
        {"text": dev.loc[named.index, "text"], "emotion": named.map(own), "explicit": False}
    ).drop_duplicates("text")


def _goemotions_labels(emotions: EmotionSet) -> dict[str, str]:
    """Return the study's label by GoEmotions' label, whatever metrics the profile measures by."""
    return goemotions_labels(
        EmotionSet.model_validate({"names": emotions.names, "neutral": emotions.neutral})
    )
