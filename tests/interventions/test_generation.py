"""The engine gives what full recomputation gives, in whatever company a row runs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, save_architecture
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
    generate_rows,
    planned,
)
from emotion_circuits.language_models import ModelSpec, load_language_model
from recomputation import reference_generate

# float32, sums in another order (the batch, the cache, the fused kernel); logits are of order 10.
TOLERANCE = 1e-4
N_STEPS = 6


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, plain


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


@settings(max_examples=40)
@given(table=TABLES)
def test_any_table_equals_recomputing_each_row_alone(loaded, table):
    model, plain = loaded
    rows = [build_row(recipe, model) for recipe in table]
    ledger = []
    results = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True, ledger=ledger)
    for index, (row, result) in enumerate(zip(rows, results, strict=True)):
        ids, logits = reference_generate(plain, model.name, row.prompt_ids, row.condition, N_STEPS)
        assert result.token_ids == ids
        scale = max(1.0, logits.abs().max().item() / 10)
        assert (result.logits - logits).abs().max() <= TOLERANCE * scale
        seen = np.zeros_like(planned(row.condition, n_prompt=row.n_prompt, n_steps=N_STEPS))
        for line in ledger:
            if line.row == index:
                seen[line.intervention, line.step, line.position] = True
        wanted = planned(row.condition, n_prompt=row.n_prompt, n_steps=N_STEPS)
        assert (seen[:, : len(ids)] == wanted[:, : len(ids)]).all()
        assert not seen[:, len(ids) :].any()
