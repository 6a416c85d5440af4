"""Circuits of a shipped model, with one head that writes nothing, on a few pairs."""

import json

import networkx as nx
import numpy as np
import pytest
import torch

from embedded_heads import SILENT, load_model_with_a_silent_head, load_prompts, vectors_of
from emotion_circuits.circuits import graph_of
from emotion_circuits.circuits.discovery.edge_circuits import EdgeDiscovery
from emotion_circuits.circuits.discovery.emotion_discovery import discover
from emotion_circuits.circuits.discovery.measures import measure_circuits
from emotion_circuits.circuits.discovery.settings import CircuitSettings
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.language_models import load_language_model
from emotion_circuits.pipelines.circuits.neurons import score_neurons
from emotion_circuits.pipelines.circuits.nodes import draw, find_circuits
from study_emotions import FOUR

SETTINGS = CircuitSettings(
    max_samples_per_emotion=4,
    steps=2,
    n_sizes=4,
    num_random=4,
    num_orders=2,
    num_shuffled=2,
    num_resamples=2,
    prune=False,  # the slowest part; tests/circuits tests it
    n_bootstrap=50,
    max_edges=300,
    edges={"n_sizes": 3, "num_random": 2, "num_orders": 1, "num_shuffled": 1, "num_losses": 2},
)
SILENT_NODE = f"a{SILENT[0]}.h{SILENT[1]}"


@pytest.fixture(scope="module")
def prompts(project_root):
    return load_prompts(project_root)


@pytest.fixture(scope="module")
def model(project_root):
    return load_model_with_a_silent_head(project_root)


@pytest.fixture(scope="module")
def vectors(model, prompts):
    return vectors_of(model, prompts)


@pytest.fixture(scope="module")
def found(model, prompts, vectors):
    return find_circuits(model, prompts, vectors, FOUR, SETTINGS, "test")


def test_the_file_has_every_measure_and_no_nan(found):
    circuit, edges, stability, _ = found
    json.dumps(circuit, allow_nan=False)
    assert tuple(circuit["circuits"]) == FOUR.names
    assert circuit["n_nodes"] == 6 * 7
    assert len(edges) == 3 * 300
    assert (edges.groupby("emotion")["rank"].max() == 300).all()
    assert set(stability["emotion"]) == set(FOUR.names)
    for each in circuit["circuits"].values():
        assert each["faithfulness_where_found"] >= SETTINGS.threshold
        assert {"any", "same_layers", "same_kinds", "shuffled_labels", "other_emotions"} == set(
            each["controls"]
        )
        assert each["curve"][0]["faithfulness"] == pytest.approx(0)
        assert each["curve"][-1]["faithfulness"] == pytest.approx(1)
        assert each["cmd"]["value"] >= abs(1 - each["cpr"]["value"]) - 1e-9
        assert {line["edge"] for line in each["edges"]} <= set(edges["edge"])


def test_the_file_has_the_measures_of_circuits_of_edges(found):
    circuit = found[0]
    for emotion, each in circuit["circuits"].items():
        of_edges = each["edge_circuit"]
        assert of_edges["faithfulness_where_found"] >= SETTINGS.threshold
        assert 0 < of_edges["size"] == len(of_edges["edges"]) < circuit["n_edges"]
        assert of_edges["curve"][0]["faithfulness"] == pytest.approx(0)
        assert of_edges["curve"][-1]["faithfulness"] == pytest.approx(1, abs=1e-3)
        assert of_edges["curve"][-1]["size"] == circuit["n_edges"]
        controls = of_edges["controls"]
        assert set(controls) == set(each["controls"])
        assert set(controls["other_emotions"]) == set(FOUR.names) - {emotion}
        assert abs(controls["any"]["mean"]) < 0.2  # of random edges hardly any join
        for half in of_edges["halves"].values():
            assert half["losses"]["n"] == 2


