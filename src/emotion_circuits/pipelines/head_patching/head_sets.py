"""Which heads are changed on which half of the prompts, and the random sets beside them."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pandas as pd

from emotion_circuits.circuits import HALVES, Head, parse_heads, random_heads
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from emotion_circuits.pipelines.head_screening.tables import POOLED

logger = logging.getLogger(__name__)
CHOSEN = "chosen"


@dataclass(frozen=True)
class HeadSet:
    """Heads to change together.

    Attributes:
        name: ``chosen``, ``random 0`` and so on, or a single head such as ``1:3``.
        of_half: The heads for the prompts of each half; a half may be missing.
    """

    name: str
    of_half: dict[str, tuple[Head, ...]]

    @property
    def heads(self) -> list[Head]:
        """All heads, of either half."""
        return sorted({head for heads in self.of_half.values() for head in heads})

    @property
    def kind(self) -> str:
        """``chosen``, ``random`` or ``single``."""
        first = self.name.split()[0]
        return first if first in (CHOSEN, "random") else "single"


def chosen_heads(
    model: LanguageModel, table: pd.DataFrame, settings: HeadPatchingSettings
) -> HeadSet:
    """Read the heads given by hand, or choose the top ones for each half on the other.

    Args:
        model: Has the heads.
        table: The screening's score table.
        settings: Say which.

    Raises:
        InputError: If heads do not exist, or the table lacks the score or has too few heads.
    """
    if settings.heads != "top_k":
        heads = parse_heads(settings.heads, n_layers=model.n_layers, n_heads=model.n_heads)
        return HeadSet(CHOSEN, dict.fromkeys(HALVES, heads))
    if settings.score not in table:
        raise InputError(
            f"score {settings.score!r} is not in the screening of model {model.name!r}; screen "
            f"with that ablation, or take one of {', '.join(_scores(table))}"
        )
    found = {}
    for half, other in zip(HALVES, reversed(HALVES), strict=True):
        rows = table[(table["emotion"] == POOLED) & (table["half"] == other)]
        rows = rows[rows[settings.score].notna()]
        if len(rows) < settings.top_k:
            raise InputError(
                f"top_k is {settings.top_k}, but the screening of model {model.name!r} has "
                f"{settings.score} of {len(rows)} heads"
            )
        order = rows.sort_values(
            [settings.score, "layer", "head"], ascending=[False, True, True], kind="stable"
        )
        pairs = order[["layer", "head"]].head(settings.top_k).itertuples(index=False)
        found[half] = tuple(sorted(Head(int(layer), int(head)) for layer, head in pairs))
    return HeadSet(CHOSEN, found)


def _scores(table: pd.DataFrame) -> list[str]:
    prefixes = ("drop", "logit_drop", "attribution", "direct_write", "cue_attention")
    return [name for name in table.columns if name.startswith(prefixes)]


def head_sets(
    model: LanguageModel, table: pd.DataFrame, settings: HeadPatchingSettings
) -> list[HeadSet]:
    """Give the chosen set, its heads one by one if asked for, and random sets of its size."""
    chosen = chosen_heads(model, table, settings)
    found = [chosen]
    if settings.single_heads and len(chosen.heads) > 1:
        found += [
            HeadSet(
                str(head),
                {half: (head,) for half, heads in chosen.of_half.items() if head in heads},
            )
            for head in chosen.heads
        ]
    draws = {
        half: random_heads(
            heads,
            layers=range(model.n_layers),
            n_heads=model.n_heads,
            n_draws=settings.num_random,
            seed=settings.seed,
            same_layers=settings.random_layers == "same",
        )
        for half, heads in chosen.of_half.items()
    }
    n_draws = min(map(len, draws.values()))
    if n_draws < settings.num_random:
        logger.warning(
            "%s: beside %d chosen heads only %d random set(s) of that size are to be had, not %d",
            model.name,
            len(chosen.of_half[HALVES[0]]),
            n_draws,
            settings.num_random,
        )
    found += [
        HeadSet(f"random {draw}", {half: drawn[draw] for half, drawn in draws.items()})
        for draw in range(n_draws)
    ]
    return found
