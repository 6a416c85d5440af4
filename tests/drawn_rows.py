"""Tables of rows under conditions of every kind, made from plain data, and drawn at random."""

import numpy as np
import torch
from hypothesis import strategies as st

from emotion_circuits.interventions import (
    Ablate,
    Add,
    AddInSubspace,
    Condition,
    Constant,
    Decay,
    Everywhere,
    Intervention,
    Listed,
    Onward,
    ProjectOut,
    Prompt,
    Replace,
    Row,
    SetComponent,
    Site,
    Window,
)


def vector(seed, *shape):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


ALPHAS = st.sampled_from([0.0, 0.5, 1.0, 3.0, -2.0])
FIXED_RULES = ["onward", "everywhere", ("prompt", None), ("prompt", 1), ("prompt", 3)]
WINDOWS = [("window", size, new) for size in (1, 3, 5, 50) for new in (False, True)]
# Plain data only: objects are made from it by `build`, so that failing cases shrink.
RECIPES = st.fixed_dictionaries(
    {
        "layer": st.integers(0, 10),
        "head": st.integers(0, 10),
        "point": st.sampled_from(
            ["resid_post", "resid_post", "resid_pre", "z", "attn_out", "mlp_out"]
        ),
        "operator": st.sampled_from(["add", "within", "project_out", "set", "ablate", "replace"]),
        "rule": st.sampled_from([*WINDOWS, *FIXED_RULES]),
        "strength": st.one_of(
            st.tuples(st.just("constant"), ALPHAS),
            st.tuples(st.just("decay"), ALPHAS, st.sampled_from([0.5, 0.9, 1.0])),
            st.tuples(st.just("listed"), st.lists(ALPHAS, min_size=1, max_size=8)),
        ),
        "seed": st.integers(0, 1000),
    }
)
TABLES = st.lists(
    st.fixed_dictionaries(
        {
            "n_prompt": st.sampled_from([1, 5, 5, 9]),
            "seed": st.integers(0, 3),
            "recipes": st.lists(RECIPES, max_size=3),
        }
    ),
    min_size=1,
    max_size=4,
)


def build_rule(recipe):
    match recipe:
        case "onward":
            return Onward()
        case "everywhere":
            return Everywhere()
        case ("prompt", last):
            return Prompt(last)
        case (_, size, new_tokens_only):
            return Window(size, new_tokens_only)


def build_strength(recipe):
    match recipe:
        case ("constant", alpha):
            return Constant(alpha)
        case ("decay", alpha, rate):
            return Decay(alpha, rate)
        case (_, listed):
            return Listed(tuple(listed))


def build_operator(name, n_prompt, width, seed):
    match name:
        case "add":
            return Add(vector(seed, width))
        case "within":
            return AddInSubspace(vector(seed, width), vector(seed + 1, 2, width))
        case "project_out":
            return ProjectOut(vector(seed, 1 + seed % 3, width))
        case "set":
            return SetComponent(vector(seed, width), 2.5)
        case "ablate":
            return Ablate(vector(seed, width))
        case _:
            return Replace(vector(seed, n_prompt, width))


def build(recipe, model, n_prompt):
    at_head = recipe["point"] == "z"
    width = model.d_head if at_head else model.d_model
    rule = build_rule(recipe["rule"])
    if recipe["operator"] == "replace" and not isinstance(rule, Prompt):
        rule = Prompt(3)
    return Intervention(
        Site(
            recipe["point"],
            recipe["layer"] % model.n_layers,
            recipe["head"] % model.n_heads if at_head else None,
        ),
        build_operator(recipe["operator"], n_prompt, width, recipe["seed"]),
        rule,
        build_strength(recipe["strength"]),
    )


def build_row(recipe, model):
    rng = np.random.default_rng(recipe["seed"])
    ids = rng.integers(3, 300, recipe["n_prompt"]).tolist()
    several = [build(one, model, recipe["n_prompt"]) for one in recipe["recipes"]]
    return Row(tuple(ids), Condition("drawn", tuple(several)))
