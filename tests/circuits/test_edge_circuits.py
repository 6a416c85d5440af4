"""Exact runs of circuits of edges against written-out models, one prompt and reader at a time."""

import numpy as np
import pytest
import torch

from architectures import TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.circuits import Graph, graph_of, log_odds
from emotion_circuits.circuits.connected import connected
from emotion_circuits.circuits.edge_references import mean_writes, resampled_writes
from emotion_circuits.circuits.edge_verifier import EdgeVerifier
from emotion_circuits.circuits.faithfulness import Verifier
from emotion_circuits.circuits.replacements import inner_nodes, resampled
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten_edges import GRAPHS

PROMPTS = [(0, 17, 60, 33, 90), (0, 70, 31, 12, 8), (0, 5, 31)]
PARTNERS = [(0, 88, 201, 33, 44), (0, 9, 31, 130, 8), (0, 77, 2)]
LONGER = [(0, 88, 17, 201, 33, 44), (0, 9, 3, 31, 130, 8), (0, 4, 4, 77, 2)]
SHORTER = [(0, 201, 33, 44), (0, 31, 130, 8), (0, 77)]
TOKENS = torch.tensor([3, 11])


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


def plain_odds(model, ids):
    with torch.no_grad():
        logits = model.plain_model(torch.tensor([ids])).logits[:, -1]
    return float(log_odds(logits, TOKENS)[0])


def verifier_of(model, references, prompts=PROMPTS):
    full = np.array([plain_odds(model, ids) for ids in prompts])
    return EdgeVerifier(model, prompts, references, TOKENS, full)


def random_circuits(model, n, share=0.5, seed=0):
    edges, rng = graph_of(model).edges(), np.random.default_rng(seed)
    return [[edge for edge in edges if rng.random() < share] for _ in range(n)]


def written_out(architecture, plain, ids, references, carried):
    """Log odds on one prompt; ``carried(source, reader)`` says which edges carry the run itself."""

    def read(written, reader):
        return sum(
            value if name.startswith("bias") or carried(name, reader) else references[name]
            for name, value in written.items()
        )

    with torch.no_grad():
        logits, _ = GRAPHS[architecture](plain, torch.tensor(ids), read)
    return float(log_odds(logits[None], TOKENS)[0])


def writes(architecture, plain, ids):
    with torch.no_grad():
        return GRAPHS[architecture](plain, torch.tensor(ids))[1]


def aligned(own, other):
    """The partner's writes at the last positions, the prompt's own before them."""
    n = min(len(own["input"]), len(other["input"]))
    n -= len(own["input"]) != len(other["input"])  # BOS is no counterpart of a word
    whole = {}
    for name, values in own.items():
        whole[name] = values.clone()
        whole[name][len(values) - n :] = other[name][len(other[name]) - n :]
    return whole


@pytest.mark.parametrize("model", sorted(GRAPHS), indirect=True)
@pytest.mark.parametrize("partners", [PARTNERS, LONGER, SHORTER])
def test_resampled_circuits_of_edges_are_those_of_a_written_out_model(model, partners):
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, partners))
    circuits = random_circuits(model, 3)
    kept, removed = verifier.keep(circuits), verifier.remove(circuits)
    for pair, (ids, partner) in enumerate(zip(PROMPTS, partners, strict=True)):
        own, other = (writes(model.name, model.plain_model, each) for each in (ids, partner))
        references = aligned(own, other)
        for number, circuit in enumerate(circuits):
            names = set(map(str, circuit))
            for values, keep in ((kept, True), (removed, False)):
                wanted = written_out(
                    model.name,
                    model.plain_model,
                    ids,
                    references,
                    lambda source, reader, k=keep, n=names: (f"{source}->{reader}" in n) == k,
                )
                assert values[number, pair] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("model", sorted(GRAPHS), indirect=True)
def test_mean_ablated_circuits_of_edges_are_those_of_a_written_out_model(model):
    verifier = verifier_of(model, mean_writes(model, PROMPTS, LONGER))
    (circuit,) = random_circuits(model, 1)
    names = set(map(str, circuit))
    runs = [writes(model.name, model.plain_model, ids) for ids in LONGER]
    for pair, ids in enumerate(PROMPTS):
        own = writes(model.name, model.plain_model, ids)
        references = {}
        for name, values in own.items():
            mean = torch.stack([run[name][1:].mean(0) for run in runs]).mean(0)
            references[name] = torch.cat([values[:1], mean.repeat(len(ids) - 1, 1)])
        wanted = written_out(
            model.name,
            model.plain_model,
            ids,
            references,
            lambda source, reader: f"{source}->{reader}" in names,
        )
        assert verifier.keep([circuit], [pair])[0, 0] == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("partners", [PARTNERS, LONGER, SHORTER])
