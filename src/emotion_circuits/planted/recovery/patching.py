"""Effects of patching and ablating planted heads together, against what they must be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth, RedundantSet


def check_patching(
    truth: PlantedTruth, ranks: pd.DataFrame, *, bar: float, others_bar: float
) -> Iterator[Check]:
    """Ask whether all planted heads together move the whole effect, and other heads nothing.

    Args:
        truth: What is known.
        ranks: Table of ranks of head patching, for the set of all heads that carry an emotion.
        bar: Smallest share of the effect that the set moves.
        others_bar: Largest mean share that sets of its size without its heads move; a model with
            too few other heads has none.
    """
    for line in _lines(ranks):
        if line["emotion"] in truth.emotions:
            yield Check("planted_heads_share", _subject(line), float(line["fraction"]), bar)
            if line["n_other"]:
                share = float(line["other_fraction"])
                yield Check("other_heads_share", _subject(line), share, others_bar, at_least=False)


def check_redundant(
    group: RedundantSet,
    ranks: pd.DataFrame,
    scores: pd.DataFrame,
    *,
    bar: float,
    alone_bar: float,
) -> Iterator[Check]:
    """Ask whether redundant heads matter together, and each alone does not.

    Args:
        group: The redundant heads.
        ranks: Table of ranks of head patching, for these heads.
        scores: Table of head screening, with the effect of each head's ablation alone.
        bar: Smallest share of the effect that the set moves.
        alone_bar: Largest share, of either sign, that one head moves.
    """
    for line in _lines(ranks):
        if line["emotion"] == group.emotion:
            yield Check("redundant_share", _subject(line), float(line["fraction"]), bar)
    ablated = ranks[(ranks["emotion"] == group.emotion) & (ranks["ablation"] == "mean")]
    effect = float(ablated["effect"].iloc[0])
    single = scores[(scores["emotion"] == group.emotion) & (scores["half"] == "both")]
    for layer, head, drop in zip(
        single["layer"], single["head"], single["reaction_drop_mean"], strict=True
    ):
        name = f"a{layer}.h{head}"
        if name in group.nodes:
            subject = f"{group.emotion}, {name} alone"
            yield Check(
                "redundant_alone", subject, abs(float(drop) / effect), alone_bar, at_least=False
            )


def _lines(ranks: pd.DataFrame) -> Iterator[dict[str, Any]]:
    for line in ranks.to_dict("records"):
        yield {str(key): value for key, value in line.items()}


def _subject(line: dict[str, Any]) -> str:
    # A table that was read from its file has NaN for parts that do not apply.
    parts = (line[part] for part in ("ablation", "direction", "mode"))
    how = [part for part in parts if isinstance(part, str) and part]
    return f"{line['emotion']}, {' '.join(how)}"
