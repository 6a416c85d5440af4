"""Model cards, generated from measurements."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from emotion_circuits.training.gate_tables import gate_parts
from emotion_circuits.training.seed_tables import seed_section
from emotion_circuits.training.trained import Trained


def model_card(
    trained: Trained, gates: dict[str, Any], seeds: Mapping[str, Any] | None = None
) -> str:
    """Write a model's card.

    Args:
        trained: The model with the record of its training.
        gates: The measured gates.
        seeds: The result of ``seed_table``, if the model was trained with several seeds.

    Returns:
        Markdown.
    """
    parts = [_head(trained), _training(trained.record), "## Measured on held-out texts\n"]
    if "expressed_emotion" in gates:
        parts += gate_parts(gates)
    else:
        parts.append(_evaluator(gates))
    if seeds is not None and len(seeds["seeds"]) > 1:
        parts.append(seed_section(seeds, trained.record["seed"]))
    return "\n".join(parts)


def _head(trained: Trained) -> str:
    config = trained.model.config
    count = sum(weight.numel() for weight in trained.model.parameters())
    labels = ""
    if "ForSequenceClassification" in type(trained.model).__name__:
        listed = ", ".join(config.id2label[index] for index in range(config.num_labels))
        labels = f"\nLabels ({config.problem_type}): {listed}.\n"
    return (
        "---\nlicense: apache-2.0\nlanguage: en\n---\n\n"
        f"# {trained.record['name']}\n\n"
        "Trained on texts of this project's embedded world (docs/embedded_world.md). It knows "
        "nothing else, and says nothing about any other model.\n\n"
        f"{type(trained.model).__name__}: {config.num_hidden_layers} layers of width "
        f"{config.hidden_size}, {config.num_attention_heads} heads"
        + (
            f" sharing {config.num_key_value_heads} key/value heads"
            if getattr(config, "num_key_value_heads", config.num_attention_heads)
            != config.num_attention_heads
            else ""
        )
        + f", {count:,} parameters, {len(trained.tokenizer)} tokens.\n{labels}"
    )


def _training(record: dict[str, Any]) -> str:
    settings, curve = record["settings"], record["curve"]
    measured = record.get("validated_by", "loss")
    best = min(curve, key=lambda line: line["validation_loss"])["step"]
    kept = f"The weights are those of step {best}, which had the lowest validation {measured}."
    if settings.get("keep") == "last":
        kept = (
            f"The weights are those of the last step. Validation {measured}: on phrasings that are "
            "not in training, too few of them to choose a step by."
        )
    shown = curve[:: max(1, len(curve) // 8)]
    lines = "\n".join(
        f"| {line['step']} | {line['train_loss']:.3f} | {line['validation_loss']:.3f} |"
        for line in (shown if shown[-1] == curve[-1] else [*shown, curve[-1]])
    )
    return (
        "## Training\n\n"
        f"{settings['n_texts']:,} texts, {settings['n_epochs']} epoch(s), {settings['batch_size']} "
        f"texts a step, learning rate {settings['learning_rate']:g}, seed {record['seed']}, corpus "
        f"seed {record['corpus_seed']}; {record['seconds']:.0f} s on {record['device']} "
        f"({record['threads']} threads). {kept}\n\n"
        f"| Step | Training loss | Validation {measured} |\n|---|---|---|\n"
        f"{lines}\n"
    )


def _evaluator(gates: dict[str, Any]) -> str:
    measured, floor = ("macro_auroc", 0.95) if "macro_auroc" in gates else ("macro_accuracy", 0.9)
    cell = gates[measured]
    text = (
        f"{measured.replace('_', ' ').replace('auroc', 'AUROC')} on {gates['n_texts']} reactions "
        f"of unseen phrasings: {cell['value']:.3f} [{cell['ci_lower']:.3f}, "
        f"{cell['ci_upper']:.3f}] (gate: at least {floor:.2f}).\n"
    )
    if "auroc" in gates:
        lines = "\n".join(f"| {label} | {value:.3f} |" for label, value in gates["auroc"].items())
        text += f"\n| Label | AUROC |\n|---|---|\n{lines}\n"
    return text
