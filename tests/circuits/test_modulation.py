"""Modulated circuits by the engine, against six architectures written out by hand."""

import numpy as np
import pytest
import torch

from architectures import TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.circuits.modulation import (
    components,
    mean_changes,
    scale,
    shift,
    unit_vectors,
)
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.circuits.replacements import inner_nodes
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.steering import Steering
from emotion_circuits.interventions import (
    BASELINE,
    Everywhere,
    Row,
    continuation_log_probs,
    generate_rows,
)
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten import written_heads, written_logits

# float32, sums in another order, where a larger component makes logits larger too.
TOLERANCE = 2e-4
PROMPT = (5, 17, 60, 33, 90)
OTHER = (5, 70, 31, 12, 99, 150)
EVERYWHERE = Steering(positions=Everywhere())


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


@pytest.fixture(scope="module")
def units(model):
    rng = np.random.default_rng(0)
    drawn = rng.normal(size=(model.n_layers, model.d_model))
    drawn /= np.linalg.norm(drawn, axis=1, keepdims=True)
    return dict(enumerate(drawn))


def some_nodes(model):
    top = model.n_layers - 1
    return [Node("head", 0, 1), Node("head", 0, 0), Node("mlp", 0), Node("head", top, 1),
            Node("mlp", top)]  # fmt: skip


def w_o(model, layer, head):
    """The head's part of the output projection, [d_head, d_model], from the plain weights."""
    block = model.plain_blocks[layer]
    heads = slice(head * model.d_head, (head + 1) * model.d_head)
    if model.name == "gpt2":
        return block.attn.c_proj.weight[heads]
    name = {"gpt_neox": "attention.dense", "gpt_neo": "attn.attention.out_proj"}
    return block.get_submodule(name.get(model.name, "self_attn.o_proj")).weight[:, heads].T


def written_scale(model, nodes, units, beta, first):
    """Edits of what heads and MLPs give, from a position on."""

    def edit(attention):
        z = attention.z.clone()
        for node in nodes:
            if node.layer == attention.layer and node.head is not None:
                w = w_o(model, node.layer, node.head) @ torch.tensor(units[node.layer]).float()
                for position in range(first, len(z)):
                    along = torch.dot(z[position, node.head], w) / torch.dot(w, w)
                    z[position, node.head] = z[position, node.head] + beta * along * w
        return z

    def edit_mlp(layer, output):
        output = output.clone()
        if any(node.layer == layer and node.head is None for node in nodes):
            unit = torch.tensor(units[layer]).float()
            for position in range(first, len(output)):
                output[position] += beta * torch.dot(output[position], unit) * unit
        return output

    return edit, edit_mlp


def close(seen, wanted):
    return float((seen - wanted).abs().max()) <= TOLERANCE * max(1.0, float(wanted.abs().max()))


@pytest.mark.parametrize("beta", [-1.0, 0.5, 3.0])
def test_scaled_texts_are_those_written_out(model, units, beta):
    nodes = some_nodes(model)
    condition = scale(model, "scaled", nodes, units, beta, Steering())
    seen = generate_rows(model, [Row(PROMPT, condition)], max_new_tokens=3, keep_logits=True)[0]
    ids = list(PROMPT)
    for step, token in enumerate(seen.token_ids):
        edits = written_scale(model, nodes, units, beta, len(PROMPT) - 1)
        with torch.no_grad():
            wanted = written_logits(model.plain_model, model.name, ids, *edits)[-1]
        assert close(seen.logits[step], wanted)
        ids.append(token)


def test_the_component_of_one_node_is_multiplied_and_removed(model, units):
    for node in some_nodes(model):
        for beta in (2.0, -1.0):
            before = components(model, [PROMPT], units)[0]
            place = inner_nodes(model).index(node)
            edits = written_scale(model, [node], units, beta, 0)
            heads, mlps = _written(model, edits)
            if node.head is None:
                unit = torch.tensor(units[node.layer]).float()
                after = torch.dot(mlps[node.layer][-1], unit)
            else:
                w = w_o(model, node.layer, node.head) @ torch.tensor(units[node.layer]).float()
                after = torch.dot(heads[node.layer][-1, node.head], w)
            wanted = (1 + beta) * float(before[place])
            assert float(after) == pytest.approx(wanted, abs=1e-4)


@torch.no_grad()
def _written(model, edits):
    heads, mlps = {}, {}

    def edit(attention):
        heads[attention.layer] = edits[0](attention)
        return heads[attention.layer]

    def edit_mlp(layer, output):
        mlps[layer] = edits[1](layer, output)
        return mlps[layer]

    written_logits(model.plain_model, model.name, PROMPT, edit, edit_mlp)
    return heads, mlps


