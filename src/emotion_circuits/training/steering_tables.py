"""Model card section on steering: effects beside their cost, dose and controls."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emotion_circuits.embedded_world.emotions import EMOTIONS

_EFFECTS: Final = (
    *("emotion", "d", "change of own label", "cost, nats per token", "relative dose"),
    "wrong way",
)
_CONTROLS: Final = (
    *("emotion", "directions", "\\|d\\|: median, largest", "below half of d"),
    *("cost, nats per token", "p of the emotion"),
)
_KINDS: Final = {"random": "uniform", "covariance": "activations' covariance"}


def steering_section(steering: Mapping[str, Any]) -> str:
    """Write what steering does, what it costs, and what random directions do.

    Args:
        steering: The result of ``steering_gate``.

    Returns:
        Markdown.
    """
    n_random = steering["n_random"]
    shown = _table(
        ("Neutral situation", "unsteered", *EMOTIONS),
        [
            (sample["situation"], sample["unsteered"], *(sample[name] for name in EMOTIONS))
            for sample in steering["samples"]
        ],
    )
    return (
        "### Steering\n\nThe mean-difference vector (mean over tokens, prompts of training "
        f"combinations) is added after layer {steering['layer']} with α = {steering['alpha']:g} "
        "from the last prompt token on. Layer and α were chosen on validation combinations, among "
        f"the first {steering['layers_up_to']:.0%} of the layers: steering after the last layers "
        f"is little more than choosing the next word. {steering['n_prompts']} neutral prompts of "
        f"test combinations, with {steering['distinct']} distinct unsteered continuations. d is "
        "Cohen's d of the paired difference of the emotion's own GoEmotions label; cost is the "
        "mean negative log-likelihood of the continuation under the unsteered model, steered minus "
        "unsteered; the relative dose is ‖αv‖ / ‖h‖, with the median length of the residual "
        "stream at the positions that are steered; wrong way is the share of prompts whose own "
        f"label falls.\n\n{_effects(steering)}\n\n"
        f"{n_random} random directions of the same length per emotion and kind: of uniform "
        "orientation, and with the covariance of the activations that the vector was measured on, "
        "which lie where the residual stream varies. Their cost is the median; p is the rank of "
        f"the emotion's change among theirs, at least {1 / (n_random + 1):.3f}.\n\n"
        f"{_controls(steering)}\n\nMean change of each label, and its cost:\n\n"
        f"{_matrix(steering)}\n\n{shown}\n{_last_layers(steering)}"
    )


def _last_layers(steering: Mapping[str, Any]) -> str:
    last = steering["last_layers"]
    if last is None:
        return ""
    return (
        f"\nAs a comparison, among the last layers: after layer {last['layer']} with α = "
        f"{last['alpha']:g}, chosen alike. No gate is about it.\n\n{_effects(last)}\n\n"
        f"{_controls(last)}\n"
    )


def _effects(steering: Mapping[str, Any]) -> str:
    lines = [
        (
            emotion,
            *(_interval(cell[name]) for name in ("d", "change", "cost")),
            f"{cell['relative_dose']:.2f}",
            f"{cell['share_wrong_way']:.2f}",
        )
        for emotion, cell in steering["emotions"].items()
    ]
    return _table(_EFFECTS, lines)


def _controls(steering: Mapping[str, Any]) -> str:
    lines = []
    for emotion, cell in steering["emotions"].items():
        for kind, name in _KINDS.items():
            sizes = sorted(abs(d) for d in cell[f"{kind}_d"])
            lines.append(
                (
                    *(emotion, name, f"{sizes[len(sizes) // 2]:.2f}, {sizes[-1]:.2f}"),
                    *(f"{cell[f'{kind}_{column}']:.2f}" for column in ("below_half", "cost")),
                    f"{cell[f'{kind}_p']:.3f}",
                )
            )
    return _table(_CONTROLS, lines)


def _matrix(steering: Mapping[str, Any]) -> str:
    labels = list(next(iter(steering["specificity"].values())))
    lines = [
        (
            emotion,
            *(f"{changes[label]:+.3f}" for label in labels),
            f"{steering['emotions'][emotion]['cost']['value']:.2f}",
        )
        for emotion, changes in steering["specificity"].items()
    ]
    return _table(("Steered towards", *labels, "cost, nats per token"), lines)


def _interval(cell: Mapping[str, float]) -> str:
    value, lower, upper = (f"{cell[key]:.2f}" for key in ("value", "ci_lower", "ci_upper"))
    return f"{value} [{lower}, {upper}]"


def _table(names: tuple[str, ...], lines: list[tuple[str, ...]]) -> str:
    rows = [f"| {' | '.join(line)} |" for line in (names, *lines)]
    rows.insert(1, f"|{'---|' * len(names)}")
    return "\n".join(rows)
