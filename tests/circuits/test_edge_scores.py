"""Edge scores against plain PyTorch, against sums that they must have, and TransformerLens."""

import pytest
import torch
from transformer_lens.tools.analysis import EdgeAttributionConfig, attribution_patch

from architectures import TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.circuits import (
    edge_scores,
    graph_of,
    log_odds,
    log_odds_target,
    node_scores,
    projection_target,
)
from emotion_circuits.circuits.pair_attribution import attribute_pairs
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten_edges import GRAPHS, attribution

CLEAN = torch.tensor([[5, 17, 60, 33, 90], [5, 70, 31, 12, 8]])
CORRUPTED = torch.tensor([[5, 17, 201, 33, 44], [5, 9, 31, 130, 8]])
LONGER = torch.tensor([[5, 88, 17, 14, 201, 33, 44], [5, 3, 61, 9, 31, 130, 8]])
TOKENS = torch.tensor([3, 11])
LOG_ODDS = log_odds_target([TOKENS, TOKENS])


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


def by_edge(model, found, pair=0):
    names = map(str, graph_of(model).edges())
    return dict(zip(names, found.edges[pair].tolist(), strict=True))


def outgoing(model, found):
    """The sum of each source's edges, ``[pair, source]``, sources as in ``Graph.nodes``."""
    graph = graph_of(model)
    sources = [edge.source for edge in graph.edges()]
    nodes = graph.nodes()[:-1]
    return torch.stack(
        [found.edges[:, [one == node for one in sources]].sum(1) for node in nodes],
        dim=1,
    )


def in_order(scores):
    """Node scores, ``[pair, source]``."""
    layers = torch.cat([scores.heads, scores.mlps[:, :, None]], dim=2)
    return torch.cat([scores.input[:, None], layers.flatten(1)], dim=1)


@pytest.fixture(params=["equal", "longer", "shorter"])
def corrupted_ids(request):
    return {"equal": CORRUPTED, "longer": LONGER, "shorter": CORRUPTED[:, [0, 2, 3, 4]]}[
        request.param
    ]


def test_the_edges_out_of_a_node_sum_to_its_score(model, corrupted_ids):
    last = model.n_layers - 1
    found = edge_scores(model, CLEAN, corrupted_ids, LOG_ODDS, layer=last, steps=2)
    sums, nodes = outgoing(model, found), in_order(found.nodes)
    if model.name == "gemma3":  # norms follow attention and MLP
        sums, nodes = sums[:, :1], nodes[:, :1]
    torch.testing.assert_close(sums, nodes, atol=2e-5, rtol=1e-3)


def test_the_edges_out_of_the_embeddings_are_the_whole_change(model):
    last = model.n_layers - 1
    found = edge_scores(model, CLEAN, LONGER, LOG_ODDS, layer=last, steps=32)
    sums = outgoing(model, found)[:, 0]
    torch.testing.assert_close(sums, found.nodes.change, rtol=0.01, atol=2e-4)


def test_prompts_that_do_not_differ_have_scores_of_zero(model):
    found = edge_scores(model, CLEAN, CLEAN, LOG_ODDS, layer=model.n_layers - 1, steps=2)
    assert (found.edges == 0).all()


@pytest.mark.parametrize("model", sorted(GRAPHS), indirect=True)
def test_one_step_is_what_plain_pytorch_gives(model, corrupted_ids):
    ours = edge_scores(model, CLEAN, corrupted_ids, LOG_ODDS, layer=model.n_layers - 1, steps=1)
    for pair in range(2):
        wanted = attribution(
            model.name,
            model.plain_model,
            CLEAN[pair],
            corrupted_ids[pair],
            lambda logits: log_odds(logits[None], TOKENS)[0],
            list(by_edge(model, ours)),
        )
        assert by_edge(model, ours, pair) == pytest.approx(wanted, abs=2e-5, rel=1e-3)


@pytest.mark.parametrize("model", sorted(GRAPHS), indirect=True)
def test_moving_outputs_is_what_plain_pytorch_gives(model, corrupted_ids):
    """With two steps: a quarter of the gradient at each end, and half in the middle."""
    last, graph = model.n_layers - 1, graph_of(model)
    options = {"layer": last, "steps": 2, "variant": "activations"}
    ours = edge_scores(model, CLEAN, corrupted_ids, LOG_ODDS, **options)
    groups = [["input"]]
    for layer in range(model.n_layers):
        groups += [[f"a{layer}.h{head}" for head in range(model.n_heads)], [f"m{layer}"]]
    wanted = {}
    for group in groups:
        edges = [str(edge) for edge in graph.edges() if str(edge.source) in group]
        wanted |= dict.fromkeys(edges, 0.0)
        for share, weight in ((0.0, 0.25), (0.5, 0.5), (1.0, 0.25)):
            scores = attribution(
                model.name,
                model.plain_model,
                CLEAN[0],
                corrupted_ids[0],
                lambda logits: log_odds(logits[None], TOKENS)[0],
                edges,
                moved=group,
                share=share,
            )
            for edge in edges:
                wanted[edge] += weight * scores[edge]
    assert by_edge(model, ours) == pytest.approx(wanted, abs=2e-5, rel=1e-3)


def test_moving_outputs_in_one_step_is_attribution_patching(model, corrupted_ids):
    last = model.n_layers - 1
    found = [
        edge_scores(model, CLEAN, corrupted_ids, LOG_ODDS, layer=last, steps=1, variant=variant)
        for variant in ("inputs", "activations")
    ]
    torch.testing.assert_close(found[0].edges, found[1].edges, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found[0].nodes, found[1].nodes, atol=1e-5, rtol=1e-4)


