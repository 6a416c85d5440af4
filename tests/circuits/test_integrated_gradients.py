"""Integrated gradients against plain PyTorch, the change they must add up to, and exact patches."""

from contextlib import contextmanager

import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.circuits import (
    head_writes,
    log_odds_target,
    node_scores,
    projection_target,
)
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Site, record
from emotion_circuits.language_models import ModelSpec, load_language_model

CLEAN = torch.tensor([[5, 17, 60, 33, 90], [5, 70, 31, 12, 8]])
CORRUPTED = torch.tensor([[5, 17, 201, 33, 44], [5, 9, 31, 130, 8]])
TOKENS = torch.tensor([3, 11])


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


@pytest.fixture(scope="module")
def log_odds():
    return log_odds_target([TOKENS, TOKENS])


def test_the_scores_of_the_embeddings_are_the_whole_change(model, log_odds):
    last = model.n_layers - 1
    found = node_scores(model, CLEAN, CORRUPTED, log_odds, layer=last, steps=100)
    torch.testing.assert_close(found.input, found.change, rtol=0.01, atol=1e-4)
    once = node_scores(model, CLEAN, CORRUPTED, log_odds, layer=last, steps=1)
    error = (once.input - once.change).abs() / once.change.abs()
    assert error.max() > 0.01  # so that the agreement above says something


def test_the_scores_of_moved_outputs_are_what_their_loss_costs(model, log_odds):
    """The heads of a layer together, and an MLP, replaced by the partner's outputs exactly."""
    last = model.n_layers - 1
    options = {"layer": last, "steps": 64, "variant": "activations"}
    found = node_scores(model, CLEAN, CORRUPTED, log_odds, **options)

    def odds(replace):
        logits = record(model, CLEAN, list(replace), replace=replace).logits
        return log_odds(torch.empty(0), logits)

    for layer in range(model.n_layers):
        for point, scores in (
            ("z", found.heads[:, layer].sum(1)),
            ("mlp_out", found.mlps[:, layer]),
        ):
            site = Site(point, layer)
            partner = record(model, CORRUPTED, [site]).activations
            cost = odds({}) - odds(partner)
            torch.testing.assert_close(scores, cost, rtol=0.01, atol=2e-4)
            assert cost.abs().max() > 1e-2  # so that the agreement says something


def test_prompts_that_do_not_differ_have_scores_of_zero(model, log_odds):
    found = node_scores(model, CLEAN, CLEAN, log_odds, layer=model.n_layers - 1, steps=3)
    assert all((values == 0).all() for values in found)


@pytest.mark.parametrize("model", ["gpt_neox"], indirect=True)
def test_a_head_of_the_last_layer_scores_what_it_writes_along_the_direction(model):
    """In parallel blocks, nothing after a head of the last layer reads what it wrote."""
    last = model.n_layers - 1
    directions = torch.randn(2, model.d_model, generator=torch.Generator().manual_seed(0))
    target = projection_target(directions)
    found = node_scores(model, CLEAN, CORRUPTED, target, layer=last, steps=1)
    written = [head_writes(model, ids.tolist())[:, last] for ids in (CLEAN, CORRUPTED)]
    units = directions / directions.norm(dim=-1, keepdim=True)
    wanted = torch.einsum("phd,pd->ph", written[0] - written[1], units)
    torch.testing.assert_close(found.heads[:, last], wanted, atol=1e-5, rtol=1e-4)


def test_nodes_after_the_layer_that_the_target_reads_score_zero(model):
    last = model.n_layers - 1
    target = projection_target(torch.ones(2, model.d_model))
    found = node_scores(model, CLEAN, CORRUPTED, target, layer=last - 1, steps=1)
    for scores in (found.heads, found.mlps):
        assert (scores[:, last] == 0).all()
        assert (scores[:, last - 1] != 0).any()


def test_a_score_is_close_to_what_replacing_a_small_difference_does(model, log_odds):
    """To first order, patching an output moves the target by the score of one step."""
    last, site = model.n_layers - 1, Site("z", 0)
    sites = [site, Site("resid_post", last)]
    clean = record(model, CLEAN, sites).activations[site]
    other = record(model, CORRUPTED, sites).activations[site]
    moved = clean.clone()
    moved[:, :, 1] += 1e-3 * (other - clean)[:, :, 1]
    runs = [record(model, CLEAN, sites, replace={site: z}).logits for z in (clean, moved)]
    values = [log_odds(CLEAN, logits) for logits in runs]
    found = node_scores(model, CLEAN, CORRUPTED, log_odds, layer=last, steps=1)
    torch.testing.assert_close(
        found.heads[:, 0, 1], (values[0] - values[1]) / 1e-3, rtol=0.02, atol=2e-3
    )


def test_gradients_between_the_prompts_are_those_of_plain_pytorch(tmp_path, log_odds):
    folder = save_architecture("gpt2", tmp_path)
    model = load_language_model(ModelSpec(name="gpt2", source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    outputs = {}
    with torch.no_grad():
        for name, ids in (("clean", CLEAN), ("corrupted", CORRUPTED)):
            with watching(plain, outputs, name):
                plain(ids)
    embedded = [plain.transformer.wte(ids).detach() for ids in (CORRUPTED, CLEAN)]
    total = torch.zeros_like(outputs["clean"])
    for step, weight in ((0, 0.5), (1, 1), (2, 1), (3, 0.5)):
        between = embedded[0] + step / 3 * (embedded[1] - embedded[0])
        with watching(plain, outputs, "between"):
            logits = plain(inputs_embeds=between.requires_grad_()).logits[:, -1]
        value = log_odds(CLEAN, logits).sum()
        total += weight * torch.autograd.grad(value, outputs["between"])[0]
    wanted = ((outputs["clean"] - outputs["corrupted"]) * total / 3).sum((1, 2))
    found = node_scores(model, CLEAN, CORRUPTED, log_odds, layer=model.n_layers - 1, steps=3)
    torch.testing.assert_close(found.mlps[:, 0], wanted, atol=1e-5, rtol=1e-4)


@contextmanager
def watching(plain, outputs, name):
    """Keep the output of the first layer's MLP."""
    hook = plain.transformer.h[0].mlp.register_forward_hook(
        lambda module, inputs, output: outputs.__setitem__(name, output)
    )
    yield
    hook.remove()


@pytest.mark.parametrize(
    ("corrupted", "steps", "line"),
    [(CORRUPTED[:1], 1, r"\(2, 5\) and corrupted ones \(1, 5\)"), (CORRUPTED, 0, "steps is 0")],
)
def test_impossible_pairs_are_one_line(model, log_odds, corrupted, steps, line):
    with pytest.raises(InputError, match=line):
        node_scores(model, CLEAN, corrupted, log_odds, layer=0, steps=steps)


def test_only_a_recorded_site_can_be_replaced(model):
    site = Site("resid_pre", 0)
    ours, theirs = (record(model, ids, [site]) for ids in (CLEAN, CORRUPTED))
    given = {site: theirs.activations[site]}
    replaced = record(model, CLEAN, [site], replace=given)
    torch.testing.assert_close(replaced.logits, theirs.logits, atol=1e-5, rtol=1e-4)
    assert (replaced.logits - ours.logits).abs().max() > 1e-3
    with pytest.raises(InputError, match="resid_pre of layer 0 is replaced but not among"):
        record(model, CLEAN, [Site("z", 0)], replace=given)
