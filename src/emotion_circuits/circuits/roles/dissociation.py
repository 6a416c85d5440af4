"""Double dissociation: heads that detect carry the probe, heads that express the output alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from emotion_circuits.circuits.roles.measures import (
    MEASURES,
    HeadsOfHalf,
    Pairs,
    Probes,
    read_measures,
)
from emotion_circuits.circuits.roles.readings import RoleReadings
from emotion_circuits.circuits.roles.rules import DETECT, EXPRESS, ROLES, RoleRules, head_roles
from emotion_circuits.experiments.heads import Head, format_heads, permuted_heads
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics import rank_p
from emotion_circuits.statistics.ratios import ratio_interval

DIFFERENCE: Final = f"{DETECT} - {EXPRESS}"


def roles_of_halves(
    readings: RoleReadings, rules: RoleRules, *, n_permutations: int = 999, seed: int = 0
) -> dict[str, dict[str, tuple[Head, ...]]]:
    """Return the heads of each role to test on each half, found on the pairs of the other half.

    Returns:
        By role and half of the prompts to ablate them on.
    """
    found: dict[str, dict[str, tuple[Head, ...]]] = {role: {} for role in ROLES}
    for half, other in zip(PAIR_HALVES, reversed(PAIR_HALVES), strict=True):
        part = readings.select(readings.pairs.halves == other)
        roles = head_roles(part, rules, n_permutations=n_permutations, seed=seed)
        for role in ROLES:
            members = zip(readings.heads, roles, strict=True)
            found[role][half] = tuple(head for head, own in members if own == role)
    return found


def dissociation_table(
    prompts: PairedPrompts,
    probes: Probes,
    roles: Mapping[str, HeadsOfHalf],
    *,
    n_random: int = 20,
    batch_size: int = 32,
    n_bootstrap: int = 1000,
    seed: int = 0,
) -> pd.DataFrame:
    """Ablate the heads of each role together, and measure what is left of the emotion.

    Heads are replaced at all positions by their mean over the prompts of the other half, and are
    tested on pairs on which their role was not chosen (``roles_of_halves``).

    Args:
        prompts: Pairs of prompts.
        probes: Where the emotion is read.
        roles: Heads of each role for each half of the prompts. A role without heads is left out.
        n_random: Number of random sets beside each role: images of its heads under permutations of
            all heads of the model.
        batch_size: Prompts per forward pass where nothing is ablated.
        n_bootstrap: Resamples for intervals.
        seed: Seed of random sets and resamples.

    Returns:
        One line per role and measure (see ``Measures``): ``heads``, ``share`` of the contrast
        between emotional and neutral prompts that the ablation takes away, its 95 % interval
        ``lower`` and ``upper`` over clusters of pairs, the mean share of random sets
        ``random_share``, and ``p``, the rank of the share among them (one-sided). The role
        ``detect - express`` has the difference of the two shares.
    """
    model = prompts.model
    pairs = Pairs.of(prompts)
    values = prompts.mean_outputs(prompts.head_outputs(batch_size))
    known = {role: of_half for role, of_half in roles.items() if any(of_half.values())}
    sets: list[HeadsOfHalf] = [dict.fromkeys(PAIR_HALVES, ())]
    places: dict[str, slice] = {}
    for role, of_half in known.items():
        images = permuted_heads(
            of_half, n_layers=model.n_layers, n_heads=model.n_heads, n_draws=n_random, seed=seed
        )
        places[role] = slice(len(sets), len(sets) + 1 + len(images))
        sets += [of_half, *images]
    measures = read_measures(prompts, probes, sets, values)
    lines = []
    for name in MEASURES:
        contrasts = pairs.contrast(getattr(measures, name))
        tested = _Tested(contrasts[0], contrasts[0] - contrasts, pairs.clusters)
        for role, place in places.items():
            lines.append(
                {"role": role, "heads": _spec(known[role]), "measure": name}
                | tested.share(place.start, n_bootstrap=n_bootstrap, seed=seed)
                | tested.rank(place)
            )
        if DETECT in places and EXPRESS in places:
            first, second = places[DETECT].start, places[EXPRESS].start
            share = tested.share(first, n_bootstrap=n_bootstrap, seed=seed, less=second)
            lines.append({"role": DIFFERENCE, "heads": "", "measure": name} | share)
    columns = ["role", "heads", "measure", "share", "lower", "upper", "random_share", "p"]
    return pd.DataFrame(lines, columns=columns)


class Dissociation(NamedTuple):
    """Whether the two roles are dissociated; False where an interval is missing.

    Attributes:
        detect_lowers_probe: The interval of ``detect`` on the text's probe lies above 0.
        express_lowers_output: The interval of ``express`` on the output lies above 0.
        express_spares_probe: The interval of ``express`` on the text's probe lies within the
            margin.
        probe_sees_express: Whether a head of ``express`` comes before the probe. If none does, the
            probe cannot see them, and ``express_spares_probe`` holds for any model.
    """

    detect_lowers_probe: bool
    express_lowers_output: bool
    express_spares_probe: bool
    probe_sees_express: bool

    @property
    def is_double(self) -> bool:
        """Whether ``detect`` lowers the probe, and ``express`` the output and not the probe."""
        return self.detect_lowers_probe and self.express_lowers_output and self.express_spares_probe


def dissociation(
    table: pd.DataFrame,
    roles: Mapping[str, HeadsOfHalf],
    probes: Probes,
    *,
    margin: float = 0.1,
) -> Dissociation:
    """Judge a table of ``dissociation_table``.

    Args:
        table: The table.
        roles: The roles that it tested.
        probes: The probes that it read.
        margin: Share of the probe below which an effect counts as none.
    """
    lines = {
        (line["role"], line["measure"]): (line["lower"], line["upper"])
        for line in table.to_dict("records")
    }

    def interval(role: str, measure: str) -> tuple[float, float]:
        return lines.get((role, measure), (float("nan"), float("nan")))

    lower, upper = interval(EXPRESS, "text")
    early = [
        head for heads in roles[EXPRESS].values() for head in heads if head[0] <= probes.text.layer
    ]
    return Dissociation(
        interval(DETECT, "text")[0] > 0,
        interval(EXPRESS, "output")[0] > 0,
        -margin < lower and upper < margin,
        bool(early),
    )


class _Tested(NamedTuple):
    """Contrasts of one measure without ablation, and their drops under each set."""

    effect: Float[np.ndarray, " pair"]
    drops: Float[np.ndarray, "set pair"]
    clusters: np.ndarray

    def share(
        self, place: int, *, n_bootstrap: int, seed: int, less: int | None = None
    ) -> dict[str, Any]:
        known = np.isfinite(self.effect)
        drop = self.drops[place] - (0 if less is None else self.drops[less])
        share, lower, upper = ratio_interval(
            drop[known],
            self.effect[known],
            n_bootstrap=n_bootstrap,
            seed=seed,
            clusters=self.clusters[known].tolist(),
        )
        return {"share": share, "lower": lower, "upper": upper}

    def rank(self, place: slice) -> dict[str, float]:
        shares = np.nanmean(self.drops[place], axis=1) / np.nanmean(self.effect)
        random = shares[1:]
        return {
            "random_share": float(random.mean()) if len(random) else float("nan"),
            "p": float(rank_p(shares[0], random)),
        }


def _spec(of_half: Mapping[str, Sequence[tuple[int, int]]]) -> str:
    return " | ".join(dict.fromkeys(format_heads(heads) for heads in of_half.values()))
