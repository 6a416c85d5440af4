"""Ablating every head on 8 prompts × 20 tokens: one table of rows against one head at a time.

The other side is what one would write with TransformerLens: for each head a hook on the bridge's
``attn.hook_z`` and ``bridge.generate`` on the 8 prompts at once. Both run in this process, in
turns, on the same weights; tokens are compared first. The model has GPT-2 small's shape and
random weights. Prompts are from the embedded dataset, 8 of one length, so that neither side pads.

    python benchmarks/head_screening.py [--heads-per-layer 12] [--rounds 1]

All 144 heads take some minutes a round. With fewer heads a layer, both sides do as many of each.
"""

from __future__ import annotations

import argparse
import logging
import statistics
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from shapes import ROOT, gpt2_small_shape
from transformers.utils import logging as transformers_logging

from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.interventions import Row, generate_rows
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model

N_PROMPTS, N_TOKENS = 8, 20
TARGET = 3.0

Tokens = list[tuple[int, ...]]


def prompts_of_one_length(model: LanguageModel) -> Tokens:
    """Give the first 8 prompts of the commonest length."""
    data = pd.read_json(ROOT / "data/emotion_dataset_embedded.jsonl", lines=True)
    encoded = [tuple(model.encode(text)) for text in data["text"]]
    length = Counter(map(len, encoded)).most_common(1)[0][0]
    return [ids for ids in encoded if len(ids) == length][:N_PROMPTS]


def one_table(model: LanguageModel, prompts: Tokens, heads: list[tuple[int, int]]) -> Tokens:
    """All heads in one call."""
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    conditions = [ablate_heads(f"{layer}:{head}", [(layer, head)], zeros) for layer, head in heads]
    rows = [Row(ids, condition) for condition in conditions for ids in prompts]
    return [item.token_ids for item in generate_rows(model, rows, max_new_tokens=N_TOKENS)]


@torch.no_grad()
def one_head_at_a_time(
    model: LanguageModel, prompts: Tokens, heads: list[tuple[int, int]]
) -> Tokens:
    """A hook and a call of generate for each head."""
    ids = torch.tensor(prompts)
    found: Tokens = []
    for layer, head in heads:

        def ablate(z: torch.Tensor, hook: Any, head: int = head) -> torch.Tensor:  # noqa: ARG001
            z = z.clone()
            z[:, :, head] = 0
            return z

        with model.bridge.hooks(fwd_hooks=[(f"blocks.{layer}.attn.hook_z", ablate)]):
            whole = model.bridge.generate(
                ids,
                max_new_tokens=N_TOKENS,
                do_sample=False,
                verbose=False,
                stop_at_eos=False,
                return_type="tokens",
                prepend_bos=False,
            )
        found += [tuple(row[len(prompts[0]) :]) for row in whole.tolist()]
    return found


def main() -> None:
    """Compare tokens, then times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--heads-per-layer", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=1)
    options = parser.parse_args()
    logging.disable(logging.INFO)
    transformers_logging.disable_progress_bar()
    with tempfile.TemporaryDirectory() as folder:
        source = gpt2_small_shape(Path(folder))
        spec = ModelSpec(name="gpt2-small shape", source=str(source), device="cpu")
        model = load_language_model(spec)
    prompts = prompts_of_one_length(model)
    step = model.n_heads // options.heads_per_layer
    heads = [
        (layer, head)
        for layer in range(model.n_layers)
        for head in range(0, step * options.heads_per_layer, step)
    ]
    print(
        f"{len(heads)} heads x {len(prompts)} prompts of {len(prompts[0])} tokens x {N_TOKENS} new "
        f"ones, {torch.get_num_threads()} thread(s)"
    )
    ratios = []
    for _ in range(options.rounds):
        start = time.perf_counter()
        ours = one_table(model, prompts, heads)
        middle = time.perf_counter()
        theirs = one_head_at_a_time(model, prompts, heads)
        end = time.perf_counter()
        # A row of ours ends with the end-of-text token, which random weights seldom choose.
        same = sum(a == b[: len(a)] for a, b in zip(ours, theirs, strict=True))
        print(
            f"  same tokens in {same} of {len(ours)} rows; one table {middle - start:.1f} s, "
            f"one head at a time {end - middle:.1f} s: x{(end - middle) / (middle - start):.2f}"
        )
        ratios.append((end - middle) / (middle - start))
    print(f"median x{statistics.median(ratios):.2f} (target x{TARGET})")


if __name__ == "__main__":
    main()
