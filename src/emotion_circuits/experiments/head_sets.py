"""Sets of heads to change on each half of the prompts: chosen, single, random and other ones."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Final

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.heads import (
    Head,
    format_heads,
    other_heads,
    parse_heads,
    permuted_heads,
)
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.prompts import PAIR_HALVES

logger = logging.getLogger(__name__)

CHOSEN: Final = "chosen"
# Sets drawn from all heads, which give a p-value, and sets without chosen heads, which do not.
RANDOM: Final = "random"
OTHER: Final = "other"
# Columns of the screening's table that rank heads; larger values mean that a head carries more of
# the emotion. {} stands for zero or mean.
HEAD_SCORES: Final = (
    *("drop_{}", "reaction_drop_{}", "logit_drop_{}"),
    *("attribution_projection_{}", "attribution_logit_{}"),
    *("direct_write", "cue_attention_last", "cue_attention_after"),
)
# Value of the column ``emotion`` for the pairs of all emotions together.
POOLED: Final = "pooled"


@dataclass(frozen=True)
class HeadSet:
    """A set of heads that are changed together.

    Attributes:
        name: ``chosen``; ``random 0`` and so on; ``other 0`` and so on; or a single head such as
            ``1:3``.
        of_half: The heads for each half of the prompts; a half may be missing.
    """

    name: str
    of_half: dict[str, tuple[Head, ...]]

    @property
    def heads(self) -> list[Head]:
        """The heads of both halves."""
        return sorted({head for heads in self.of_half.values() for head in heads})

    @property
    def spec(self) -> str:
        """The heads of each half in the format of ``parse_heads``; once if both are equal."""
        return " | ".join(dict.fromkeys(map(format_heads, self.of_half.values())))

    @property
    def kind(self) -> str:
        """``chosen``, ``random``, ``other`` or ``single``."""
        return kind_of_set(self.name)


def kind_of_set(name: str) -> str:
    """Return the kind of a set from its name."""
    first = name.split()[0]
    return first if first in (CHOSEN, RANDOM, OTHER) else "single"


def heads_by_hand(model: LanguageModel, spec: str) -> HeadSet:
    """Return a set with the same heads for both halves.

    Args:
        model: The model.
        spec: The heads in the format of ``parse_heads``.

    Raises:
        InputError: If a head does not exist.
    """
    heads = parse_heads(spec, n_layers=model.n_layers, n_heads=model.n_heads)
    return HeadSet(CHOSEN, dict.fromkeys(PAIR_HALVES, heads))


def top_heads(model: LanguageModel, table: pd.DataFrame, *, score: str, top_k: int) -> HeadSet:
    """Choose the top heads for each half of the prompts by their scores on the other half.

    Args:
        model: The model, for messages.
        table: The screening's table of scores.
        score: Column to rank by, largest first.
        top_k: Number of heads.

    Raises:
        InputError: If the table lacks the score or has too few heads.
    """
    if score not in table:
        raise InputError(
            f"score {score!r} is not in the screening of model {model.name!r}; screen "
            f"with that ablation, or take one of {', '.join(_scores(table))}"
        )
    top_of_half = {}
    for half, other in zip(PAIR_HALVES, reversed(PAIR_HALVES), strict=True):
        scored = table[(table["emotion"] == POOLED) & (table["half"] == other)]
        scored = scored[scored[score].notna()]
        if len(scored) < top_k:
            raise InputError(
                f"top_k is {top_k}, but the screening of model {model.name!r} has {score} of "
                f"{len(scored)} heads"
            )
        order = scored.sort_values(
            [score, "layer", "head"], ascending=[False, True, True], kind="stable"
        )
        pairs = order[["layer", "head"]].head(top_k).itertuples(index=False)
        top_of_half[half] = tuple(sorted(Head(int(layer), int(head)) for layer, head in pairs))
    return HeadSet(CHOSEN, top_of_half)


def _scores(table: pd.DataFrame) -> list[str]:
    prefixes = ("drop", "logit_drop", "attribution", "direct_write", "cue_attention")
    return [name for name in table.columns if name.startswith(prefixes)]


def single_heads(chosen: HeadSet) -> list[HeadSet]:
    """Return a set for each head of a set, or no set if it has a single head."""
    if len(chosen.heads) < 2:
        return []
    return [
        HeadSet(str(head), {half: (head,) for half, own in chosen.of_half.items() if head in own})
        for head in chosen.heads
    ]


def random_sets(
    model: LanguageModel, chosen: HeadSet, *, n_draws: int, same_layers: bool, seed: int
) -> list[HeadSet]:
    """Draw images of the chosen set under permutations of all heads; fewer if no more exist.

    The chosen set's rank among them gives a p-value, see ``permuted_heads``.
    """
    images = permuted_heads(
        chosen.of_half,
        n_layers=model.n_layers,
        n_heads=model.n_heads,
        n_draws=n_draws,
        seed=seed,
        same_layers=same_layers,
    )
    if len(images) < n_draws:
        logger.warning(
            "%s: the %s chosen heads have only %d random set(s) beside themselves%s, not %d",
            *(model.name, _sizes(chosen), len(images)),
            *(" in their layers" if same_layers else "", n_draws),
        )
    return [HeadSet(f"{RANDOM} {draw}", image) for draw, image in enumerate(images)]


def other_sets(
    model: LanguageModel, chosen: HeadSet, *, n_draws: int, same_layers: bool, seed: int
) -> list[HeadSet]:
    """Draw sets of the chosen set's size without its heads, for each half; fewer if no more exist.

    They describe what other heads do and give no p-value, see ``other_heads``.
    """
    draws = {
        half: other_heads(
            heads,
            layers=range(model.n_layers),
            n_heads=model.n_heads,
            n_draws=n_draws,
            seed=seed,
            same_layers=same_layers,
        )
        for half, heads in chosen.of_half.items()
    }
    n_sets = min(map(len, draws.values()))
    if n_sets < n_draws:
        logger.warning(
            "%s: beside %s chosen heads only %d set(s) of other heads are to be had, not %d",
            *(model.name, _sizes(chosen), n_sets, n_draws),
        )
    return [
        HeadSet(f"{OTHER} {draw}", {half: drawn[draw] for half, drawn in draws.items()})
        for draw in range(n_sets)
    ]


def _sizes(chosen: HeadSet) -> str:
    """Write the number of heads of each half, once if they are equal."""
    return " and ".join(dict.fromkeys(str(len(own)) for own in chosen.of_half.values()))
