"""Doses of steering: lengths against another implementation, and shares counted by hand."""

import numpy as np
import pandas as pd
import pytest
import torch

from architectures import save_architecture
from emotion_circuits.experiments import Outcomes, effect_table
from emotion_circuits.experiments.doses import (
    Doses,
    relative_doses,
    residual_norms,
    wrong_way_shares,
)
from emotion_circuits.experiments.effects import with_losses
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.language_models import ModelSpec, load_language_model

PROMPTS = ["I looked at her chair.", "We counted 12 books.", "No."]
CONTINUATIONS = [(5, 6, 7, 8), (9, 4), (3,)]


@pytest.fixture(scope="module", params=["gpt2", "llama"])
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models") / request.param
    source = save_architecture(request.param, folder)
    return load_language_model(ModelSpec(name=request.param, source=str(source), device="cpu"))


@torch.no_grad()
def lengths_by_hidden_states(model, prompt, said):
    """‖h‖ before each layer at each position that is read, from the output of transformers."""
    ids = [*model.encode(prompt), *said[:-1]]
    hidden = model.plain_model(input_ids=torch.tensor([ids]), output_hidden_states=True)
    return torch.stack(hidden.hidden_states)[:, 0].double().norm(dim=-1).numpy()


@pytest.mark.parametrize(
    ("settings", "first"),
    [
        ({}, lambda n_prompt: n_prompt - 1),
        ({"window": 2}, lambda n_prompt: max(0, n_prompt - 2)),
        ({"window": 3, "new_tokens_only": True}, lambda n_prompt: n_prompt - 1),
        ({"schedule": "decay", "decay_rate": 0.5}, lambda n_prompt: n_prompt - 1),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 64])
def test_the_streams_length_is_that_where_steering_acts(model, settings, first, batch_size):
    steering = SteeringSettings(hook_point="resid_pre", **settings).steering()
    layers = list(range(model.n_layers))
    found = residual_norms(model, PROMPTS, CONTINUATIONS, steering, layers, batch_size=batch_size)
    means = [
        lengths_by_hidden_states(model, prompt, said)[
            : model.n_layers, first(len(model.encode(prompt))) :
        ].mean(axis=1)
        for prompt, said in zip(PROMPTS, CONTINUATIONS, strict=True)
    ]
    assert list(found) == layers
    np.testing.assert_allclose(list(found.values()), np.median(means, axis=0), rtol=1e-5)


def test_a_list_of_strengths_leaves_out_the_steps_that_it_does_not_steer(model):
    """Two strengths: the prompt's last token and the first new one."""
    steering = SteeringSettings(
        hook_point="resid_pre", schedule="list", strengths=[1.0, 0.5]
    ).steering()
    found = residual_norms(model, PROMPTS[:1], CONTINUATIONS[:1], steering, [0])
    start = len(model.encode(PROMPTS[0])) - 1
    wanted = lengths_by_hidden_states(model, PROMPTS[0], CONTINUATIONS[0])[0, start : start + 2]
    assert found[0] == pytest.approx(wanted.mean(), rel=1e-5)


def lines(alphas, **columns):
    table = {"emotion": "anger", "layer": 3, "alpha": alphas, "metric_name": "goemotions.anger"}
    return pd.DataFrame(table | columns)


def test_a_relative_dose_is_what_is_added_over_what_is_there():
    table = lines([0.5, -2.0, np.nan], layer=pd.array([3, 3, None], dtype="Int64"))
    doses = relative_doses(table, {"anger": {3: 6.0}}, {3: 12.0})
    np.testing.assert_allclose(doses, [0.25, 1.0, np.nan])
    assert relative_doses(table, {}, {}).isna().all()  # a sweep that lacks the lengths


def test_a_removed_direction_has_no_dose():
    sweep = {"vector_norms": {"anger": {3: 6.0}}, "residual_norms": {3: 12.0}}
    shares = {"share_decreased": 0.25, "share_increased": 0.5}
    targets = {"anger": "goemotions/anger"}
    for removed, dose, wrong in ((False, 1.0, 0.25), (True, np.nan, 0.5)):
        beside = Doses.of(sweep, removed=removed).beside(lines([2.0], **shares), targets)
        np.testing.assert_allclose(beside["relative_dose"], [dose])
        np.testing.assert_allclose(beside["share_wrong_way"], [wrong])
        assert "share_decreased" not in beside


def test_the_wrong_way_is_against_what_is_intended():
    table = lines(
        [1.0, -1.0, 0.0, 1.0],
        metric_name=["goemotions.anger"] * 3 + ["goemotions.joy"],
        share_decreased=0.25,
        share_increased=0.5,
    )
    own = pd.Series("goemotions.anger", index=table.index)
    found = wrong_way_shares(table, own, removed=False)
    np.testing.assert_allclose(found, [0.25, 0.5, np.nan, np.nan])
    found = wrong_way_shares(table, own, removed=True)
    np.testing.assert_allclose(found, [0.5, 0.25, np.nan, np.nan])


def outcomes_of(changes, costs):
    """One condition that changes the scores of prompts by so much, at so much cost."""
    rng = np.random.default_rng(0)
    before = rng.random(len(changes))
    shared = {"prompt": [f"p{n}" for n in range(len(changes))], "half": "confirm"}
    baseline = pd.DataFrame(shared).assign(kind="baseline", text="", fluency=1.0, **{"m/a": before})
    steered = baseline.assign(
        kind="emotion", fluency=1.0 + np.array(costs), **{"m/a": before + changes}
    )
    return Outcomes(pd.concat([baseline, steered], ignore_index=True))


def test_shares_and_costs_are_counted_by_prompt():
    """A mean that rises, though two of five prompts fall and one stays."""
    outcomes = outcomes_of([-0.1, -0.2, 0.0, 0.9, 0.9], [0.1, 0.2, 0.3, 0.4, np.nan])
    table = effect_table(outcomes, ["kind"], n_bootstrap=50, seed=0, halves=["confirm"])
    row = with_losses(table).set_index("metric_name").loc["m.a"]
    assert row["mean_diff"] == pytest.approx(0.3)
    assert (row["share_decreased"], row["share_increased"]) == (0.4, 0.4)
    whole = outcomes_of([0.1] * 4, [0.1, 0.2, 0.3, 0.4])
    table = effect_table(whole, ["kind"], n_bootstrap=50, seed=0, halves=["confirm"])
    for row in with_losses(table).to_dict("records"):  # beside every score stands the same cost
        assert row["fluency_loss"] == pytest.approx(0.25)
        assert row["fluency_loss_lower"] < 0.25 < row["fluency_loss_upper"]
        assert row["share_decreased"] == 0