def test_a_head_that_writes_nothing_is_in_no_circuit(found):
    circuit, edges, _, graph = found
    for each in circuit["circuits"].values():
        members = [line["node"] for half in each["halves"].values() for line in half["members"]]
        assert SILENT_NODE not in [*members, *(line["node"] for line in each["nodes"])]
        named = " ".join(line["edge"] for line in each["edge_circuit"]["edges"])
        assert f"{SILENT_NODE}->" not in named
    of_silent = edges[(edges["source"] == SILENT_NODE)]
    assert (of_silent["score"] == 0).all()
    assert SILENT_NODE not in nx.parse_graphml(graph)


def test_the_graph_is_the_circuit(found):
    circuit, edges, _, text = found
    graph = nx.parse_graphml(text, force_multigraph=True)
    members = {line["node"] for each in circuit["circuits"].values() for line in each["nodes"]}
    assert set(graph) == members | {"input", "logits"}
    assert graph.number_of_edges() == edges["in_circuit"].sum()


def test_circuits_are_tested_on_the_half_that_did_not_find_them(model, prompts, vectors, found):
    paired = PairedPrompts.prepare(model, prompts, FOUR, split="test", limit=4)
    # Runs of circuits do not depend on the number of steps.
    for discovery in discover(paired, vectors, SETTINGS.model_copy(update={"steps": 1})):
        each = found[0]["circuits"][discovery.emotion]
        by_name = {str(node): node for node in discovery.nodes}
        verifier = discovery.verifier
        kept = np.empty(len(discovery.halves))
        for pair, half in enumerate(discovery.halves):
            other = each["halves"]["B" if half == "A" else "A"]["members"]
            members = [by_name[line["node"]] for line in other]
            kept[pair] = verifier.keep([members], [pair])[0, 0]
        wanted = recovered(kept, verifier.full, verifier.empty)
        assert each["faithfulness"]["value"] == pytest.approx(float(wanted), abs=1e-4)
        check_circuits_of_edges(discovery, each["edge_circuit"])


def check_circuits_of_edges(discovery, found):
    runs, graph = EdgeDiscovery(discovery, SETTINGS.edges).runs, graph_of(discovery.verifier.model)
    kept = np.empty(len(discovery.halves))
    for pair, half in enumerate(discovery.halves):
        lines = found["halves"]["B" if half == "A" else "A"]["edges"]
        kept[pair] = runs.keep([[graph.edge(line["edge"]) for line in lines]], [pair])[0, 0]
    wanted = recovered(kept, runs.full, runs.empty)
    assert found["faithfulness"]["value"] == pytest.approx(float(wanted), abs=1e-4)
    partners = [float(log_odds_of(ids, discovery)) for ids in discovery.partners]
    np.testing.assert_allclose(runs.empty, partners, atol=1e-4)


def log_odds_of(ids, discovery):
    with torch.no_grad():
        logits = discovery.verifier.model.plain_model(torch.tensor([ids])).logits[0, -1].double()
    p = logits.softmax(-1)[discovery.verifier.tokens[0]].sum()
    return p.log() - (1 - p).log()


def test_the_largest_neurons_of_chosen_mlps_are_listed(model, prompts, vectors, found):
    few = {"steps": 1, "max_neurons": 3}
    circuit, nodes = found[0], SETTINGS.model_copy(update=few)

    def table_of(neurons):
        settings = nodes.model_copy(update={"neurons": neurons})
        return score_neurons(model, prompts, vectors, FOUR, settings, circuit)

    assert table_of(None).empty
    table = table_of((5, 1))
    assert table.groupby(["emotion", "mlp"]).size().to_dict() == {
        (emotion, mlp): 3 for emotion in FOUR.names for mlp in ("m1", "m5")
    }
    assert list(table_of(None).columns) == list(table.columns)
    for _, part in table.groupby(["emotion", "mlp"]):
        assert part["score"].abs().is_monotonic_decreasing
        assert part["rank"].tolist() == [1, 2, 3]
        np.testing.assert_allclose(part["score"], part[["score_A", "score_B"]].mean(axis=1))
    paired = PairedPrompts.prepare(model, prompts, FOUR, split="test", limit=4)
    scored = discover(paired, vectors, nodes)[0]
    by_name = dict(zip(map(str, scored.nodes), scored.scores.mean(0), strict=True))
    own = table[table["emotion"] == scored.emotion]
    for mlp in ("m1", "m5"):
        (whole,) = own.loc[own["mlp"] == mlp, "mlp_score"].unique()
        assert whole == pytest.approx(by_name[mlp], rel=0.01)
    with pytest.raises(InputError, match="layer 9 is out of range"):
        table_of((9,))


