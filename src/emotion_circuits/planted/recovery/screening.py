"""Scores of head screening against the planted heads that they claim to find."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
import pandas as pd

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedNode, PlantedTruth, head_name
from emotion_circuits.statistics import auroc


def _lowers(node: PlantedNode, emotion: str) -> bool:
    return emotion in node.emotions and node.ablation == "lowers"


def _raises(node: PlantedNode, emotion: str) -> bool:
    return emotion in node.emotions and node.ablation == "raises"


def _writes(node: PlantedNode, emotion: str) -> bool:
    return emotion in node.emotions and node.writes_direction


def _attends(node: PlantedNode, emotion: str) -> bool:
    # A head without emotions, such as a decoy, attends to the cues of all.
    return node.attends_to_cue and (emotion in node.emotions or not node.emotions)


Claim = Callable[[PlantedNode, str], bool]
# Columns of the screening's table, and the heads that each says it finds; {} is the ablation.
CLAIMS: Final[dict[str, Claim]] = {
    "drop_{}": _lowers,
    "reaction_drop_{}": _lowers,
    "logit_drop_{}": _lowers,
    "logit_contrast_drop_{}": _lowers,
    "attribution_logit_{}": _lowers,
    "attribution_projection_{}": _writes,
    "direct_write": _writes,
    "cue_attention_last": _attends,
    "cue_attention_after": _attends,
}
# Negative values of these say that a head lowers the emotion.
SIGNED: Final = (
    *("reaction_drop_{}", "logit_drop_{}", "logit_contrast_drop_{}", "attribution_logit_{}"),
)


def check_screening(truth: PlantedTruth, table: pd.DataFrame, *, bar: float) -> Iterator[Check]:
    """Ask of each score and emotion whether the heads that it claims to find come first.

    All other heads count against it: decoys, heads of other emotions, and heads without a part.

    Args:
        truth: What is known.
        table: The table of head screening.
        bar: Smallest AUROC.
    """
    known = {node.node: node for node in truth.heads}
    for emotion in truth.emotions:
        part = table[(table["emotion"] == emotion) & (table["half"] == "both")]
        names = [head_name(*place) for place in zip(part["layer"], part["head"], strict=True)]
        nodes = [known.get(name) for name in names]
        for column, claim, sign in _scores(part):
            claimed = np.array([node is not None and claim(node, emotion) for node in nodes])
            if claimed.any():
                values = sign * part[column].to_numpy(float)
                # A head without a score, such as one above the layer of the vectors, is last.
                values = np.where(np.isnan(values), -np.inf, values)
                name = f"{emotion}, {'-' if sign < 0 else ''}{column}"
                yield Check("screening_auroc", name, auroc(values, claimed), bar)


def _scores(table: pd.DataFrame) -> Iterator[tuple[str, Claim, int]]:
    """Yield the table's scores with their claims; those with a sign also negated."""
    for score, claim in CLAIMS.items():
        for column in dict.fromkeys(score.format(ablation) for ablation in ("zero", "mean")):
            if column in table:
                yield column, claim, 1
                if score in SIGNED:
                    yield column, _raises, -1
