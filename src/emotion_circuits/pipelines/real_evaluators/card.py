"""Card of an evaluator of natural English, written from its measures."""

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from emotion_circuits.training.trained import Trained


def evaluator_card(trained: Trained, measures: pd.DataFrame) -> str:
    """Write an evaluator's card.

    Args:
        trained: The classifier with the record of its training.
        measures: The result of ``measure_evaluator``.

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
        f"{lines}\n"
    )


def _line(row: Mapping[Hashable, Any]) -> str:
    auroc = f"{row['auroc']:.2f} [{row['ci_lower']:.2f}, {row['ci_upper']:.2f}]"
    view = row["view"].replace("_", " ")
    cells = (row["texts"], view, row["emotion"], row["n_emotion"], row["n_neutral"], auroc)
    return "| " + " | ".join(map(str, cells)) + " |"
