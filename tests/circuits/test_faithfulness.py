"""Circuits run by the engine against written-out models, and measures against hand and loops."""

import numpy as np
import pytest
import torch

from architectures import save_architecture
from emotion_circuits.circuits import log_odds
from emotion_circuits.circuits.circuit import (
    Criterion,
    bracketed_circuit,
    pruned,
    ranked,
    smallest_circuit,
)
from emotion_circuits.circuits.faithfulness import (
    Verifier,
    area_weights,
    areas,
    recovered,
    sizes_to_try,
)
from emotion_circuits.circuits.nodes import Graph
from emotion_circuits.circuits.replacements import inner_nodes, mean_ablated, resampled
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten import written_heads, written_logits

PROMPTS = [(0, 17, 60, 33, 90), (0, 70, 31, 12, 8)]
PARTNERS = [(0, 88, 17, 201, 33, 44), (0, 9, 31, 130, 8)]  # one longer by a token
TOKENS = [torch.tensor([3, 11]), torch.tensor([7])]
NODES = Graph(2, 3).nodes()[1:-1]


@pytest.fixture(scope="module", params=["gpt2", "llama", "gemma3"])
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


def verifier_of(model, replacements):
    return Verifier(model, PROMPTS, replacements, TOKENS, [0, 1])


def circuits_of(model):
    nodes = inner_nodes(model)
    return [nodes[::2], nodes[:3], nodes[-2:], [], nodes]


def by_loops(model, pair, replaced, value_of_head, value_of_mlp, first):
    """Log odds with some nodes replaced from a position on."""

    def edit(attention):
        z = attention.z.clone()
        for node in replaced:
            if node.layer == attention.layer and node.head is not None:
                z[first:, node.head] = value_of_head(node)
        return z

    def edit_mlp(layer, output):
        output = output.clone()
        for node in replaced:
            if node.layer == layer and node.head is None:
                output[first:] = value_of_mlp(node)
        return output

    logits = written_logits(model.plain_model, model.name, PROMPTS[pair], edit, edit_mlp)
    return float(log_odds(logits[-1:], TOKENS[pair])[0])


def test_resampled_circuits_are_those_of_a_written_out_model(model):
    verifier = verifier_of(model, resampled(model, PROMPTS, PARTNERS))
    circuits = circuits_of(model)
    kept, removed = verifier.keep(circuits), verifier.remove(circuits)
    for pair, partner in enumerate(PARTNERS):
        heads, mlps = written_heads(model.plain_model, model.name, partner)
        n = 4 if pair == 0 else 5  # BOS is aligned only between prompts of equal length
        for index, circuit in enumerate(circuits):
            outside = [node for node in inner_nodes(model) if node not in circuit]
            for values, replaced in ((kept, outside), (removed, circuit)):
                wanted = by_loops(
                    model,
                    pair,
                    replaced,
                    lambda node, n=n, heads=heads: heads[node.layer].z[-n:, node.head],
                    lambda node, n=n, mlps=mlps: mlps[node.layer][-n:],
                    5 - n,
                )
                assert values[index, pair] == pytest.approx(wanted, abs=1e-4)
    assert np.array_equal(kept[3], verifier.empty)
    np.testing.assert_allclose(kept[4], verifier.full, atol=1e-5)
    np.testing.assert_allclose(removed[3], verifier.full, atol=1e-5)


def test_mean_ablated_circuits_are_those_of_a_written_out_model(model):
    verifier = verifier_of(model, mean_ablated(model, PROMPTS, PARTNERS))
    circuit = inner_nodes(model)[::2]
    runs = [written_heads(model.plain_model, model.name, ids) for ids in PARTNERS]
    outside = [node for node in inner_nodes(model) if node not in circuit]

    def mean(node):
        if node.head is None:
            return torch.stack([mlps[node.layer][1:].mean(0) for _, mlps in runs]).mean(0)
        values = [heads[node.layer].z[1:, node.head].mean(0) for heads, _ in runs]
        return torch.stack(values).mean(0)

    wanted = [by_loops(model, pair, outside, mean, mean, 1) for pair in range(2)]
    np.testing.assert_allclose(verifier.keep([circuit])[0], wanted, atol=1e-4)


def test_a_partner_that_is_the_prompt_itself_changes_nothing(model):
    verifier = verifier_of(model, resampled(model, PROMPTS, PROMPTS))
    np.testing.assert_allclose(verifier.empty, verifier.full, atol=1e-5)
    nothing = recovered(verifier.full, verifier.full, verifier.full)
    assert np.isnan(nothing)


def test_some_pairs_are_what_all_are(model):
    verifier = verifier_of(model, resampled(model, PROMPTS, PARTNERS))
    circuits = [*circuits_of(model), inner_nodes(model)[::2]]  # one stands twice
    np.testing.assert_allclose(
        verifier.keep(circuits, [1])[:, 0], verifier.keep(circuits)[:, 1], atol=1e-5
    )


def test_faithfulness_by_hand():
    full, empty = np.array([4.0, 6.0]), np.array([1.0, 1.0])
    kept = np.array([[4.0, 6.0], [1.0, 1.0], [3.0, 3.0], [7.0, 7.0]])
    np.testing.assert_allclose(recovered(kept, full, empty), [1, 0, 0.5, 1.5])


