"""What the benchmarks share: the model they are measured on, and a clock."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import torch
from transformers import AutoTokenizer, GPT2Config, GPT2LMHeadModel

ROOT = Path(__file__).resolve().parents[1]


def gpt2_small_shape(folder: Path) -> Path:
    """Save a randomly initialised model of GPT-2 small's shape, with a small vocabulary."""
    tokenizer = AutoTokenizer.from_pretrained(ROOT / "data/models/tiny_gpt2")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50257, bos_token_id=tokenizer.bos_token_id or 0)
    GPT2LMHeadModel(config).save_pretrained(folder)
    return folder


def seconds(work: Callable[[], object]) -> float:
    """Run something once and time it."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start
