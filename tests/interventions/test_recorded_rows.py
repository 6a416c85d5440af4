"""Recording under conditions against single prompts and hooks of torch alone."""

import pytest
import torch

from architectures import save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.interventions import Prompt, Row, Site, record_rows
from emotion_circuits.language_models import ModelSpec, load_language_model

PROMPTS = [(5, 17, 60, 33, 90), (5, 70, 31), (5, 9, 8, 130, 77)]
SITES = [Site("resid_post", 1), Site("z", 1)]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_architecture("llama", tmp_path_factory.mktemp("llama"))
    return load_language_model(ModelSpec(name="llama", source=str(folder), device="cpu"))


def plainly(model, ids, head, value, first):
    """Change the input of the output projection of layer 1 and keep the block's output."""
    block, kept = model.plain_blocks[1], {}

    def change(module, inputs):
        z = inputs[0].unflatten(-1, (model.n_heads, -1)).clone()
        z[:, first:, head] = value
        kept["z"] = z
        return (z.flatten(-2),)

    hooks = [
        block.self_attn.o_proj.register_forward_pre_hook(change),
        block.register_forward_hook(lambda module, inputs, output: kept.update(post=output)),
    ]
    with torch.no_grad():
        logits = model.plain_model(torch.tensor([ids])).logits[0, -1]
    for hook in hooks:
        hook.remove()
    return kept["post"][0], kept["z"][0], logits


@pytest.mark.parametrize("last", [None, 1])
def test_each_row_is_recorded_under_its_own_condition(model, last):
    values = torch.randn(3, 4, 8, generator=torch.Generator().manual_seed(0))
    positions = None if last is None else Prompt(last)
    rows = [
        Row(ids, ablate_heads("x", [(1, head)], values, positions=positions))
        for ids in PROMPTS
        for head in (0, 3)
    ]
    seen = [0] * len(rows)
    for indices, recorded in record_rows(model, rows, SITES):
        for entry, index in enumerate(indices):
            seen[index] += 1
            ids, head = rows[index].prompt_ids, (0, 3)[index % 2]
            first = 0 if last is None else len(ids) - last
            post, z, logits = plainly(model, ids, head, values[1, head], first)
            activations = recorded.activations
            torch.testing.assert_close(activations[SITES[0]][entry], post, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(activations[SITES[1]][entry], z, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(recorded.logits[entry], logits, atol=1e-5, rtol=1e-4)
    assert seen == [1] * len(rows)


def test_no_hook_is_left_where_the_reader_stops(model):
    rows = [Row(ids) for ids in PROMPTS]
    for _ in record_rows(model, rows, SITES):
        break
    modules = model.plain_model.modules()
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules)


def test_a_site_of_the_bridge_is_refused(model):
    with pytest.raises(InputError, match="only the bridge shows it"):
        list(record_rows(model, [Row(PROMPTS[0])], [Site("pattern", 0)]))