def test_all_edges_are_the_model_and_no_edge_is_the_partner(model, partners):
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, partners))
    edges = graph_of(model).edges()
    of_partners = [plain_odds(model, ids) for ids in partners]
    np.testing.assert_allclose(verifier.keep([edges])[0], verifier.full, atol=1e-4)
    np.testing.assert_allclose(verifier.keep([[]])[0], of_partners, atol=1e-4)
    np.testing.assert_allclose(verifier.empty, of_partners, atol=1e-4)
    np.testing.assert_allclose(verifier.remove([edges])[0], of_partners, atol=1e-4)
    assert np.abs(verifier.full - verifier.empty).min() > 1e-2  # there is a change to recover


def test_edges_out_of_kept_nodes_are_the_circuit_of_nodes(model):
    """All edges out of a node are what the whole node is; the embeddings are kept there."""
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, LONGER))
    of_nodes = Verifier(model, PROMPTS, resampled(model, PROMPTS, LONGER), [TOKENS], [0, 0, 0])
    nodes = inner_nodes(model)
    chosen = [nodes[::2], nodes[:3], nodes[-3:]]
    of_edges = [
        [e for e in graph_of(model).edges() if e.source.layer is None or e.source in circuit]
        for circuit in chosen
    ]
    # A norm after attention (Gemma) divides by the run's own scale, also for what is replaced.
    if model.name != "gemma3":
        np.testing.assert_allclose(verifier.keep(of_edges), of_nodes.keep(chosen), atol=1e-4)


def test_a_partner_that_is_the_prompt_itself_changes_nothing(model):
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, PROMPTS))
    for values in verifier.keep(random_circuits(model, 2)):
        np.testing.assert_allclose(values, verifier.full, atol=1e-4)


def test_edges_without_a_way_from_input_to_logits_do_nothing(model):
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, PARTNERS))
    circuits = random_circuits(model, 6, share=0.06, seed=1)
    alive = [connected(circuit) for circuit in circuits]
    assert any(len(some) < len(circuit) for some, circuit in zip(alive, circuits, strict=True))
    np.testing.assert_allclose(verifier.keep(circuits), verifier.keep(alive), atol=1e-4)


def test_a_circuit_is_the_same_in_any_batch(model):
    verifier = verifier_of(model, resampled_writes(model, PROMPTS, LONGER))
    circuits = random_circuits(model, 3)
    together = verifier.keep(circuits)
    for index, circuit in enumerate(circuits):
        alone = [verifier.keep([circuit], [pair])[0, 0] for pair in range(3)]
        np.testing.assert_allclose(together[index], alone, atol=1e-5)


def walks(circuit):
    """All edges on ways from input to logits, by walking every way."""
    alive = set()

    def walk(node, way):
        if str(node) == "logits":
            alive.update(way)
        for edge in circuit:
            if edge.source == node:
                walk(edge.target, [*way, edge])

    walk(Graph(1, 1).nodes()[0], [])
    return alive


@pytest.mark.parametrize("parallel", [False, True])
def test_connected_edges_are_those_that_walks_find(parallel):
    edges, rng = Graph(2, 2, parallel=parallel).edges(), np.random.default_rng(0)
    for share in (0.1, 0.2, 0.3, 0.4):
        for _ in range(10):
            circuit = [edge for edge in edges if rng.random() < share]
            assert set(connected(circuit)) == walks(circuit)
    assert connected([]) == []
    assert set(connected(edges)) == set(edges)


@pytest.mark.parametrize("model", ["gpt2"], indirect=True)
def test_a_model_that_is_no_sum_of_writes_is_one_line(model):
    """A model that multiplies its embeddings after the first layer read them."""
    references = resampled_writes(model, PROMPTS, PARTNERS)
    wrong = np.array([plain_odds(model, ids) for ids in PROMPTS]) + 0.5
    with pytest.raises(InputError, match=r"all edges together miss.*by 0\.5.*edges to null"):
        EdgeVerifier(model, PROMPTS, references, TOKENS, wrong)
