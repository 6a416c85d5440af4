"""A headline as the cells of a table: all of it for page and Markdown, in brief for a terminal."""

from __future__ import annotations

from typing import Final

from emotion_circuits.reporting.answers.headline import Headline
from emotion_circuits.reporting.answers.numbers import number, p_value, with_interval
from emotion_circuits.reporting.answers.words import verdict
from emotion_circuits.reporting.finite import to_number

HEADERS: Final = (
    "model",
    "emotion",
    "steering",
    "d [95 %]",
    "cost, nats per token",
    "random directions",
    "probe AUROC [95 %]",
    "heads: contrast lost",
    "circuit: faithfulness",
    "overlap",
)

# The same in brief, for a terminal: what follows a stroke is the control's value.
BRIEF_HEADERS: Final = (
    *("model", "emotion", "steering", "d [95 %]", "cost", "p random"),
    *("probe | words", "heads | random", "circuit | random", "overlap | null"),
)


def brief_cells(line: Headline) -> tuple[str, ...]:
    """Return the cells of one headline, in the order of ``BRIEF_HEADERS``."""
    return (
        line.model,
        line.emotion,
        verdict(line),
        with_interval(line.d, line.d_lower, line.d_upper),
        number(line.cost),
        p_value(line.p_random),
        _beside(line.probe_auroc, line.probe_words),
        _beside(line.heads_lost, line.heads_random),
        _beside(line.faithfulness, line.circuit_random),
        _beside(line.overlap, line.overlap_null),
    )


def _beside(value: float, control: float) -> str:
    return "–" if to_number(value) is None else f"{number(value)}|{number(control)}"


def cells(line: Headline) -> tuple[str, ...]:
    """Return the cells of one headline, in the order of ``HEADERS``."""
    return (
        line.model,
        line.emotion,
        verdict(line),
        _steering(line),
        with_interval(line.cost, line.cost_lower, line.cost_upper),
        _random(line),
        _probe(line),
        _heads(line),
        _circuit(line),
        _overlap(line),
    )


def _steering(line: Headline) -> str:
    if to_number(line.change) is None:
        return "–"
    where = f"layer {line.layer:.0f}, α {line.alpha:g}, n {line.n:.0f}"
    return f"{with_interval(line.d, line.d_lower, line.d_upper)} ({where})"


def _random(line: Headline) -> str:
    if to_number(line.p_random) is None:
        return "–"
    text = f"p {p_value(line.p_random)} of {line.n_random:.0f}"
    if to_number(line.p_covariance) is not None and line.n_covariance:
        text += f"; covariance p {p_value(line.p_covariance)} of {line.n_covariance:.0f}"
    return text


def _probe(line: Headline) -> str:
    if to_number(line.probe_auroc) is None:
        return "–"
    own = with_interval(line.probe_auroc, line.probe_lower, line.probe_upper)
    return f"{own} (layer {line.probe_layer:.0f}; words {number(line.probe_words)})"


def _heads(line: Headline) -> str:
    if not line.heads:
        return "–"
    lost = with_interval(line.heads_lost, line.heads_lower, line.heads_upper)
    return f"{lost} without {line.heads} (random {number(line.heads_random)}, {_p(line.heads_p)})"


def _circuit(line: Headline) -> str:
    if to_number(line.faithfulness) is None:
        return "–"
    own = with_interval(line.faithfulness, line.faithfulness_lower, line.faithfulness_upper)
    size = f"{line.circuit_nodes:.0f} of {line.circuit_of:.0f} nodes"
    return f"{own} ({size}; random {number(line.circuit_random)}, {_p(line.circuit_p)})"


def _overlap(line: Headline) -> str:
    if not line.overlap_with:
        return "–"
    null = f"shuffled pairs up to {number(line.overlap_null)}, {_p(line.overlap_p)}"
    return f"{number(line.overlap)} with {line.overlap_with} ({null})"


def _p(value: float) -> str:
    return f"p {p_value(value)}"