def test_areas_are_those_of_a_loop_over_trapezia():
    sizes, curve = [0, 1, 3, 10], np.array([0.0, 0.8, 1.3, 1.0])
    cpr = cmd = 0.0
    for i in range(3):
        width = (sizes[i + 1] - sizes[i]) / 10
        cpr += width * (curve[i] + curve[i + 1]) / 2
        cmd += width * (abs(1 - curve[i]) + abs(1 - curve[i + 1])) / 2
    found = areas(sizes, curve, 10)
    assert found == pytest.approx((cpr, cmd))
    assert area_weights(sizes, 10).sum() == pytest.approx(1)
    # A circuit that is perfect from the first node on loses half of the first trapezium.
    assert areas([0, 1, 10], np.array([0.0, 1, 1]), 10) == pytest.approx((0.95, 0.05))


@pytest.mark.parametrize("n_nodes", [1, 5, 42, 300])
def test_sizes_run_from_nothing_to_everything(n_nodes):
    sizes = sizes_to_try(n_nodes, 12)
    assert sizes[0] == 0
    assert sizes[-1] == n_nodes
    assert sizes == sorted(set(sizes))
    assert len(sizes) <= 13


class Additive(Verifier):
    """A model in which each node adds a known amount to the metric of every pair."""

    def __init__(self, amounts, n_pairs=4):
        self.amounts = amounts
        self.empty = np.zeros(n_pairs)
        self.full = np.full(n_pairs, sum(amounts.values()))

    def keep(self, circuits, pairs=None):
        n = len(self.full) if pairs is None else len(pairs)
        sums = [sum(self.amounts[node] for node in circuit) for circuit in circuits]
        return np.repeat(np.array(sums, dtype=float)[:, None], n, axis=1)


def test_the_smallest_circuit_is_the_shortest_beginning_that_suffices():
    amounts = dict.fromkeys(NODES, 0.0)
    amounts |= {NODES[1]: 6.0, NODES[4]: 3.0, NODES[6]: 1.0}
    order = ranked(NODES, np.array(list(amounts.values())))
    assert order[:3] == [NODES[1], NODES[4], NODES[6]]
    found = smallest_circuit(Additive(amounts), order, [0, 2], Criterion(0.9))
    assert found == [NODES[1], NODES[4]]
    # Nodes that the order puts first by mistake are dropped.
    wrong = [NODES[0], NODES[1], NODES[2], NODES[4]]
    kept = pruned(Additive(amounts), wrong, [0, 1], Criterion(0.9))
    assert kept == [NODES[1], NODES[4]]


class Counted(Additive):
    """Counts the circuits that are run."""

    n_run = 0

    def keep(self, circuits, pairs=None):
        circuits = list(circuits)
        self.n_run += len(circuits)
        return super().keep(circuits, pairs)


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.9, 0.995, 1.5])
def test_a_bracketed_circuit_is_the_smallest_where_faithfulness_rises(threshold):
    edges = Graph(2, 4).edges()
    amounts = dict(zip(edges, np.random.default_rng(0).exponential(size=len(edges)), strict=True))
    order = ranked(edges, np.array(list(amounts.values())))
    few = Counted(amounts)
    found = bracketed_circuit(few, order, [0, 1], Criterion(threshold), n_sizes=6)
    assert found == smallest_circuit(Additive(amounts), order, [0, 1], Criterion(threshold))
    assert few.n_run < 20 < len(edges)
    # Between two sizes that were run, nothing smaller is needed.
    if 0 < len(found) < len(edges):
        assert not Criterion(threshold).faithful(few, [found[:-1]], [0, 1])[0]


def test_orders_differ_in_where_nodes_stand_that_lower_the_target():
    scores = np.zeros(len(NODES))
    scores[2], scores[5] = 1.0, -2.0
    assert ranked(NODES, scores)[:2] == [NODES[5], NODES[2]]
    signed = ranked(NODES, scores, "signed")
    assert (signed[0], signed[-1]) == (NODES[2], NODES[5])


class Redundant(Additive):
    """Beside what nodes add, either of two nodes is enough for one part of the metric."""

    def __init__(self, amounts, pair, part, n_pairs=4):
        super().__init__(amounts, n_pairs)
        self.pair, self.part, self.nodes = set(pair), part, set(amounts)
        self.full = self.full + part

    def keep(self, circuits, pairs=None):
        either = [self.part if self.pair & set(circuit) else 0.0 for circuit in circuits]
        return super().keep(circuits, pairs) + np.array(either)[:, None]

    def remove(self, circuits, pairs=None):
        return self.keep([self.nodes - set(circuit) for circuit in circuits], pairs)


def test_a_criterion_may_ask_for_nodes_that_lower_and_for_redundant_ones():
    amounts = dict.fromkeys(NODES, 0.0) | {NODES[1]: 8.0, NODES[4]: -3.0}
    model = Redundant(amounts, [NODES[2], NODES[5]], 5.0)
    order = [NODES[1], NODES[2], NODES[4], NODES[5], NODES[0], NODES[3], *NODES[6:]]
    # Without the node that lowers it, 13 of 10; without the second redundant one, all 10.
    assert smallest_circuit(model, order, [0], Criterion(0.9)) == order[:2]
    assert smallest_circuit(model, order, [0], Criterion(0.9, most=1.1)) == order[:3]
    complete = Criterion(0.9, most=1.1, gap=0.1)
    assert smallest_circuit(model, order, [0], complete) == order[:4]
    assert pruned(model, order[:6], [0], complete) == order[:4]
    assert pruned(model, order[:6], [0], Criterion(0.9, most=1.1)) == order[:3]
    # Nothing is enough: all nodes.
    assert smallest_circuit(model, order, [0], Criterion(1.4, most=1.5)) == order
