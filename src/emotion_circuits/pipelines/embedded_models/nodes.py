"""Training and evaluation of the embedded models."""

from collections.abc import Callable
from time import perf_counter
from typing import Any

import pandas as pd
import torch

from emotion_circuits.embedded_world import (
    emotion_prompts,
    fresh_neutral_prompts,
    generate_reactions,
    generate_texts,
)
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import resolve_device
from emotion_circuits.pipelines.embedded_models.settings import EmbeddedModelSettings
from emotion_circuits.training.architectures import build_evaluator, build_gpt2, build_llama
from emotion_circuits.training.classifier_training import train_evaluator
from emotion_circuits.training.gates import evaluator_gates, language_model_gates
from emotion_circuits.training.language_model_training import train_language_model
from emotion_circuits.training.model_card import model_card
from emotion_circuits.training.schedule import Progress, TrainingSettings
from emotion_circuits.training.seed_tables import seed_table
from emotion_circuits.training.tokenizers import train_tokenizer
from emotion_circuits.training.trained import Trained

# Enough texts for every word of the world to occur often.
_TOKENIZER_TEXTS = 20_000


def write_prompts(settings: EmbeddedModelSettings) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Draw the study's texts from combinations that no language model was trained on.

    Returns:
        The dataset, and further neutral prompts for patching.
    """
    dataset = emotion_prompts(settings.world, n_per_emotion=settings.n_prompts_per_emotion)
    fresh = fresh_neutral_prompts(settings.world, dataset["text"], n=settings.n_fresh_prompts)
    return dataset, fresh


def train_tiny_gpt2(settings: EmbeddedModelSettings) -> Trained:
    """Train the language model with GPT-2's architecture."""
    return _train_language_model("tiny_gpt2", settings)


def train_tiny_llama(settings: EmbeddedModelSettings) -> Trained:
    """Train the language model with Llama's architecture."""
    return _train_language_model("tiny_llama", settings)


def trainer_with_seed(name: str, seed: int) -> Callable[[EmbeddedModelSettings], Trained]:
    """Return the function that trains a language model with another seed than the included one.

    Args:
        name: ``tiny_gpt2`` or ``tiny_llama``.
        seed: Seed of the initial weights and of the order of the texts, which stay the same.
    """

    def train(settings: EmbeddedModelSettings) -> Trained:
        return _train_language_model(name, settings, seed)

    train.__name__ = f"train_{name}_seed_{seed}"
    return train


def _train_language_model(
    name: str, settings: EmbeddedModelSettings, seed: int | None = None
) -> Trained:
    """Train one of the two language models.

    Args:
        name: ``tiny_gpt2`` or ``tiny_llama``.
        settings: Parameters of the embedded models.
        seed: Seed of the initial weights and of the order of the texts; None for the seed of the
            model's own parameters.
    """
    plan = getattr(settings, name)
    seed = plan.seed if seed is None else seed
    texts = generate_texts(
        settings.world, split="train", n=plan.training.n_texts, seed=settings.corpus_seed
    )
    held_out = generate_texts(
        settings.world, split="validation", n=settings.n_validation, seed=settings.corpus_seed
    )
    tokenizer = train_tokenizer(
        texts["text"][:_TOKENIZER_TEXTS],
        vocab_size=settings.vocab_size,
        add_bos=name == "tiny_llama",
    )
    build = build_llama if name == "tiny_llama" else build_gpt2
    device = resolve_device(settings.device)
    model = build(plan.shape, tokenizer, seed).to(device)
    started = perf_counter()
    progress = train_language_model(
        model,
        tokenizer,
        texts,
        held_out,
        settings=plan.training,
        situation_weight=settings.situation_weight,
        seed=seed,
        name=name,
    )
    record = _record(plan.training, seed, progress, perf_counter() - started, device)
    record |= {"name": name, "corpus_seed": settings.corpus_seed}
    return Trained(model.cpu(), tokenizer, record)


def train_sentiment(settings: EmbeddedModelSettings) -> Trained:
    """Train the evaluator of sentiment, with three labels."""
    return _train_evaluator("sentiment", settings)


def train_politeness(settings: EmbeddedModelSettings) -> Trained:
    """Train the evaluator of politeness, with four labels."""
    return _train_evaluator("politeness", settings)


def train_goemotions(settings: EmbeddedModelSettings) -> Trained:
    """Train the evaluator of emotions, with the 28 labels of GoEmotions."""
    return _train_evaluator("goemotions", settings)


