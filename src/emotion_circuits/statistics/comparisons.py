"""Comparisons: one metric on the same texts under two conditions."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float


class ComparisonKey(NamedTuple):
    """The key of a comparison: the first columns of every table of effects.

    Attributes:
        profile: Name of the profile.
        phase: ``residual``, ``random``, ``head``, ``head_screening`` or ``circuit``.
        model_name: Name of the model.
        emotion: The emotion that was steered or patched, or for ablated heads the label of the
            prompts; may be empty.
        layer: Counted from 0; None if several layers were changed.
        head: Counted from 0; None unless a single head was changed.
        head_spec: All changed heads as ``layer:head``, separated by blanks; if the halves of the
            prompts have different heads, both lists, separated by `` | ``. For circuits, all
            changed nodes, such as ``a0.h1 m0``.
        alpha: Strength of the intervention; None if it has no strength.
        comparison: ``patched_vs_neutral`` (with and without the intervention, on the same texts),
            ``emotion_vs_random`` or ``screened_vs_baseline``.
        metric_name: ``metric.label``.
        variant: Further description, for example the kind of ablation; mostly empty.
        control: Whether the intervention is a control, such as a random set of heads.
        confirmatory: Whether this is a claim of the study: the effect on an emotion's own metric of
            what was chosen on one half of the prompts, over the other half. All other comparisons
            are exploratory.
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
    confirmatory: bool = False

    def order(self, labels: Sequence[str]) -> tuple[Any, ...]:
        """Return a sort key that fixes the comparison's position in a table.

        Args:
            labels: The study's labels in order; other labels come last, by name.
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
    """Return a key that sorts labels into the study's order; other labels come last, by name."""
    return (labels.index(label) if label in labels else len(labels), label)


class Sample(NamedTuple):
    """One value per distinct text.

    Attributes:
        values: Value by text, sorted by text; NaN for a missing value.
        n_repeated: Number of values that repeat a text; they are averaged into its value.
    """

    values: Mapping[str, float]
    n_repeated: int


@dataclass(frozen=True, eq=False)
class Comparison:
    """One metric under two conditions, text by text.

    Attributes:
        key: The comparison's key.
        baseline: Values under the baseline.
        patched: Values under the intervention.
        draws: Values under each random direction, if ``baseline`` is their mean.
    """

    key: ComparisonKey
    baseline: Sample
    patched: Sample
    draws: tuple[Sample, ...] = ()


@dataclass(frozen=True)
class Summary:
    """A paired comparison that is known by its mean and standard deviation only.

    Attributes:
        key: The comparison's key.
        delta_mean: Mean of the differences.
        delta_std: Sample standard deviation of the differences, with n - 1.
        n_samples: Number of distinct texts.
    """

    key: ComparisonKey
    delta_mean: float
    delta_std: float
    n_samples: int


class Pairs(NamedTuple):
    """Values of the texts that have a finite value under both conditions.

    Attributes:
        texts: Sorted texts, so that results do not depend on the order of a file.
        baseline: Values under the baseline.
        patched: Values under the intervention.
        n_nan: Number of shared texts that were left out because a value is not finite.
    """

    texts: tuple[str, ...]
    baseline: Float[np.ndarray, " pair"]
    patched: Float[np.ndarray, " pair"]
    n_nan: int


def average_repeats(texts: Iterable[str], values: Iterable[float]) -> Sample:
    """Average the values of each distinct text over its repeats.

    A greedy model continues a repeated text in the same way, so repeats are not independent
    samples. Equal repeats keep their value exactly.

    Args:
        texts: Texts, possibly repeated.
        values: The value of each text.
    """
    by_text: dict[str, list[float]] = {}
    for text, value in zip(texts, values, strict=True):
        by_text.setdefault(text, []).append(float(value))
    count = sum(map(len, by_text.values()))
    means = {text: _mean(by_text[text]) for text in sorted(by_text)}
    return Sample(means, count - len(means))


def _mean(values: list[float]) -> float:
    first = values[0]
    if all(value == first for value in values):
        return first
    return first + sum(value - first for value in sorted(values)) / len(values)


def average_draws(draws: Iterable[Sample]) -> Sample:
    """Average over random directions, text by text; NaN for a text that a draw lacks."""
    known = tuple(draws)
    texts = sorted({text for draw in known for text in draw.values})
    means = {text: _mean([draw.values.get(text, float("nan")) for draw in known]) for text in texts}
    return Sample(means, sum(draw.n_repeated for draw in known))


def pair_by_text(baseline: Sample, patched: Sample) -> Pairs:
    """Pair the values of two conditions by text; drop and count pairs with a non-finite value.

    Args:
        baseline: Values under the baseline.
        patched: Values under the intervention.
    """
    shared = sorted(set(baseline.values) & set(patched.values))
    before = np.array([baseline.values[text] for text in shared], dtype=np.float64)
    after = np.array([patched.values[text] for text in shared], dtype=np.float64)
    good = np.isfinite(before) & np.isfinite(after)
    texts = tuple(text for text, kept in zip(shared, good.tolist(), strict=True) if kept)
    return Pairs(texts, before[good], after[good], int((~good).sum()))
