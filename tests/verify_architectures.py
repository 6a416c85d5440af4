"""Compare the engine with plain recomputation on tiny models of many architectures.

Prints the table of docs/architectures.md: ``python tests/verify_architectures.py``.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch

from drawn_rows import FIXED_RULES, WINDOWS, build_row
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Row, generate_rows
from emotion_circuits.language_models import LanguageModel
from more_architectures import DECODERS, RECURRENT, load_tiny
from recomputation import reference_generate

N_STEPS = 5
POINTS = ("resid_post", "resid_pre", "z", "attn_out", "mlp_out")
OPERATORS = ("add", "within", "project_out", "set", "ablate", "replace")


class Agreement(NamedTuple):
    """How far the engine is from recomputation.

    Attributes:
        n_rows: Number of rows compared.
        equal: Rows with the same tokens.
        deviation: Largest difference of logits, relative to the largest logit.
    """

    n_rows: int
    equal: int
    deviation: float


def draw_row(model: LanguageModel, number: int, lengths: Sequence[int] = (5, 9)) -> Row:
    """Draw a prompt and one or two interventions; every point and operator comes in turn."""
    rng = np.random.default_rng(number)
    rules = [*WINDOWS, *FIXED_RULES]
    recipes = [
        {
            "layer": int(rng.integers(10)),
            "head": int(rng.integers(10)),
            "point": POINTS[(number + turn) % len(POINTS)],
            "operator": OPERATORS[(number + 2 * turn) % len(OPERATORS)],
            "rule": rules[rng.integers(len(rules))],
            "strength": ("decay", float(rng.choice([0.5, 1.0, 3.0])), 0.9),
            "seed": int(rng.integers(1000)),
        }
        for turn in range(1 + number % 2)
    ]
    return build_row(
        {"n_prompt": lengths[number % len(lengths)], "seed": number, "recipes": recipes}, model
    )


def agreement(model: LanguageModel, n_rows: int = 30) -> Agreement:
    """Compare rows of one batch with rows that are recomputed alone."""
    rows = [draw_row(model, number) for number in range(n_rows)]
    results = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True)
    equal, deviation = 0, 0.0
    for row, result in zip(rows, results, strict=True):
        ids, logits = reference_generate(
            model.plain_model, model.name, row.prompt_ids, row.condition, N_STEPS
        )
        equal += result.token_ids == ids
        if result.token_ids == ids:
            difference = (result.logits - logits).abs().max() / logits.abs().max()
            deviation = max(deviation, float(difference))
    return Agreement(n_rows, equal, deviation)


def lines() -> Iterator[str]:
    """Give the table's lines, one by one as they are known."""
    yield "| Architecture | Rows | Same tokens | Largest relative difference of logits |"
    yield "|---|---|---|---|"
    for name in (*DECODERS, *RECURRENT):
        try:
            found = agreement(load_tiny(name))
        except InputError as error:
            recurrent = "recurrent layers" in str(error)
            yield f"| {name} | refused: {'recurrent' if recurrent else 'no hook points'} | | |"
        else:
            yield f"| {name} | {found.n_rows} | {found.equal} | {found.deviation:.0e} |"


if __name__ == "__main__":
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    for line in lines():
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