def _train_evaluator(name: str, settings: EmbeddedModelSettings) -> Trained:
    plan = settings.evaluators
    seed = settings.corpus_seed
    reactions = generate_reactions(
        settings.world, split="train", n=plan.training.n_texts, seed=seed
    )
    held_out = generate_reactions(
        settings.world, split="validation", n=settings.n_validation, seed=seed
    )
    tokenizer = train_tokenizer(
        reactions["text"][:_TOKENIZER_TEXTS],
        vocab_size=settings.vocab_size,
        add_bos=True,
        add_eos=True,
    )
    device = resolve_device(settings.device)
    model = build_evaluator(name, plan.shape, tokenizer, plan.dropout, plan.seed).to(device)
    started = perf_counter()
    progress = train_evaluator(
        model,
        tokenizer,
        name,
        reactions,
        held_out,
        settings=plan.training,
        word_dropout=plan.word_dropout[name],
        seed=plan.seed,
    )
    record = _record(plan.training, plan.seed, progress, perf_counter() - started, device)
    record |= {"name": name, "corpus_seed": seed, "validated_by": "error"}
    return Trained(model.cpu(), tokenizer, record)


def _record(
    training: TrainingSettings, seed: int, progress: Progress, seconds: float, device: torch.device
) -> dict[str, Any]:
    return {
        "settings": training.model_dump(),
        "seed": seed,
        "device": device.type,
        "threads": torch.get_num_threads(),
        "seconds": round(seconds, 1),
        "stopped_early": progress.stopped_early,
        "curve": progress.curve(),
    }


def judge_language_model(
    trained: Trained, other: Trained, goemotions: Trained, settings: EmbeddedModelSettings
) -> dict[str, Any]:
    """Measure a language model on held-out situations.

    Args:
        trained: The language model.
        other: The other language model, with the same seed, for their overlap.
        goemotions: The evaluator of the model's reactions.
        settings: Parameters of the embedded models.

    Returns:
        The gates.
    """
    return language_model_gates(
        trained,
        other,
        goemotions,
        settings.world,
        n_texts=settings.n_gate_texts,
        n_prompts=settings.n_gate_prompts,
        n_random=settings.n_gate_directions,
        layers_up_to=settings.layers_up_to,
        seed=settings.gate_seed,
    )


def write_card(
    trained: Trained, gates: dict[str, Any], **others: Any
) -> tuple[dict[str, Any], str]:
    """Write a language model's card, with what holds for other seeds.

    Args:
        trained: The included model.
        gates: Its gates.
        others: For each further seed, ``trained_<seed>`` and ``gates_<seed>``.

    Returns:
        The table of seeds, and the card in Markdown.

    Raises:
        InputError: If a model of another seed was trained otherwise than the included one.
    """
    by_seed = {trained.record["seed"]: gates}
    for name in others:
        kind, _, seed = name.partition("_")
        if kind == "trained":
            _check_alike(trained, others[name], int(seed))
            by_seed[int(seed)] = others[f"gates_{seed}"]
    table = seed_table(dict(sorted(by_seed.items())))
    return table, model_card(trained, gates, table)


def _check_alike(included: Trained, other: Trained, seed: int) -> None:
    """Refuse a model that differs from the included one in more than its seed."""
    for part, wanted, seen in (
        ("seed", seed, other.record["seed"]),
        ("corpus seed", included.record["corpus_seed"], other.record["corpus_seed"]),
        ("training settings", _settings(included), _settings(other)),
        ("shape", _shapes(included), _shapes(other)),
        # The tokenizer comes from the texts: those of another world give another one.
        ("vocabulary", included.tokenizer.get_vocab(), other.tokenizer.get_vocab()),
    ):
        if wanted != seen:
            raise InputError(
                f"{included.record['name']} of seed {seed} differs from the included model in its "
                f"{part}; delete its folder, and --pipelines=embedded_models_report trains it anew"
            )


def _settings(trained: Trained) -> TrainingSettings:
    # A record that lacks a setting is older than the setting, and had its default.
    return TrainingSettings(**trained.record["settings"])


def _shapes(trained: Trained) -> dict[str, tuple[int, ...]]:
    return {name: tuple(value.shape) for name, value in trained.model.state_dict().items()}


def judge_evaluator(
    trained: Trained, settings: EmbeddedModelSettings
) -> tuple[dict[str, Any], str]:
    """Measure an evaluator on unseen phrasings, and write its card.

    Returns:
        The gates, and the card in Markdown.
    """
    gates = evaluator_gates(
        trained, settings.world, n_texts=settings.n_gate_texts, seed=settings.gate_seed
    )
    return gates, model_card(trained, gates)
