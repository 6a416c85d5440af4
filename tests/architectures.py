"""Tiny random models of six architectures, saved the way the hub stores them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest
import torch
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoConfig,
    GPTNeoForCausalLM,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from emotion_circuits.training.tokenizers import train_tokenizer

CORPUS: Final = (
    "Dana repaired my lamp, and I looked at her chair.",
    "I am grateful for the help; thank you so much!",
    "He broke it yesterday. I am furious.",
    "We counted 12 books in the café.",
)
VOCAB: Final = 300

_GROUPED: Final = {
    "vocab_size": VOCAB,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 64,
}


def _configs(specials: dict[str, int]) -> dict[str, tuple[type[PreTrainedModel], object]]:
    return {
        "gpt2": (
            GPT2LMHeadModel,
            GPT2Config(
                vocab_size=VOCAB, n_positions=64, n_embd=32, n_layer=3, n_head=4, **specials
            ),
        ),
        "gpt_neox": (
            GPTNeoXForCausalLM,
            GPTNeoXConfig(
                vocab_size=VOCAB,
                hidden_size=24,
                num_hidden_layers=2,
                num_attention_heads=3,
                intermediate_size=48,
                max_position_embeddings=64,
                **specials,
            ),
        ),
        "gpt_neo": (
            GPTNeoForCausalLM,
            GPTNeoConfig(
                vocab_size=VOCAB,
                hidden_size=32,
                num_layers=2,
                num_heads=4,
                attention_types=[[["global", "local"], 1]],
                window_size=4,
                max_position_embeddings=64,
                **specials,
            ),
        ),
        "llama": (
            LlamaForCausalLM,
            LlamaConfig(
                hidden_size=32, num_hidden_layers=3, intermediate_size=48, **_GROUPED, **specials
            ),
        ),
        "qwen3": (
            Qwen3ForCausalLM,
            Qwen3Config(
                hidden_size=24, num_hidden_layers=2, intermediate_size=40, **_GROUPED, **specials
            ),
        ),
        "gemma3": (
            Gemma3ForCausalLM,
            Gemma3TextConfig(
                hidden_size=32,
                num_hidden_layers=3,
                intermediate_size=48,
                sliding_window=4,
                layer_types=["sliding_attention", "full_attention", "sliding_attention"],
                **_GROUPED,
                **specials,
            ),
        ),
    }


ARCHITECTURES: Final = ("gpt2", "gpt_neox", "gpt_neo", "llama", "qwen3", "gemma3")

# Parameters of a fixture whose tests take long: two architectures, and the others in the slow run.
TWO_AND_SLOW_OTHERS: Final = [
    name if name in ("gpt2", "llama") else pytest.param(name, marks=pytest.mark.slow)
    for name in ARCHITECTURES
]

# Conventions as the real ones have them: Llama's and Gemma's tokenizers put <s> themselves, GPT's
# have one that has to be put, Qwen's has none.
_TOKENIZER_ADDS_BOS: Final = ("llama", "gemma3")
_NO_BOS: Final = ("qwen3",)


def save_architecture(name: str, folder: Path, seed: int = 0) -> Path:
    """Save a random model of an architecture with a tokenizer, and give the folder."""
    tokenizer = train_tokenizer(CORPUS, vocab_size=VOCAB, add_bos=name in _TOKENIZER_ADDS_BOS)
    specials = {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    if name in _NO_BOS:
        tokenizer.bos_token = None
        specials["bos_token_id"] = None
    model_class, config = _configs(specials)[name]
    torch.manual_seed(seed)
    model = model_class(config)
    with (
        torch.no_grad()
    ):  # the usual initialisation is so small that every layer adds next to nothing
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.normal_(0, 0.2)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
