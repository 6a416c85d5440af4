"""The steering gate against a recomputation by hand, and what its card says."""

import numpy as np
import pytest
import torch
import yaml

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import EMOTIONS
from emotion_circuits.interventions import Add, steer
from emotion_circuits.training.architectures import Shape, build_evaluator, build_llama
from emotion_circuits.training.gates.continuations import (
    AS_IT_IS,
    OWN_METRIC,
    as_evaluator,
    continue_greedily,
    with_hook_points,
)
from emotion_circuits.training.gates.pooling import pool_prompts
from emotion_circuits.training.gates.steering import steering_gate
from emotion_circuits.training.steering_tables import steering_section
from emotion_circuits.training.tokenizers import train_tokenizer
from emotion_circuits.training.trained import Trained

SHAPE = Shape(n_layers=3, d_model=16, n_heads=4, n_kv_heads=2, d_mlp=32)
N_PROMPTS, N_RANDOM, SEED = 8, 4, 0


@pytest.fixture(scope="module")
def world(project_root):
    raw = (project_root / "conf/base/parameters_embedded_models.yml").read_text("utf-8")
    return WorldSettings(**yaml.safe_load(raw)["embedded_models"]["world"])


def enlarged(model):
    """Weights large enough for different texts."""
    torch.manual_seed(0)
    for weight in model.parameters():
        weight.data += 0.2 * torch.randn_like(weight)
    return model.eval()


@pytest.fixture(scope="module")
def model(world):
    texts = emotion_prompts(world, split="train", n_per_emotion=8, seed=1)["text"].tolist()
    tokenizer = train_tokenizer(texts, vocab_size=500)
    return with_hook_points(
        Trained(enlarged(build_llama(SHAPE, tokenizer, 0)), tokenizer, {"name": "micro"})
    )


@pytest.fixture(scope="module")
def reader(model):
    tokenizer = train_tokenizer(["a lamp"], vocab_size=270, add_bos=True, add_eos=True)
    evaluator = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0)
    return as_evaluator(Trained(enlarged(evaluator), tokenizer, {"name": "goemotions"}))


@pytest.fixture(scope="module")
def measure(model, reader, world):
    def run(layers_up_to):
        return steering_gate(
            model,
            reader,
            world,
            n_prompts=N_PROMPTS,
            n_random=N_RANDOM,
            layers_up_to=layers_up_to,
            seed=SEED,
        )

    return run


@pytest.fixture(scope="module")
def gate(measure):
    return measure(0.8)


@pytest.fixture(scope="module")
def everywhere(measure):
    return measure(1.0)


@torch.no_grad()
def lengths(model, prompt, said, layer):
    """‖h‖ after a layer at the prompt's last token and the read new ones, by a plain hook."""
    kept = []
    ids = [*model.encode(prompt), *said[:-1]]
    block = model.plain_model.model.layers[layer]
    handle = block.register_forward_hook(
        lambda _module, _args, out: kept.append(out[0] if isinstance(out, tuple) else out)
    )
    model.plain_model(input_ids=torch.tensor([ids]))
    handle.remove()
    return kept[0].reshape(len(ids), -1)[len(model.encode(prompt)) - 1 :].norm(dim=-1).numpy()


def test_the_gate_is_about_early_layers_and_the_last_are_a_comparison(gate, everywhere):
    assert gate["layer"] in (0, 1)
    assert gate["last_layers"]["layer"] == 2
    assert everywhere["last_layers"] is None
    # The control: with all layers, the choice is the better one of both parts.
    assert (everywhere["layer"], everywhere["alpha"]) in {
        (part["layer"], part["alpha"]) for part in (gate, gate["last_layers"])
    }
    assert everywhere["choice"] == gate["choice"]


@pytest.mark.parametrize("part", ["headline", "last_layers"])
def test_effect_cost_dose_and_wrong_way_are_those_of_a_recomputation(
    gate, model, reader, world, part
):
    measured = gate if part == "headline" else gate[part]
    layer, alpha = measured["layer"], measured["alpha"]
    train = emotion_prompts(world, split="train", n_per_emotion=N_PROMPTS, seed=SEED)
    values, labels = pool_prompts(model, train).values[:, layer], train["emotion"].to_numpy()
    test = emotion_prompts(world, split="test", n_per_emotion=N_PROMPTS, seed=SEED + 1000)
    prompts = test["text"][test["emotion"] == "neutral"].tolist()
    for emotion in EMOTIONS:
        vector = values[labels == emotion].mean(0) - values[labels == "neutral"].mean(0)
        steered = steer("s", Add(torch.tensor(vector).float()), layer, alpha=alpha)
        outcomes = continue_greedily(
            model, reader, prompts, [AS_IT_IS, (steered, {"kind": "emotion"})]
        )
        unsteered, moved = outcomes.baseline, outcomes.where(kind="emotion")
        key = [OWN_METRIC[emotion]]
        change = (moved.values(key) - unsteered.values(key))[:, 0]
        cost = moved.table["fluency"].to_numpy() - unsteered.table["fluency"].to_numpy()
        cell = measured["emotions"][emotion]
        assert cell["change"]["value"] == pytest.approx(change.mean(), abs=1e-3)
        assert cell["cost"]["value"] == pytest.approx(cost.mean(), abs=1e-3)
        assert cell["d"]["value"] == pytest.approx(change.mean() / change.std(ddof=1), abs=2e-2)
        assert cell["share_wrong_way"] == pytest.approx((change < 0).mean(), abs=1e-4)
        said = unsteered.table["token_ids"].tolist()
        stream = [
            lengths(model, p, ids, layer).mean() for p, ids in zip(prompts, said, strict=True)
        ]
        dose = alpha * np.linalg.norm(vector) / np.median(stream)
        assert cell["relative_dose"] == pytest.approx(dose, rel=1e-3)


def test_each_kind_of_random_directions_has_a_rank_and_a_cost(gate):
    grid = [round(k / (N_RANDOM + 1), 4) for k in range(1, N_RANDOM + 2)]
    for part in (gate, gate["last_layers"]):
        for cell in part["emotions"].values():
            for kind in ("random", "covariance"):
                assert len(cell[f"{kind}_d"]) == N_RANDOM
                assert cell[f"{kind}_p"] in grid
                half = np.mean(np.abs(cell[f"{kind}_d"]) < cell["d"]["value"] / 2)
                assert cell[f"{kind}_below_half"] == half
                assert np.isfinite(cell[f"{kind}_cost"])
            assert cell["random_d"] != cell["covariance_d"]


def test_the_card_has_a_cost_beside_each_effect_and_names_both_choices(gate, everywhere):
    section = steering_section(gate)
    tables = [table for table in section.split("\n\n") if table.startswith("|")]
    effects = [table for table in tables if "change of own label" in table.splitlines()[0]]
    matrices = [table for table in tables if "Steered towards" in table.splitlines()[0]]
    assert len(effects) == 2
    for table in (*effects, *matrices):
        assert "cost, nats per token" in table.splitlines()[0]
    assert all("relative dose" in table for table in effects)
    assert f"added after layer {gate['layer']} with α = {gate['alpha']:g}" in section
    assert f"after layer 2 with α = {gate['last_layers']['alpha']:g}, chosen alike" in section
    assert section.count("activations' covariance") == 6
    assert "among the last layers" not in steering_section(everywhere)