@pytest.mark.slow
def test_random_weights_are_those_of_an_untrained_entry(model, prompts, vectors):
    settings = SETTINGS.model_copy(update={"steps": 1, "edges": None, "untrained_seed": 5})
    found = find_circuits(model, prompts, vectors, FOUR, settings, "test")[0]
    spec = model.spec.model_copy(update={"untrained_seed": 5})
    alone = find_circuits(load_language_model(spec), prompts, vectors, FOUR, settings, "test")[0]
    for emotion, each in found["untrained"].items():
        trained, entry = found["circuits"][emotion], alone["circuits"][emotion]
        assert each["metric_clean"] == pytest.approx(entry["metric_clean"])
        assert each["faithfulness"] == pytest.approx(entry["faithfulness"], nan_ok=True)
        # What random weights change is little beside what training does.
        change, untrained = (
            abs(one["metric_clean"] - one["metric_empty"]) for one in (trained, each)
        )
        assert untrained < 0.1 * change


@pytest.mark.slow
def test_the_same_seed_gives_the_same_measures(model, prompts, vectors):
    measured = []
    for _ in range(2):
        paired = PairedPrompts.prepare(model, prompts, FOUR, split="test", limit=4)
        settings = SETTINGS.model_copy(update={"steps": 1, "prune": False})
        discovery = discover(paired, vectors, settings)[1]
        measured.append(measure_circuits(discovery, discovery.circuits_of_halves()))
    assert str(measured[0]) == str(measured[1])  # NaN is equal to NaN as text


@pytest.mark.slow
def test_other_settings_run_too(model, prompts, vectors):
    settings = SETTINGS.model_copy(
        update={
            "target": "projection",
            "ablation": "mean",
            "order": "signed",
            "prune": False,
            "steps": 1,
            "edges": None,
        }
    )
    circuit = find_circuits(model, prompts, vectors, FOUR, settings, "test")[0]
    assert all(each["nodes"] for each in circuit["circuits"].values())


def test_figures_show_every_emotion(found):
    curves, graphs = draw(found[0])
    titles = {axis.title.text for axis in curves.select_xaxes()}
    assert titles == {"share of nodes kept", "share of edges kept"}
    without = {
        **found[0],
        "circuits": {
            name: {key: value for key, value in each.items() if key != "edge_circuit"}
            for name, each in found[0]["circuits"].items()
        },
    }
    assert len(draw(without)[0].data) == len(curves.data) // 2
    for figure in (curves, graphs):
        titles = [note["text"] for note in figure.layout.annotations]
        assert set(FOUR.names) <= set(titles)
    assert len(graphs.data) > 3


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"steps": 0}, "steps"),
        ({"threshhold": 0.9}, "'threshhold' is unknown.*nearest: threshold"),
        ({"max_samples_per_emotion": 1}, "max_samples_per_emotion"),
        ({"edges": {"n_sizes": 1}}, "n_sizes is 1: input should be greater"),
    ],
)
def test_impossible_settings_are_one_line(settings, line):
    with pytest.raises(InputError, match=line):
        CircuitSettings(**settings)


def test_a_layer_without_vectors_is_one_line(model, prompts, vectors):
    settings = SETTINGS.model_copy(update={"vector_layer": 99})
    with pytest.raises(InputError, match="vector_layer '99' is not in the emotion vectors"):
        find_circuits(model, prompts, vectors, FOUR, settings, "test")
