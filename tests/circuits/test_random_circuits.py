"""Random circuits, their rank p, and the likeness of circuits, by hand and by simulation."""

from collections import Counter

import numpy as np
import pytest

from emotion_circuits.circuits.nodes import Graph
from emotion_circuits.circuits.random_circuits import permuted_circuits
from emotion_circuits.circuits.stability import consensus, likeness, pairwise, resampled_pairs
from emotion_circuits.statistics import rank_p

NODES = Graph(3, 4).nodes()[1:-1]
EDGES = Graph(2, 2).edges()
HALVES = (NODES[:4], NODES[2:5])


@pytest.mark.parametrize("kind", ["any", "same_layers", "same_kinds"])
def test_images_keep_sizes_overlap_and_groups(kind):
    images = permuted_circuits(HALVES, NODES, kind=kind, n_draws=50, seed=0)
    assert len(images) == 50
    assert len(set(images)) > 10
    assert images == permuted_circuits(HALVES, NODES, kind=kind, n_draws=50, seed=0)
    for one, other in images:
        assert (len(one), len(other), len(one & other)) == (4, 3, 2)
        if kind == "same_layers":
            assert all(node.layer == 0 for node in one | other)
        if kind == "same_kinds":
            assert Counter(node.kind for node in other) == Counter(node.kind for node in HALVES[1])


@pytest.mark.parametrize("kind", ["any", "same_layers", "same_kinds"])
def test_images_of_edges_join_what_their_circuit_joins(kind):
    circuit = EDGES[5:25:3]
    groups = {
        "any": lambda edge: None,
        "same_layers": lambda edge: (edge.source.layer, edge.target.layer),
        "same_kinds": lambda edge: (str(edge.source)[0], str(edge.target)[0], edge.port),
    }[kind]
    for (image,) in permuted_circuits([circuit], EDGES, kind=kind, n_draws=50, seed=0):
        assert Counter(map(groups, image)) == Counter(map(groups, circuit))


def test_any_node_is_drawn_as_often_as_another():
    images = permuted_circuits([NODES[:5]], NODES, kind="any", n_draws=3000, seed=1)
    counts = Counter(node for (image,) in images for node in image)
    expected = 3000 * 5 / len(NODES)
    assert all(abs(counts[node] - expected) < 5 * expected**0.5 for node in NODES)


@pytest.mark.parametrize("parts", [NODES, EDGES], ids=["nodes", "edges"])
def test_a_circuit_chosen_at_random_has_a_uniform_p(parts):
    """The null: values of nodes or edges are noise, and the circuit is any five of them."""
    rng = np.random.default_rng(0)
    p_values = []
    for trial in range(300):
        value = dict(zip(parts, rng.normal(size=len(parts)), strict=True))
        chosen = [parts[index] for index in rng.permutation(len(parts))[:5]]
        images = permuted_circuits([chosen], parts, kind="any", n_draws=39, seed=trial)
        drawn = [sum(value[part] for part in image) for (image,) in images]
        p_values.append(rank_p(sum(value[part] for part in chosen), np.array(drawn)))
    share = np.mean(np.array(p_values) <= 0.1)
    assert 0.05 < share < 0.15  # 0.1, with a standard error of 0.017


def test_likeness_by_hand():
    scores = np.array([3.0, 1.0, 2.0])
    found = likeness((NODES[:3], NODES[1:4]), (scores, -scores))
    assert found == (0.5, pytest.approx(-1))
    flat = likeness(((), ()), (scores, np.ones(3)))
    assert np.isnan(flat).all()
    assert len(pairwise([NODES[:2]] * 4, [scores] * 4)) == 6
    assert consensus([NODES[:2], NODES[1:3], [NODES[1]]]) == {NODES[1]: 1.0}


def test_resamples_draw_whole_clusters():
    clusters = ["a", "a", "b", "c", "c", "c"]
    drawn = resampled_pairs(clusters, n_resamples=20, seed=0)
    assert len(drawn) == 20
    for pairs in drawn:
        counts = Counter(pairs)
        assert counts[0] == counts[1]
        assert counts[3] == counts[4] == counts[5]
    assert len({tuple(pairs) for pairs in drawn}) > 5
