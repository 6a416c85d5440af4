"""Depths of roles in two models: areas by hand, the level of the test, and planted agreement."""

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.circuits.roles.depths import RoleDepths, alignment_table, role_alignment
from emotion_circuits.circuits.roles.rules import NONE, ROLES
from emotion_circuits.errors import InputError


def model_with(roles_by_layer, n_heads=4, *, stages=None):
    roles, layers = [], []
    for layer, held in enumerate(roles_by_layer):
        roles += [*held, *[NONE] * (n_heads - len(held))]
        layers += [layer] * n_heads
    known = np.zeros(len(layers)) if stages is None else np.repeat(stages, n_heads)
    return RoleDepths(np.array(roles, dtype=object), np.array(layers), known)


def area(first, second):
    """Area between two distribution functions over depth, by a fine sum."""
    grid = (np.arange(20_000) + 0.5) / 20_000
    functions = [(np.asarray(part)[:, None] <= grid).mean(0) for part in (first, second)]
    return np.abs(functions[0] - functions[1]).mean()


def test_distances_are_areas_between_distribution_functions():
    first = model_with([["detect"], ["detect", "express"], [], ["express"]])
    second = model_with([[], ["detect"], ["express", "aggregate"]])
    found = role_alignment(first, second, n_permutations=9)
    assert found.of_role["detect"] == pytest.approx(area([0, 1 / 3], [1 / 2]), abs=1e-3)
    assert found.of_role["express"] == pytest.approx(area([1 / 3, 1], [1]), abs=1e-3)
    assert found.of_role["aggregate"] == 1  # only the second model has it
    assert found.distance == pytest.approx(np.mean(list(found.of_role.values())))


def random_model(rng, n_layers, *, grouped):
    """Roles at random places; in groups, all heads of a layer have one role or none."""
    if grouped:
        chosen = rng.choice(n_layers, size=3, replace=False)
        held = [[] for _ in range(n_layers)]
        for layer, role in zip(chosen, ROLES, strict=True):
            held[layer] = [role] * 3
        return model_with(held)
    roles = np.array([NONE] * (4 * n_layers), dtype=object)
    roles[:9] = np.repeat(ROLES, 3)
    return RoleDepths(
        rng.permutation(roles), np.repeat(np.arange(n_layers), 4), np.zeros(4 * n_layers)
    )


@pytest.mark.parametrize("grouped", [False, True])
def test_roles_at_random_places_are_seldom_aligned(grouped):
    """The level of 120 pairs of models: 5 % and 3 standard errors."""
    rng = np.random.default_rng(0)
    models = [[random_model(rng, n, grouped=grouped) for n in (6, 9)] for _ in range(120)]
    p = [role_alignment(*pair, n_permutations=59, seed=i).p for i, pair in enumerate(models)]
    assert np.mean(np.array(p) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 120)
    assert np.mean(p) == pytest.approx(0.5, abs=0.1)


def test_permuted_heads_would_reject_groups_too_often():
    rng = np.random.default_rng(1)
    models = [[random_model(rng, n, grouped=True) for n in (6, 9)] for _ in range(80)]
    p = [role_alignment(*pair, unit="head", n_permutations=59).p for pair in models]
    assert np.mean(np.array(p) <= 0.05) > 0.1


def test_roles_at_the_same_depth_are_found_in_models_of_other_sizes():
    rng = np.random.default_rng(2)
    hits = []
    for _ in range(20):
        pair = []
        for n_layers in (8, 12):
            held = [[] for _ in range(n_layers)]
            for role, depth in zip(ROLES, (0.2, 0.6, 0.95), strict=True):
                for _ in range(3):
                    at = round(np.clip(depth + 0.05 * rng.normal(), 0, 1) * (n_layers - 1))
                    held[at].append(role)
            pair.append(model_with(held, n_heads=9))
        hits.append(role_alignment(*pair, n_permutations=199).p <= 0.05)
    assert np.mean(hits) >= 0.9


def test_an_order_that_stages_force_is_no_agreement():
    """Roles fill their stages at random: aligned against any layer, but not within stages."""
    rng = np.random.default_rng(3)
    free, staged = [], []
    for number in range(40):
        pair = []
        for size in (4, 5):
            held = []
            for role in ROLES:
                stage = [[] for _ in range(size)]
                stage[rng.integers(size)] = [role] * 3
                held += stage
            pair.append(model_with(held, stages=np.repeat([0, 1, 2], size)))
        staged.append(role_alignment(*pair, n_permutations=59, seed=number).p)
        loose = [RoleDepths(each.roles, each.layers, np.zeros(len(each.layers))) for each in pair]
        free.append(role_alignment(*loose, n_permutations=59, seed=number).p)
    assert np.mean(np.array(free) <= 0.05) > 0.5
    assert np.mean(np.array(staged) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 40)


def test_the_table_has_a_line_for_each_kind_of_roles_and_null():
    first = model_with([["detect"], ["aggregate"], ["express"]], n_heads=2)
    table = pd.DataFrame(
        {
            "model_name": "a",
            "layer": first.layers,
            "head": [0, 1] * 3,
            "stage": ["text", "text", "text", "text", "after", "after"],
            "role": first.roles,
            "role_anger": NONE,
        }
    )
    found = alignment_table(table, table.assign(model_name="b"), ["role", "role_anger"])
    assert found[["roles", "null"]].to_numpy().tolist() == [
        ["role", "any_layer"],
        ["role", "same_stage"],
        ["role_anger", "any_layer"],
        ["role_anger", "same_stage"],
    ]
    assert found["distance"][0] == 0
    assert found["p"][0] == pytest.approx(1 / 6, abs=0.05)  # 3! orders of the layers
    assert found["p"][1] == pytest.approx(1 / 2, abs=0.06)
    assert found["p"][2:].isna().all()


def test_a_table_that_lacks_heads_is_one_line():
    with pytest.raises(InputError, match="layers have 2, 1 heads"):
        RoleDepths(np.array([NONE] * 3, dtype=object), np.array([0, 0, 1]), np.zeros(3))
