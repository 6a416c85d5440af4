"""Heads whose effect on an emotion differs from zero, for models in which none does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from emotion_circuits.planted.recovery.checks import Check
from emotion_circuits.planted.truth import PlantedTruth, head_name
from emotion_circuits.statistics.multiplicity import correct_family

# Width of a 95 % interval of a normal variable, in standard deviations.
_WIDTH: Final = 2 * float(stats.norm.ppf(0.975))
# Level of the test on the number of models with a finding.
_LEVEL: Final = 0.05
# Columns of the screening's table that are zero on average where cues mean nothing: differences
# between the two prompts of a pair, or between the reactions to them. `logit_drop_mean` is none of
# them: a head's mean over all positions moves the odds of any words on both prompts.
EFFECTS: Final = ("logit_contrast_drop_mean", "reaction_drop_mean", "direct_write")


class HeadEffect(NamedTuple):
    """One head's effect on one emotion.

    Attributes:
        head: The head's name.
        emotion: The emotion.
        effect: Name of the effect, a column of the screening's table.
        size: The effect.
        p_value: Corrected for all heads, emotions and effects.
    """

    head: str
    emotion: str
    effect: str
    size: float
    p_value: float


def significant_heads(table: pd.DataFrame, *, alpha: float) -> list[HeadEffect]:
    """Return heads with an effect by two-sided t-tests over pairs, corrected by Bonferroni.

    The standard error is that of the table's bootstrap interval, with the factor that makes a
    bootstrapped variance unbiased.

    Pairs must be of different templates, as those of planted models are: the table's intervals are
    over templates, and the degrees of freedom here are those of pairs.

    Args:
        table: Table of head screening.
        alpha: Chance of any finding in a model without effects.
    """
    emotional = table["emotion"].ne("pooled") & table["half"].eq("both")
    lines = table[emotional].reset_index(drop=True)
    p_values = np.stack([_p_values(lines, effect) for effect in EFFECTS])
    corrected = correct_family(p_values.ravel(), alpha=alpha)
    significant = corrected.significant_bonferroni.reshape(p_values.shape)
    p_corrected = corrected.p_value_bonferroni.reshape(p_values.shape)
    return [
        HeadEffect(
            head_name(int(lines.loc[line, "layer"]), int(lines.loc[line, "head"])),
            str(lines.loc[line, "emotion"]),
            EFFECTS[effect],
            float(lines.loc[line, EFFECTS[effect]]),
            float(p_corrected[effect, line]),
        )
        for effect, line in np.argwhere(significant)
    ]


def _p_values(lines: pd.DataFrame, effect: str) -> np.ndarray:
    n = lines["n_pairs"].to_numpy(float)
    mean = lines[effect].to_numpy(float)
    width = (lines[f"{effect}_upper"] - lines[f"{effect}_lower"]).to_numpy(float)
    error = width / _WIDTH * np.sqrt(n / (n - 1))
    # A head without any effect on any pair has no error either.
    t = np.divide(mean, error, out=np.zeros_like(mean), where=error > 0)
    p_values: np.ndarray = np.where(np.isnan(mean), np.nan, 2 * stats.t.sf(np.abs(t), n - 1))
    return p_values


def check_significant(
    truth: PlantedTruth, table: pd.DataFrame, *, alpha: float, bar: float
) -> Iterator[Check]:
    """Ask whether the test that finds nothing where nothing is does find what is planted.

    Args:
        truth: What is known.
        table: Table of head screening.
        alpha: As for ``significant_heads``.
        bar: Smallest share of the heads whose loss lowers or raises an emotion's reactions.
    """
    found = {(effect.head, effect.emotion) for effect in significant_heads(table, alpha=alpha)}
    for emotion in truth.emotions:
        wanted = [
            node.node
            for node in truth.heads
            if emotion in node.emotions and node.ablation != "none"
        ]
        if wanted:
            share = sum((name, emotion) in found for name in wanted) / len(wanted)
            yield Check("planted_heads_significant", emotion, share, bar)


def check_nothing_found(check: str, n_found: dict[str, int], *, alpha: float) -> Check:
    """Ask whether too many models in which nothing is planted have a significant finding.

    The bar is the largest number that a one-sided binomial test at 5 % does not refuse, if each
    model has a finding with probability α.

    Args:
        check: Name of the comparison.
        n_found: By model, the number of findings, such as significant heads.
        alpha: Chance of any finding in a model.
    """
    found = [name for name, number in n_found.items() if number]
    n_models = len(n_found)
    allowed = int(stats.binom.isf(_LEVEL, n_models, alpha))
    subject = f"of {n_models}" + (f": {', '.join(found)}" if found else "")
    return Check(check, subject, len(found), allowed, at_least=False)
