"""Model card section on training seeds: which gates and findings hold for each of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from emotion_circuits.embedded_world.emotions import EMOTIONS
from emotion_circuits.training.gate_tables import ALPHA, verdicts
from emotion_circuits.training.gates.steering import RANDOM_KINDS

Gates = Mapping[str, Any]


def seed_table(by_seed: Mapping[int, Gates]) -> dict[str, Any]:
    """Compare the measurements on models that differ in their training seed alone.

    Args:
        by_seed: The result of ``language_model_gates`` for each seed.

    Returns:
        ``seeds``; under ``gates``, for each gate its ``name``, ``values`` (the least favourable
        one, by seed), ``holds`` (whether it is reached, by seed) and ``holds_in_all``; under
        ``findings`` the same of findings that have a threshold; under ``places`` the ``name`` and
        ``values`` of what is chosen or found somewhere, and ``same_in_all``.
    """
    judged = {seed: verdicts(dict(gates)) for seed, gates in by_seed.items()}
    gates = []
    for number, first in enumerate(next(iter(judged.values()))):
        of_gate = {seed: verdicts_of[number] for seed, verdicts_of in judged.items()}
        assert {verdict.gate for verdict in of_gate.values()} == {first.gate}
        gates.append(
            _line(
                first.gate,
                {seed: verdict.value for seed, verdict in of_gate.items()},
                {seed: verdict.reached for seed, verdict in of_gate.items()},
            )
        )
    findings = []
    for kind in RANDOM_KINDS:
        p = {seed: _largest_p(gates, kind) for seed, gates in by_seed.items()}
        findings.append(
            _line(
                f"steering: p among {_RANDOM[kind]} ≤ {ALPHA:g}, each emotion",
                {seed: f"{value:.3f} ({emotion})" for seed, (value, emotion) in p.items()},
                {seed: value <= ALPHA for seed, (value, _) in p.items()},
            )
        )
    places = []
    for name, read in _PLACES.items():
        values = {str(seed): read(gates) for seed, gates in by_seed.items()}
        same = len(set(values.values())) == 1
        places.append({"name": name, "values": values, "same_in_all": same})
    return {"seeds": list(by_seed), "gates": gates, "findings": findings, "places": places}


def _line(name: str, values: Mapping[int, str], holds: Mapping[int, bool]) -> dict[str, Any]:
    return {
        "name": name,
        "values": {str(seed): value for seed, value in values.items()},
        "holds": {str(seed): bool(held) for seed, held in holds.items()},
        "holds_in_all": all(holds.values()),
    }


def _largest_p(gates: Gates, kind: str) -> tuple[float, str]:
    effects = gates["steering"]["emotions"]
    return max((float(effects[emotion][f"{kind}_p"]), emotion) for emotion in EMOTIONS)


_RANDOM: Final = {
    "random": "uniform random directions",
    "covariance": "random directions of the activations' covariance",
}
# What is found somewhere in the model, and how to read it.
_PLACES: Final[dict[str, Callable[[Gates], str]]] = {
    "layer of steering": lambda gates: f"{gates['steering']['layer']}",
    "α of steering": lambda gates: f"{gates['steering']['alpha']:g}",
    "layer of the most important head": lambda gates: f"{gates['heads']['layer']}",
    "layer of the probe": lambda gates: f"{gates['probes']['layer']}",
    "layer and k of the best overlap, each emotion": lambda gates: ", ".join(
        f"{line['layer']} (k {line['k']})"
        for line in (gates["overlap"]["best"][emotion] for emotion in EMOTIONS)
    ),
}


def seed_section(table: Mapping[str, Any], included: int) -> str:
    """Write the section of a model card.

    Args:
        table: The result of ``seed_table``.
        included: Seed of the model that the card is of.

    Returns:
        Markdown.
    """
    seeds = [str(seed) for seed in table["seeds"]]
    n = len(seeds)
    measured = [*table["gates"], *table["findings"]]
    held = [line for line in measured if line["holds_in_all"]]
    head = f"| | {' | '.join(f'seed {seed}' for seed in seeds)} | |\n|{'---|' * (n + 2)}\n"
    lines = "\n".join(
        f"| {line['name']} | {_cells(line, seeds)} | "
        + (
            f"holds in all {n} |"
            if line["holds_in_all"]
            else f"**holds in {sum(line['holds'].values())} of {n}** |"
        )
        for line in measured
    )
    places = "\n".join(
        f"| {line['name']} | {' | '.join(line['values'][seed] for seed in seeds)} | "
        f"{'the same' if line['same_in_all'] else 'differs'} |"
        for line in table["places"]
    )
    return (
        f"## Other seeds\n\nThis model was trained with seed {included}. {n - 1} more of its "
        "architecture were trained on the same texts and measured on the same prompts with the "
        "same code; they are not included. A seed sets the initial weights and the order of the "
        f"texts. {len(held)} of {len(measured)} gates and findings hold in all {n}. Values are "
        f"the least favourable ones.\n\n{head}{lines}\n\nWhere things are found:\n\n"
        f"{head}{places}\n"
    )


def _cells(line: Mapping[str, Any], seeds: list[str]) -> str:
    return " | ".join(
        line["values"][seed] if line["holds"][seed] else f"**{line['values'][seed]}**"
        for seed in seeds
    )
