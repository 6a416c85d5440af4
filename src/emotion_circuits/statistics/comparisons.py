"""What is compared with what: one metric on the same texts under two conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class ComparisonKey(NamedTuple):
    """What identifies a comparison; the first columns of every table of effects.

    Attributes:
        profile: Name of the profile.
        phase: ``residual``, ``random``, ``head`` or ``head_screening``.
        model_name: Name of the model.
        emotion: Which emotion was steered or patched, or, for heads that were ablated, the label
            of the prompts; empty where there is none.
        layer: Counted from 0; None where several were changed.
        head: Counted from 0; None where none or several were changed.
        head_spec: All heads that were changed, as ``layer:head`` with blanks between; where they
            differ between the halves of the prompts, both halves' with `` | `` between.
        alpha: Strength of the intervention; None where it has none.
        comparison: ``patched_vs_neutral`` (with the intervention against without, on the same
            texts), ``emotion_vs_random`` or ``screened_vs_baseline``.
        metric_name: ``metric.label``.
        variant: What else tells rows apart, for example the kind of ablation; mostly empty.
        control: Whether the intervention is a control, such as a random set of heads.
    """

    profile: str
    phase: str
    model_name: str
    emotion: str
    layer: int | None
    head: int | None
    head_spec: str
    alpha: float | None
    comparison: str
    metric_name: str
    variant: str = ""
    control: bool = False

    def order(self, labels: Sequence[str]) -> tuple[Any, ...]:
        """Give the place of the comparison in a table, whatever order files had.

        Args:
            labels: The study's, in order; other ones come last, by name.
        """
        return (
            *self[:3],
            place_among(labels, self.emotion),
            *(-1 if number is None else number for number in (self.layer, self.head)),
            self.head_spec,
            float("-inf") if self.alpha is None else self.alpha,
            *self[8:],
        )


def place_among(labels: Sequence[str], label: str) -> tuple[int, str]:
    """Give a key that sorts labels into the study's order, and other ones behind them by name."""
    return (labels.index(label) if label in labels else len(labels), label)


class Sample(NamedTuple):
    """One value per distinct text.

    Attributes:
        values: From text to value, sorted by text; NaN where a text has no value.
        n_repeated: How many values were repeats of a text, averaged into its one value.
    """

    values: Mapping[str, float]
    n_repeated: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """One metric under two conditions, text by text.

    Attributes:
        key: What is compared.
        baseline: The condition to compare with.
        patched: The condition in question.
        draws: Where ``baseline`` is a mean over random directions, the value under each one.
    """

    key: ComparisonKey
    baseline: Sample
    patched: Sample
    draws: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A paired comparison of which only mean and deviation are known.

    Attributes:
        key: What is compared.
        delta_mean: Mean of the differences.
        delta_std: Their sample standard deviation, with n - 1.
        n_samples: Number of distinct texts.
    """

    key: ComparisonKey
    delta_mean: float
    delta_std: float
    n_samples: int


class Pairs(NamedTuple):
    """The texts that have both values.

    Attributes:
        texts: Sorted, so that no result depends on the order of a file.
        baseline: Their values under the one condition.
        patched: Their values under the other.
        n_nan: Texts of both conditions that were left out for a value that is no number.
    """

    texts: tuple[str, ...]
    baseline: Float[np.ndarray, " pair"]
    patched: Float[np.ndarray, " pair"]
    n_nan: int


def average_repeats(texts: Iterable[str], values: Iterable[float]) -> Sample:
    """Give each distinct text one value: the mean over its repeats.

    A greedy model answers the same text the same way each time, so repeats are no further
    samples. Equal repeats keep their value to the last bit.

    Args:
        texts: May repeat.
        values: One for each of ``texts``.
    """
    found: dict[str, list[float]] = {}
    for text, value in zip(texts, values, strict=True):
        found.setdefault(text, []).append(float(value))
    count = sum(map(len, found.values()))
    means = {text: _mean(found[text]) for text in sorted(found)}
    return Sample(means, count - len(means))


def _mean(values: list[float]) -> float:
    first = values[0]
    if all(value == first for value in values):
        return first
    return first + sum(value - first for value in sorted(values)) / len(values)


def average_draws(draws: Iterable[Sample]) -> Sample:
    """Average over random directions, text by text; texts that lack a draw's value become NaN."""
    known = tuple(draws)
    texts = sorted({text for draw in known for text in draw.values})
    means = {text: _mean([draw.values.get(text, float("nan")) for draw in known]) for text in texts}
    return Sample(means, sum(draw.n_repeated for draw in known))


def pair_by_text(baseline: Sample, patched: Sample) -> Pairs:
    """Match the values of two conditions by their text; pairs with a NaN are dropped and counted.

    Args:
        baseline: Values under the one condition.
        patched: Values under the other.
    """
    shared = sorted(set(baseline.values) & set(patched.values))
    before = np.array([baseline.values[text] for text in shared], dtype=np.float64)
    after = np.array([patched.values[text] for text in shared], dtype=np.float64)
    good = np.isfinite(before) & np.isfinite(after)
    texts = tuple(text for text, kept in zip(shared, good.tolist(), strict=True) if kept)
    return Pairs(texts, before[good], after[good], int((~good).sum()))
