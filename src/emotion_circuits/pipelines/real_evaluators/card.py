"""Card of an evaluator of natural English, written from its measures."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from emotion_circuits.training.trained import Trained


def evaluator_card(
    trained: Trained, measures: pd.DataFrame, own_labels: pd.DataFrame | None = None
) -> str:
    """Write an evaluator's card.

    Args:
        trained: The classifier with the record of its training.
        measures: The result of ``measure_evaluator``.
        own_labels: The result of ``measure_labels``, if the labels are not the study's.

    Returns:
        Markdown.
    """
    record, config = trained.record, trained.model.config
    settings, curve = record["settings"], record["curve"]
    best = min(curve, key=lambda line: line["validation_loss"])
    labels = ", ".join(config.id2label[index] for index in range(config.num_labels))
    lines = "\n".join(map(_line, measures.to_dict("records")))
    return (
        f"# {record['name']}\n\n"
        f"{type(trained.model).__name__}, fine-tuned from `{record['source']}` on "
        f"{settings['n_texts']:,} texts: {settings['n_epochs']} epochs, {settings['batch_size']} "
        f"texts a step, learning rate {settings['learning_rate']:g}, seed {record['seed']}; "
        f"{record['seconds']:.0f} s on {record['device']} ({record['threads']} threads). The "
        f"weights are those of step {best['step']} of {curve[-1]['step']}, which had the lowest "
        f"validation error, {best['validation_loss']:.3f}.\n\n"
        f"Labels ({config.problem_type}): {labels}.\n\n"
        "## An emotion against neutral texts\n\n"
        "AUROC with its 95 % interval over templates, or over texts if they have none. Masked: "
        "words that name an emotion are hidden.\n\n"
        "| Texts | View | Emotion | n | Neutral | AUROC |\n|---|---|---|---|---|---|\n"
        f"{lines}\n{'' if own_labels is None else _labels_section(own_labels)}"
    )


def _labels_section(own_labels: pd.DataFrame) -> str:
    *lines, macro = own_labels.to_dict("records")
    rows = "\n".join(
        f"| {line['emotion']} | {line['n_emotion']} | {line['n_neutral']} | {_interval(line)} |"
        for line in lines
    )
    return (
        f"\n## Each label against all other comments\n\n"
        f"Macro AUROC over {len(lines)} labels: {macro['auroc']:.3f}. Comments that chose the step "
        "are left out.\n\n| Label | n | Others | AUROC |\n|---|---|---|---|\n"
        f"{rows}\n"
    )


def _line(row: Mapping[Hashable, Any]) -> str:
    view = row["view"].replace("_", " ")
    cells = (row["texts"], view, row["emotion"], row["n_emotion"], row["n_neutral"], _interval(row))
    return "| " + " | ".join(map(str, cells)) + " |"


def _interval(row: Mapping[Hashable, Any]) -> str:
    return f"{row['auroc']:.2f} [{row['ci_lower']:.2f}, {row['ci_upper']:.2f}]"
