"""Whether two models have heads of the same roles at the same relative depth."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from emotion_circuits.circuits.roles.rules import ROLES
from emotion_circuits.errors import InputError
from emotion_circuits.seeds import rng_for
from emotion_circuits.statistics import rank_p

Unit = Literal["layer", "head"]


@dataclass(frozen=True)
class RoleDepths:
    """The roles of a model's heads, and where they are.

    Attributes:
        roles: Role of each head.
        layers: Layer of each head, from 0; every layer of the model has as many heads.
        stages: Stage of each head. Roles are compared with random ones that stay in their stage;
            equal for all heads if any head may have any role.
    """

    roles: np.ndarray
    layers: Int[np.ndarray, " head"]
    stages: np.ndarray

    def __post_init__(self) -> None:
        counts = np.bincount(self.layers)
        if len(set(counts.tolist())) != 1:
            raise InputError(
                f"layers have {', '.join(map(str, counts))} heads; allowed is a table of all "
                "heads, equally many in each layer"
            )

    @classmethod
    def of(cls, table: pd.DataFrame, column: str = "role", stages: str | None = None) -> RoleDepths:
        """Take the roles from a table of one model's heads.

        Args:
            table: One line per head, with ``layer``.
            column: Column of the roles.
            stages: Column of the stages; None for one stage.

        Raises:
            InputError: If layers have different numbers of heads.
        """
        table = table.sort_values(["layer", "head"])
        known = table[stages].to_numpy() if stages else np.zeros(len(table))
        return cls(table[column].to_numpy(), table["layer"].to_numpy(), known)

    @property
    def depths(self) -> Float[np.ndarray, " head"]:
        """Relative depth of each head: 0 in the first layer, 1 in the last."""
        depths: np.ndarray = self.layers / max(int(self.layers.max()), 1)
        return depths

    def shuffled(self, rng: np.random.Generator, unit: Unit) -> np.ndarray:
        """Return the roles after a permutation of layers, or of heads, within stages."""
        roles = self.roles.copy()
        for stage in np.unique(self.stages):
            members = np.flatnonzero(self.stages == stage)
            groups = len(np.unique(self.layers[members])) if unit == "layer" else len(members)
            blocks = members.reshape(groups, -1)
            roles[blocks] = self.roles[rng.permutation(blocks)]
        return roles

    def distributions(
        self, roles: np.ndarray, role: str, grid: Float[np.ndarray, " depth"]
    ) -> Float[np.ndarray, "draw depth"]:
        """Return the share of a role's heads up to each depth of a grid, for draws of roles.

        Args:
            roles: Roles of all heads, ``[draw, head]``.
            role: The role; shares are NaN in draws without it.
            grid: Relative depths.
        """
        below = (self.depths[:, None] <= grid + 1e-12).astype(float)
        held = np.equal(roles, role).astype(float)
        with np.errstate(invalid="ignore"):
            shares: np.ndarray = held @ below / held.sum(1, keepdims=True)
        return shares


class RoleAlignment(NamedTuple):
    """How far apart in depth two models' heads of the same role are.

    Attributes:
        distance: Mean over roles that a model has of the distance between the two models'
            distributions of the role over relative depth, from 0 to 1.
        of_role: Distance of each role; NaN for a role that neither model has.
        chance: Mean distance under permutations.
        p: Share of permutations with a distance as small; NaN if no role is in both models.
    """

    distance: float
    of_role: dict[str, float]
    chance: float
    p: float


def role_alignment(
    first: RoleDepths,
    second: RoleDepths,
    *,
    unit: Unit = "layer",
    n_permutations: int = 999,
    seed: int = 0,
) -> RoleAlignment:
    """Compare the depths of two models' roles with those of random places.

    The distance of a role is the area between its two distribution functions over relative depth
    (Wasserstein). It is 1, the largest possible, for a role that only one model has. Under the
    null, the second model's roles do not depend on depth, and its layers are exchangeable.
    Permutations of whole layers keep heads of one layer together; those of single heads reject too
    often if roles come in groups within layers.

    Roles are partly ordered by their definition: no head after the probe's layer can detect. Stages
    keep this order in every permutation.

    Args:
        first: Roles of one model.
        second: Roles of the other model, which are permuted.
        unit: What is permuted.
        n_permutations: Number of random permutations.
        seed: Seed of the permutations.
    """
    rng = rng_for(seed, "role_alignment", unit)
    draws = [second.roles, *(second.shuffled(rng, unit) for _ in range(n_permutations))]
    of_role = _distances(first, second, np.stack(draws).astype(str))
    known = [values for values in of_role.values() if not np.isnan(values).any()]
    distances = np.mean(known, axis=0) if known else np.full(len(draws), np.nan)
    shared = [role for role in ROLES if role in first.roles and role in second.roles]
    return RoleAlignment(
        float(distances[0]),
        {role: float(values[0]) for role, values in of_role.items()},
        float(distances[1:].mean()),
        float(rank_p(-distances[0], -distances[1:])) if shared else float("nan"),
    )


def _distances(
    first: RoleDepths, second: RoleDepths, draws: np.ndarray
) -> dict[str, Float[np.ndarray, " draw"]]:
    """Return the distance of each role for draws of the second model's roles ``[draw, head]``."""
    grid = np.union1d(first.depths, second.depths)
    distances = {}
    for role in ROLES:
        ours = first.distributions(first.roles[None], role, grid)
        theirs = second.distributions(draws, role, grid)
        area = (np.abs(ours - theirs)[:, :-1] * np.diff(grid)).sum(1)
        lone = np.isnan(ours).any() != np.isnan(theirs).any()
        distances[role] = np.ones(len(draws)) if lone else area
    return distances


def alignment_table(
    first: pd.DataFrame,
    second: pd.DataFrame,
    columns: Sequence[str],
    *,
    n_permutations: int = 999,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare the roles of two models' heads, with and without stages.

    Args:
        first: One model's heads, one line each: ``model_name``, ``layer``, ``head``, ``stage`` and
            the columns of roles.
        second: The other model's heads.
        columns: Columns of roles: ``role``, and ``role_<emotion>``.
        n_permutations: Number of permutations.
        seed: Seed of the permutations.

    Returns:
        One line per column of roles and null, ``any_layer`` or ``same_stage``: the distances,
        ``chance`` and ``p``.
    """
    lines: list[dict[str, Any]] = []
    names = [str(table["model_name"].iloc[0]) for table in (first, second)]
    for column in columns:
        for null, stages in (("any_layer", None), ("same_stage", "stage")):
            found = role_alignment(
                *(RoleDepths.of(table, column, stages) for table in (first, second)),
                n_permutations=n_permutations,
                seed=seed,
            )
            lines.append(
                {
                    "model_a": names[0],
                    "model_b": names[1],
                    "roles": column,
                    "null": null,
                    "distance": found.distance,
                    **{f"distance_{role}": value for role, value in found.of_role.items()},
                    "chance": found.chance,
                    "p": found.p,
                }
            )
    return pd.DataFrame(lines)
