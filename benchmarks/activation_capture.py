"""What capturing every layer costs over a plain forward pass of the same padded batches.

Both run in this process, in turns, on the same weights and the same batches; the figure is the
median over rounds of the ratio of the two times. The plain pass is `transformers` alone, nothing
kept; it runs twice a round, so that its ratio to itself shows how still the machine was. The
same batches through TransformerLens' hook points, nothing kept either, stand beside it.

    python benchmarks/activation_capture.py [--rounds 9] [--models tiny_gpt2 tiny_llama]
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import torch
from shapes import ROOT, gpt2_small_shape, seconds
from transformers.utils import logging as transformers_logging

from emotion_circuits.interventions import capture_residual
from emotion_circuits.language_models import (
    EncodedPrompts,
    LanguageModel,
    ModelSpec,
    encode_prompts,
    load_language_model,
)

BATCH = 32
TARGET = 1.15


@torch.no_grad()
def plain_pass(model: torch.nn.Module, prompts: EncodedPrompts) -> None:
    """Forward passes of the batches that the capture runs, nothing kept."""
    order = torch.argsort(prompts.lengths, descending=True, stable=True)
    for rows in order.split(BATCH):
        length = int(prompts.lengths[rows].max())
        model(
            input_ids=prompts.token_ids[rows, :length],
            attention_mask=prompts.attention_mask[rows, :length],
            use_cache=False,
            logits_to_keep=1,
        )


def compare(model: LanguageModel, texts: list[str], rounds: int) -> None:
    """Print tokens per second of the capture, and its time over that of a plain pass."""
    prompts = encode_prompts(model, texts, [""] * len(texts))
    layers = list(range(model.n_layers))
    tokens = int(prompts.lengths.sum())
    works: dict[str, Callable[[], object]] = {
        "plain": lambda: plain_pass(model.plain_model, prompts),
        "capture": lambda: capture_residual(
            model, prompts, layers=layers, batch_size=BATCH, progress=False
        ),
        "bridge": lambda: plain_pass(model.hf_model, prompts),
        "plain again": lambda: plain_pass(model.plain_model, prompts),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    for turn in range(rounds + 1):
        for name, work in works.items():
            taken = seconds(work)
            if turn:  # the first round warms caches
                times[name].append(taken)
    rate = tokens / statistics.median(times["capture"])
    print(f"{model.name}: {len(texts)} prompts, {tokens} tokens, capture {rate:,.0f} tokens/s")
    for name in list(works)[1:]:
        pairs = zip(times[name], times["plain"], strict=True)
        ratio = statistics.median(taken / plain for taken, plain in pairs)
        target = f" (target x{TARGET})" if name == "capture" else ""
        print(f"  {name}: x{ratio:.2f} the time of a plain pass{target}")


def main() -> None:
    """Compare the embedded models and a GPT-2 small shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--models", nargs="*", default=["tiny_gpt2", "tiny_llama"])
    options = parser.parse_args()
    logging.disable(logging.INFO)
    transformers_logging.disable_progress_bar()
    data = pd.read_json(ROOT / "data/emotion_dataset_embedded.jsonl", lines=True)
    texts = data["text"].tolist()
    for name in options.models:
        source = ROOT / "data/models" / name
        model = load_language_model(ModelSpec(name=name, source=str(source), device="cpu"))
        compare(model, texts, options.rounds)
    with tempfile.TemporaryDirectory() as folder:
        source = gpt2_small_shape(Path(folder))
        spec = ModelSpec(name="gpt2-small shape", source=str(source), device="cpu")
        compare(load_language_model(spec), texts[:64], options.rounds)


if __name__ == "__main__":
    main()
