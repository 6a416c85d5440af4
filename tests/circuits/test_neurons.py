"""Scores of neurons against plain PyTorch, and against the scores of their MLPs."""

import pytest
import torch

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.circuits import log_odds, log_odds_target, node_scores
from emotion_circuits.circuits.neurons import attribute_neurons, neuron_scores
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model

CLEAN = torch.tensor([[5, 17, 60, 33, 90], [5, 70, 31, 12, 8]])
CORRUPTED = torch.tensor([[5, 17, 201, 33, 44], [5, 9, 31, 130, 8]])
LONGER = torch.tensor([[5, 88, 17, 14, 201, 33, 44], [5, 3, 61, 9, 31, 130, 8]])
TOKENS = torch.tensor([3, 11])
LOG_ODDS = log_odds_target([TOKENS, TOKENS])
# Names of each architecture's layers, and of the module that reads the neurons.
MODULES = {
    "gpt2": ("transformer.h", "mlp.c_proj"),
    "gpt_neox": ("gpt_neox.layers", "mlp.dense_4h_to_h"),
    "gpt_neo": ("transformer.h", "mlp.c_proj"),
    **dict.fromkeys(("llama", "qwen3", "gemma3"), ("model.layers", "mlp.down_proj")),
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


@pytest.mark.parametrize("corrupted", [CORRUPTED, LONGER], ids=["equal", "longer"])
@pytest.mark.parametrize("variant", ["inputs", "activations"])
def test_the_neurons_of_an_mlp_sum_to_its_score(model, corrupted, variant):
    mlps = [0, model.n_layers - 1]
    options = {"layer": model.n_layers - 1, "steps": 4, "variant": variant}
    found = neuron_scores(model, CLEAN, corrupted, LOG_ODDS, mlps=mlps, **options)
    whole = node_scores(model, CLEAN, corrupted, LOG_ODDS, **options).mlps[:, mlps]
    torch.testing.assert_close(found.sum(2), whole, rtol=0.01, atol=1e-5)
    assert whole.abs().min() > 1e-3  # so that the agreement says something


def plain_activations(model, ids, layer, change=None):
    """Neurons' activations and log odds of one prompt, in plain PyTorch."""
    layers, name = MODULES[model.name]
    module = model.plain_model.get_submodule(f"{layers}.{layer}.{name}")
    seen = []

    def hook(module, args):
        value = args[0].detach().clone().requires_grad_()
        if change is not None:
            value = value + change
        seen.append(value)
        return (value,)

    handle = module.register_forward_pre_hook(hook)
    try:
        with torch.enable_grad():
            logits = model.plain_model(ids[None]).logits[:, -1].float()
            return seen[0], log_odds(logits, TOKENS)[0]
    finally:
        handle.remove()


def test_one_step_is_the_gradient_of_plain_pytorch(model):
    for layer in range(model.n_layers):
        found = neuron_scores(
            model, CLEAN, CORRUPTED, LOG_ODDS, layer=model.n_layers - 1, mlps=[layer], steps=1
        )
        for pair in range(2):
            clean, value = plain_activations(model, CLEAN[pair], layer)
            other, _ = plain_activations(model, CORRUPTED[pair], layer)
            (gradient,) = torch.autograd.grad(value, clean)
            wanted = ((clean - other) * gradient).sum((0, 1)).detach()
            torch.testing.assert_close(found[pair, 0], wanted, atol=2e-5, rtol=1e-3)


def test_a_score_is_what_a_small_step_of_the_neuron_alone_does(model):
    """Each neuron of the last MLP moves a twentieth of the way to the partner, exactly."""
    last = model.n_layers - 1
    found = neuron_scores(model, CLEAN, CORRUPTED, LOG_ODDS, layer=last, mlps=[last], steps=1)[0, 0]
    clean, value = plain_activations(model, CLEAN[0], last)
    other, _ = plain_activations(model, CORRUPTED[0], last)
    losses = []
    for neuron in range(len(found)):
        change = torch.zeros_like(clean)
        change[..., neuron] = 0.05 * (other - clean)[..., neuron].detach()
        losses.append((value - plain_activations(model, CLEAN[0], last, change)[1]).detach())
    assert torch.corrcoef(torch.stack([found, torch.stack(losses)]))[0, 1] > 0.98


def test_prompts_that_do_not_differ_have_scores_of_zero(model):
    found = neuron_scores(model, CLEAN, CLEAN, LOG_ODDS, layer=1, mlps=[0], steps=2)
    assert (found == 0).all()


@pytest.mark.parametrize("model", ["llama"], indirect=True)
def test_many_pairs_are_what_each_is_alone(model):
    clean = [tuple(ids) for ids in [*CLEAN.tolist(), *LONGER.tolist()]]
    corrupted = [tuple(ids) for ids in [*CORRUPTED.tolist(), *CLEAN.tolist()]]
    options = {"layer": model.n_layers - 1, "mlps": [1, 0], "steps": 2}

    def target_of(chosen):
        return log_odds_target([TOKENS] * len(chosen))

    found = attribute_neurons(model, clean, corrupted, target_of, batch_size=3, **options)
    for index, pair in enumerate(zip(clean, corrupted, strict=True)):
        one, other = (torch.tensor([ids]) for ids in pair)
        alone = neuron_scores(model, one, other, target_of([0]), **options)
        torch.testing.assert_close(found[index], alone[0], atol=1e-5, rtol=1e-4)
    with pytest.raises(InputError, match="layer 7 is out of range"):
        neuron_scores(model, CLEAN, CORRUPTED, LOG_ODDS, layer=1, mlps=[7])
