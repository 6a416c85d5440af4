"""The answer in plain words."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from emotion_circuits.reporting.answers.headline import Headline
from emotion_circuits.reporting.answers.numbers import interval, number, p_value
from emotion_circuits.reporting.finite import to_number

# Prompts per emotion below which no number of a study is a finding.
FEW_PROMPTS: Final = 20
# Texts below which an interval of a steering effect is far too short (docs/statistics.md).
FEW_TEXTS: Final = 10
_LEVEL: Final = 0.05

MOVES: Final = "moves"
NOT_BEYOND_RANDOM: Final = "does not move beyond random directions"
NOT_SHOWN: Final = "not shown to move"
BACKWARDS: Final = "moves the other way"
TOO_COSTLY: Final = "moves only at a cost above the limit"
TOO_FEW: Final = "too few texts to conclude"
TOO_FEW_RANDOM: Final = "too few random directions to conclude"
NOT_RUN: Final = "steering was not run"


def verdict(line: Headline) -> str:
    """Say in a few words whether steering moves the emotion's own score.

    It ``moves`` if the interval of the change lies above 0, the cost where it was chosen is within
    the limit, and at most 5 % of each kind of random direction do as much (rank p ≤ 0.05).
    """
    if to_number(line.change) is None:
        return NOT_RUN
    if line.n < FEW_TEXTS or to_number(line.change_lower) is None:
        return TOO_FEW
    if line.change_upper < 0:
        return BACKWARDS
    if line.change_lower <= 0:
        return NOT_SHOWN
    ranks = [(line.p_random, line.n_random), (line.p_covariance, line.n_covariance)]
    known = [(p, n) for p, n in ranks if to_number(p) is not None and n > 0]
    if not known or any(1 / (1 + n) > _LEVEL for _, n in known):
        return TOO_FEW_RANDOM
    if any(p > _LEVEL for p, _ in known):
        return NOT_BEYOND_RANDOM
    return TOO_COSTLY if line.within_fluency == 0 else MOVES


def too_few_prompts(n_prompts: float | None) -> str:
    """Return the sentence for a study of a few prompts; an empty text if there are enough."""
    known = to_number(n_prompts)
    if known is None or known >= FEW_PROMPTS:
        return ""
    return (
        f"With {_count(int(known))} prompts per emotion nothing can be concluded: this run shows "
        "that every phase works, and its numbers are no findings."
    )


def sentence(line: Headline) -> str:
    """Say in one sentence what the study found for one emotion in one model."""
    parts = [f"{line.model}, {line.emotion}: {verdict(line)}"]
    if to_number(line.change) is not None:
        effect = f"d {number(line.d)} {interval(line.d_lower, line.d_upper)}".strip()
        parts.append(f"{effect} for {number(line.cost)} nats per token")
    if to_number(line.p_random) is not None:
        parts.append(f"p {p_value(line.p_random)} among {line.n_random:.0f} random directions")
    if to_number(line.faithfulness) is not None:
        parts.append(
            f"a circuit of {line.circuit_nodes:.0f} of {line.circuit_of:.0f} nodes keeps "
            f"{number(line.faithfulness)} of the behaviour on other templates"
        )
    return "; ".join(parts) + "."


def question(emotions: Sequence[str], models: Sequence[str]) -> str:
    """Return the question that a study asks."""
    return (
        f"Where do {_listed(models)} represent {_listed(emotions)}; do models share that "
        "representation; do interventions on it change what they write; and which heads carry it?"
    ).replace("Where do", "Where does" if len(models) == 1 else "Where do")


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(n: int) -> str:
    words = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    return words[n] if n < len(words) else str(n)