def test_the_edges_out_of_a_moved_node_sum_to_its_score(model):
    options = {"layer": model.n_layers - 1, "steps": 2, "variant": "activations"}
    found = edge_scores(model, CLEAN, LONGER, LOG_ODDS, **options)
    alone = node_scores(model, CLEAN, LONGER, LOG_ODDS, **options)
    torch.testing.assert_close(found.nodes, alone, atol=1e-5, rtol=1e-3)
    if model.name != "gemma3":  # norms follow attention and MLP
        torch.testing.assert_close(outgoing(model, found), in_order(alone), atol=2e-5, rtol=1e-3)


def test_edges_that_the_target_does_not_read_score_zero(model):
    """The component after the first layer: later nodes reach nothing, earlier ones reach it."""
    graph = graph_of(model)
    target = projection_target(torch.arange(1.0, model.d_model + 1).repeat(2, 1))
    found = edge_scores(model, CLEAN, CORRUPTED, target, layer=0, steps=2)
    known = by_edge(model, found)
    for edge in graph.edges():
        later = (edge.source.layer or 0) > 0 or (edge.target.layer or 0) > 0
        assert (known[str(edge)] == 0) == later, edge
    if model.name != "gemma3":
        sums, nodes = outgoing(model, found), in_order(found.nodes)
        torch.testing.assert_close(sums, nodes, atol=1e-4, rtol=1e-3)


def test_pairs_do_not_depend_on_their_neighbours(model):
    last = model.n_layers - 1
    both = edge_scores(model, CLEAN, LONGER, LOG_ODDS, layer=last, steps=2).edges
    alone = edge_scores(
        model, CLEAN[1:], LONGER[1:], log_odds_target([TOKENS]), layer=last, steps=2
    ).edges
    torch.testing.assert_close(both[1:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("model", ["llama"], indirect=True)
def test_many_pairs_are_what_each_is_alone(model):
    clean = [tuple(ids) for ids in [*CLEAN.tolist(), *LONGER.tolist()]]
    corrupted = [tuple(ids) for ids in [*CORRUPTED.tolist(), *CLEAN.tolist()]]
    last = model.n_layers - 1
    found = attribute_pairs(
        model,
        clean,
        corrupted,
        lambda chosen: log_odds_target([TOKENS] * len(chosen)),
        layer=last,
        steps=2,
        batch_size=1,
    )
    for index, pair in enumerate(zip(clean, corrupted, strict=True)):
        one, other = (torch.tensor([ids]) for ids in pair)
        alone = edge_scores(model, one, other, log_odds_target([TOKENS]), layer=last, steps=2)
        torch.testing.assert_close(found.edges[index], alone.edges[0], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(found.nodes.heads[index], alone.nodes.heads[0])
    with pytest.raises(InputError, match="4 clean prompts and 3 partners"):
        attribute_pairs(model, clean, corrupted[:3], lambda chosen: LOG_ODDS, layer=last)


@pytest.mark.parametrize("model", ["gpt2"], indirect=True)
def test_impossible_pairs_are_one_line(model):
    with pytest.raises(InputError, match=r"\(2, 5\) and corrupted ones \(1, 5\)"):
        edge_scores(model, CLEAN, CORRUPTED[:1], LOG_ODDS, layer=0)
    with pytest.raises(InputError, match=r"\(2, 5\) and corrupted ones \(2, 1\)"):
        edge_scores(model, CLEAN, CORRUPTED[:, :1], LOG_ODDS, layer=0)
    with pytest.raises(InputError, match="steps is 0"):
        edge_scores(model, CLEAN, CORRUPTED, LOG_ODDS, layer=0, steps=0)


# TransformerLens 4.3 has no q, k and v inputs for GPT-Neo, and refuses grouped key/value heads.
@pytest.mark.parametrize("model", ["gpt2", "gpt_neox"], indirect=True)
def test_one_step_is_the_attribution_patching_of_transformer_lens(model):
    """TransformerLens differentiates at the prompt it calls corrupt, so the two change places."""
    target = log_odds_target([TOKENS])
    for pair in range(2):
        clean, corrupted = CLEAN[pair : pair + 1], CORRUPTED[pair : pair + 1]
        model.bridge.requires_grad_(True)  # TransformerLens needs it to differentiate
        try:
            theirs = attribution_patch(
                model.bridge,
                corrupted,
                clean,
                lambda logits: target(logits[:, -1], logits[:, -1])[0],
                EdgeAttributionConfig(granularity="edge"),
            )
        finally:
            model.bridge.requires_grad_(False)
        ours = edge_scores(model, clean, corrupted, target, layer=model.n_layers - 1, steps=1)
        wanted = dict.fromkeys(by_edge(model, ours), 0.0)
        for (source, reader), score in theirs.edge_scores.items():
            wanted[edge_of(source, reader)] -= score
        assert by_edge(model, ours) == pytest.approx(wanted, abs=2e-5, rel=1e-3)


def edge_of(source, reader):
    return f"{name_of(source)}->{name_of(reader)}" + (
        f"<{reader.kind[0]}>" if reader.kind[1:] == "_input" else ""
    )


def name_of(node):
    if node.kind in ("embed", "logits"):
        return {"embed": "input"}.get(node.kind, node.kind)
    return f"a{node.layer}.h{node.head}" if node.head is not None else f"m{node.layer}"
