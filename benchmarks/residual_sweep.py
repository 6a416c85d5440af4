"""Steering sweeps: the engine against one condition at a time, on the same weights.

The same table of prompts and conditions, greedy, each direction added from the prompt's last
position on (the semantics the others offer), runs

- through the engine, rows of all conditions sharing batches,
- one condition at a time through `TransformerBridge.generate` with hooks, all prompts in a batch,
- one condition at a time through `transformers`' `generate` with forward hooks, likewise.

All run in this process, in turns; tokens are compared first. Memory is the peak of the resident
set over its value before, divided by the rows of a batch.

    python benchmarks/residual_sweep.py [--rounds 3] [--conditions 36] [--prompts 8] [--tokens 30]
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import logging
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from shapes import ROOT, gpt2_small_shape, seconds
from torch import Tensor
from transformers import GenerationConfig
from transformers.utils import logging as transformers_logging

from emotion_circuits.interventions import Add, Condition, Row, generate_rows, steer
from emotion_circuits.language_models import LanguageModel, ModelSpec, load_language_model
from emotion_circuits.memory import PeakMemory

BAR = 3.0


def conditions_of(model: LanguageModel, count: int) -> list[Condition]:
    """Make conditions at layers in turn, with directions and strengths of their own."""
    made = []
    for index in range(count):
        direction = torch.randn(model.d_model, generator=torch.Generator().manual_seed(index))
        layer = index % model.n_layers
        made.append(steer(f"c{index}", Add(direction), layer, alpha=0.5 + index % 3))
    return made


def with_engine(
    model: LanguageModel, prompts: Tensor, conditions: list[Condition], n: int
) -> list[list[int]]:
    """Run the whole table at once."""
    rows = [Row(tuple(ids), condition) for condition in conditions for ids in prompts.tolist()]
    return [list(result.token_ids) for result in generate_rows(model, rows, max_new_tokens=n)]


def with_bridge(
    model: LanguageModel, prompts: Tensor, conditions: list[Condition], n: int
) -> list[list[int]]:
    """One condition at a time through the bridge, as its documentation does it."""
    made: list[list[int]] = []
    for condition in conditions:
        (item,) = condition.interventions
        push = item.strength.values(1)[0] * item.operator.parameters()[0]

        def add(resid: Tensor, hook: object, push: Tensor = push) -> Tensor:  # noqa: ARG001
            resid[:, -1] += push
            return resid

        with model.bridge.hooks(fwd_hooks=[(item.site.hook_name, add)]):
            out = model.bridge.generate(
                prompts,
                max_new_tokens=n,
                do_sample=False,
                stop_at_eos=False,
                verbose=False,
                return_type="tokens",
            )
        made += out[:, prompts.shape[1] :].tolist()
    return made


def with_transformers(
    model: LanguageModel, prompts: Tensor, conditions: list[Condition], n: int
) -> list[list[int]]:
    """One condition at a time through the plain model's own `generate`."""
    config = GenerationConfig(max_new_tokens=n, do_sample=False, pad_token_id=0)
    made: list[list[int]] = []
    for condition in conditions:
        (item,) = condition.interventions
        push = item.strength.values(1)[0] * item.operator.parameters()[0]

        def add(block: object, args: object, out: object, push: Tensor = push) -> object:  # noqa: ARG001
            stream = out[0] if isinstance(out, tuple) else out
            stream[:, -1] += push
            return out

        handle = model.plain_blocks[item.site.layer].register_forward_hook(add)
        out = model.plain_model.generate(
            prompts, attention_mask=torch.ones_like(prompts), generation_config=config
        )
        handle.remove()
        made += out[:, prompts.shape[1] :].tolist()
    return made


WORKS = {"engine": with_engine, "bridge": with_bridge, "transformers": with_transformers}


def peak_per_row(work: Callable[[], object], rows: int) -> float:
    """Run something and give the growth of the resident set at its peak, in MiB a row."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    memory = PeakMemory()
    memory.start()
    before = memory.now()
    work()
    return (memory.stop() - before) / rows


def compare(model: LanguageModel, options: argparse.Namespace) -> None:
    """Print what each way takes, and the engine's advantage over the better of the others."""
    generator = torch.Generator().manual_seed(0)
    prompts = torch.randint(5, 1000, (options.prompts, options.length), generator=generator)
    conditions = conditions_of(model, options.conditions)
    ends = (model.tokenizer.eos_token_id, model.plain_model.config.eos_token_id)
    model.plain_model.config.eos_token_id = model.plain_model.generation_config.eos_token_id = None
    model.tokenizer.eos_token = None  # so that all rows have the same number of tokens

    def run(name: str, some: list[Condition]) -> list[list[int]]:
        return WORKS[name](model, prompts, some, options.tokens)

    few = conditions[:4]
    expected = run("engine", few)
    for name in ("bridge", "transformers"):
        same = run(name, few) == expected
        print(f"{model.name}: {name} gives the engine's tokens: {same}")
    times: dict[str, list[float]] = {name: [] for name in WORKS}
    for _ in range(options.rounds):
        for name in WORKS:
            times[name].append(seconds(lambda name=name: run(name, conditions)))
    total = len(conditions) * options.prompts * options.tokens
    for name in WORKS:
        print(f"  {name}: {total / statistics.median(times[name]):,.0f} tokens/s")
    ratios = [
        min(times["bridge"][turn], times["transformers"][turn]) / times["engine"][turn]
        for turn in range(options.rounds)
    ]
    print(f"  engine against the better of the two: x{statistics.median(ratios):.2f} (bar x{BAR})")
    rows = {"engine": min(128, len(conditions) * options.prompts)}
    for name in WORKS:
        count = rows.get(name, options.prompts)
        some = conditions if name == "engine" else few
        grown = peak_per_row(lambda name=name, some=some: run(name, some), count)
        print(f"  {name}: {grown:.2f} MiB a row at its peak, {count} rows a batch")
    model.plain_model.config.eos_token_id = ends[1]


def main() -> None:
    """Compare on the embedded models and on a GPT-2 small shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--conditions", type=int, default=36)
    parser.add_argument("--prompts", type=int, default=8)
    parser.add_argument("--length", type=int, default=24)
    parser.add_argument("--tokens", type=int, default=30)
    parser.add_argument("--models", nargs="*", default=["tiny_gpt2", "tiny_llama", "gpt2-small"])
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    transformers_logging.disable_progress_bar()
    transformers_logging.set_verbosity_error()
    with tempfile.TemporaryDirectory() as folder:
        for name in options.models:
            source = ROOT / "data/models" / name
            if name == "gpt2-small":
                source = gpt2_small_shape(Path(folder))
            compare(
                load_language_model(ModelSpec(name=name, source=str(source), device="cpu")),
                options,
            )


if __name__ == "__main__":
    main()
