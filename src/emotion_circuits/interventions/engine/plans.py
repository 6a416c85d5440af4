"""The positions, steps and strengths of interventions for a prompt's length."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

from emotion_circuits.interventions.conditions import Condition, Intervention


def plan(
    intervention: Intervention, n_prompt: int, n_steps: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an intervention's α by position, α by step and window start by step."""
    alphas = intervention.strength.values(n_steps)
    rule = intervention.positions
    n_total = n_prompt + n_steps
    fixed = np.zeros(n_total)
    if rule.moving:
        starts = np.array([rule.first(n_prompt, step) for step in range(n_steps)])
        return fixed, alphas, starts
    covered = rule.covered(n_prompt, n_total)
    read_at = np.clip(covered - n_prompt + 1, 0, n_steps - 1)
    fixed[covered] = alphas[read_at]
    return fixed, np.zeros(n_steps), np.zeros(n_steps, dtype=int)


def planned(
    condition: Condition, *, n_prompt: int, n_steps: int
) -> Bool[np.ndarray, "intervention step position"]:
    """Return the positions that a condition patches at each step, as the ledger must show them.

    A position that stays patched is marked once, at the step that reads it first.
    """
    shape = (len(condition.interventions), n_steps, n_prompt + n_steps)
    covered = np.zeros(shape, dtype=bool)
    for index, intervention in enumerate(condition.interventions):
        fixed, moving, starts = plan(intervention, n_prompt, n_steps)
        for step in range(n_steps):
            end = n_prompt + step
            if intervention.positions.moving:
                covered[index, step, starts[step] : end] = moving[step] != 0
            elif step == 0:
                covered[index, step, :end] = fixed[:end] != 0
            else:
                covered[index, step, end - 1] = fixed[end - 1] != 0
    return covered