def test_components_are_those_written_out(model, units):
    seen = components(model, [PROMPT, OTHER], units)
    with torch.no_grad():
        for row, ids in enumerate((PROMPT, OTHER)):
            heads, mlps = written_heads(model.plain_model, model.name, ids)
            for place, node in enumerate(inner_nodes(model)):
                unit = torch.tensor(units[node.layer]).float()
                output = mlps[node.layer][-1]
                if node.head is not None:
                    z = heads[node.layer].z[-1, node.head]
                    output = z @ w_o(model, node.layer, node.head)
                assert float(seen[row, place]) == pytest.approx(float(output @ unit), abs=1e-5)
    change = mean_changes(model, [(PROMPT, OTHER)], units)
    np.testing.assert_allclose(change[0], (seen[0] - seen[1]).numpy(), atol=1e-7)


def test_a_shift_adds_what_was_asked_for_and_nothing_else(model, units):
    """Each module's output is changed by a hook written here, from the prompt's end on."""
    nodes, beta = some_nodes(model), 1.5
    amounts = {node: 0.3 + place for place, node in enumerate(inner_nodes(model))}
    condition = shift("shifted", nodes, units, amounts, beta, Steering())
    seen = generate_rows(model, [Row(PROMPT, condition)], max_new_tokens=3, keep_logits=True)[0]
    ids = list(PROMPT)
    for step, token in enumerate(seen.token_ids):
        handles = [
            module.register_forward_hook(_adder(vector, len(PROMPT) - 1))
            for module, vector in _outputs(model, nodes, units, amounts, beta)
        ]
        with torch.no_grad():
            plain = model.plain_model(input_ids=torch.tensor([ids]), use_cache=False)
        for handle in handles:
            handle.remove()
        assert close(seen.logits[step], plain.logits[0, -1])
        ids.append(token)


def _outputs(model, nodes, units, amounts, beta):
    """Modules that end attention and MLPs, each with what a node adds."""
    names = {"gpt2": "attn.c_proj", "gpt_neox": "attention.dense",
             "gpt_neo": "attn.attention.out_proj"}  # fmt: skip
    for node in nodes:
        name = "mlp" if node.head is None else names.get(model.name, "self_attn.o_proj")
        vector = beta * amounts[node] * torch.tensor(units[node.layer]).float()
        yield model.plain_blocks[node.layer].get_submodule(name), vector


def _adder(vector, first):
    def hook(module, args, output):
        changed = output.clone()
        changed[:, first:] += vector
        return changed

    return hook


def test_no_strength_changes_no_bit(model, units):
    nodes, amounts = some_nodes(model), dict.fromkeys(inner_nodes(model), 1.0)
    conditions = [
        BASELINE,
        scale(model, "scaled", nodes, units, 0.0, Steering()),
        shift("shifted", nodes, units, amounts, 0.0, Steering()),
    ]
    first, *others = (
        generate_rows(model, [Row(PROMPT, condition)], max_new_tokens=3, keep_logits=True)[0]
        for condition in conditions
    )
    for each in others:
        assert torch.equal(each.logits, first.logits)


def test_rows_of_a_mixed_batch_and_given_texts_are_those_of_rows_alone(model, units):
    nodes, amounts = some_nodes(model), dict.fromkeys(inner_nodes(model), 0.7)
    conditions = [
        scale(model, "scaled", nodes, units, 2.0, Steering()),
        BASELINE,
        shift("shifted", nodes[1:], units, amounts, 2.0, Steering()),
        scale(model, "everywhere", nodes[:2], units, -1.0, EVERYWHERE),
    ]
    rows = [Row(ids, condition) for condition in conditions for ids in (PROMPT, OTHER)]
    together = generate_rows(model, rows, max_new_tokens=3, keep_logits=True)
    given = continuation_log_probs(model, rows, [each.token_ids for each in together])
    for row, each, log_prob in zip(rows, together, given, strict=True):
        (alone,) = generate_rows(model, [row], max_new_tokens=3, keep_logits=True)
        assert alone.token_ids == each.token_ids
        assert close(each.logits, alone.logits)
        own = alone.logits.log_softmax(-1)[range(len(each.token_ids)), list(each.token_ids)]
        assert log_prob == pytest.approx(float(own.mean()), abs=1e-4)


def test_a_head_that_writes_nothing_is_left_out_of_scaling(tmp_path):
    folder = save_architecture("gpt2", tmp_path)
    model = load_language_model(ModelSpec(name="gpt2", source=str(folder), device="cpu"))
    with torch.no_grad():
        model.plain_blocks[0].attn.c_proj.weight[: model.d_head] = 0
    units = dict.fromkeys(range(model.n_layers), np.eye(model.d_model)[0])
    condition = scale(model, "scaled", [Node("head", 0, 0)], units, 2.0, Steering())
    assert condition.interventions == ()


def test_a_layer_without_a_direction_is_one_line():
    vectors = {("anger", 0): np.ones(4), ("anger", 1): np.zeros(4)}
    with pytest.raises(InputError, match="vector of anger at layer 1 is zero"):
        unit_vectors(vectors, "anger", 2)
    with pytest.raises(InputError, match=r"layer '2' is not in .* of anger; known: 0, 1"):
        unit_vectors({**vectors, ("anger", 1): np.ones(4)}, "anger", 3)
