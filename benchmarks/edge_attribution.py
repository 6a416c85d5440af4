"""Scores of all edges by integrated gradients, beside TransformerLens' attribution patching.

Pairs of the shipped dataset. TransformerLens takes one pair at a time and one step, and refuses
grouped key/value heads; there is no ratio for such models. Both run in turns on the same pairs with
one step; the figure is the median over rounds of the ratio of times. Then all pairs with ten steps:
seconds, and the highest resident memory of the process above that before.

    python benchmarks/edge_attribution.py [--model tiny_gpt2] [--source …] [--pairs 64]
        [--steps 10] [--rounds 3]
"""

from __future__ import annotations

import argparse
import gc
import statistics
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import psutil
import torch
from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch

from emotion_circuits.circuits import graph_of, log_odds_target
from emotion_circuits.circuits.emotion_targets import marking_tokens
from emotion_circuits.circuits.pair_attribution import attribute_pairs
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model
from emotion_circuits.prompts import EmotionSet

ROOT = Path(__file__).parents[1]
EMOTION = "apology"
Prompts = list[tuple[int, ...]]


def pairs_of(model: LanguageModel, n_pairs: int, dataset: Path) -> tuple[Prompts, Prompts]:
    """Return apologies and their neutral partners."""
    table = pd.read_json(dataset, lines=True).set_index(["pair_id", "emotion"])["text"].unstack()
    texts = table.dropna(subset=[EMOTION, "neutral"])[:n_pairs]
    clean, partners = (
        [tuple(model.encode(text)) for text in texts[name]] for name in (EMOTION, "neutral")
    )
    return clean, partners


def by_transformer_lens(
    model: LanguageModel, clean: Prompts, partners: Prompts, tokens: torch.Tensor
) -> None:
    """Score all edges with one step, pair by pair."""
    target = log_odds_target([tokens])
    model.bridge.requires_grad_(True)
    try:
        for one, other in zip(clean, partners, strict=True):
            attribution_patch(
                model.bridge,
                torch.tensor([other]),
                torch.tensor([one]),
                lambda logits: target(logits[:, -1], logits[:, -1])[0],
                EdgeAttributionConfig(granularity="edge"),
            )
    finally:
        model.bridge.requires_grad_(False)


def peak_of(call: Callable[[], object]) -> tuple[float, float]:
    """Return seconds, and MiB by which the process grew at most while it ran."""
    gc.collect()
    process, done = psutil.Process(), threading.Event()
    before = highest = process.memory_info().rss

    def watch() -> None:
        nonlocal highest
        while not done.wait(0.01):
            highest = max(highest, process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    start = time.perf_counter()
    try:
        call()
    finally:
        seconds = time.perf_counter() - start
        done.set()
        watcher.join()
    return seconds, (highest - before) / 2**20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="tiny_gpt2")
    parser.add_argument("--source", help="default: the shipped model of that name")
    parser.add_argument("--dataset", default="data/emotion_dataset_embedded.jsonl")
    parser.add_argument("--pairs", type=int, default=64)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    source = options.source or str(ROOT / "data" / "models" / options.model)
    model = load_language_model(ModelSpec(name=options.model, source=source, device="cpu"))
    clean, partners = pairs_of(model, options.pairs, ROOT / options.dataset)
    tokens = marking_tokens(model, EmotionSet())[EMOTION]

    def ours(prompts: Prompts, others: Prompts, steps: int) -> None:
        attribute_pairs(
            model,
            prompts,
            others,
            lambda chosen: log_odds_target([tokens] * len(chosen)),
            layer=model.n_layers - 1,
            steps=steps,
        )

    # TransformerLens aligns prompts from the start, so it gets pairs of equal length.
    same = [(a, b) for a, b in zip(clean, partners, strict=True) if len(a) == len(b)]
    edges = len(graph_of(model).edges())
    print(f"{model.name}: {edges} edges, {len(clean)} pairs, {len(same)} of equal length")
    seconds, memory = peak_of(lambda: ours(clean, partners, options.steps))
    print(f"{options.steps} steps, all pairs: {seconds:.1f} s, {memory:.0f} MiB more")
    if not same:
        print("no pair of equal length for TransformerLens")
        return
    prompts, others = (list(side) for side in zip(*same, strict=True))
    ratios, used = [], []
    for _ in range(options.rounds):
        try:
            theirs = peak_of(lambda: by_transformer_lens(model, prompts, others, tokens))
        except (InputError, NotImplementedError, ValueError, RuntimeError) as error:
            print(f"TransformerLens refuses the model: {str(error).splitlines()[0]}")
            return
        own = peak_of(lambda: ours(prompts, others, 1))
        ratios.append(theirs[0] / own[0])
        used.append((theirs[1], own[1]))
    memory_of = [statistics.median(column) for column in zip(*used, strict=True)]
    print(
        f"one step, {len(same)} pairs: TransformerLens / ours x{statistics.median(ratios):.1f} "
        f"(rounds {', '.join(f'{ratio:.1f}' for ratio in ratios)}); "
        f"{memory_of[0]:.0f} and {memory_of[1]:.0f} MiB more"
    )


if __name__ == "__main__":
    main()
