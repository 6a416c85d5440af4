"""Circuits of a file, and joint changes of their nodes against models written out by hand."""

import copy

import pytest
import torch

from embedded_heads import load_model, load_prompts
from emotion_circuits.circuits.found_circuits import (
    ALL_PAIRS,
    FoundCircuits,
    NodeSet,
    single_nodes,
    spell,
    whole_sets,
)
from emotion_circuits.circuits.joint_plans import JointPlanner, unpatched_lines
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import Row, generate_rows
from handwritten import written_heads, written_logits
from study_emotions import FOUR

N_PAIRS = 4
NODES = {"A": ["a0.h1", "m1", "a2.h0"], "B": ["a0.h1", "m0"], ALL_PAIRS: ["a1.h2"]}


@pytest.fixture(scope="module", params=["tiny_gpt2", "tiny_llama"])
def pairs(request, project_root):
    model = load_model(project_root, request.param)
    prompts = load_prompts(project_root)
    return PairedPrompts.prepare(model, prompts, FOUR, split="test", limit=N_PAIRS)


def file_of(pairs):
    found = {
        "n_pairs": N_PAIRS,
        "halves": {half: {"members": [{"node": n} for n in NODES[half]]} for half in "AB"},
        "nodes": [{"node": n} for n in NODES[ALL_PAIRS]],
        "consensus": ["a0.h0"],
    }
    return {
        "model": pairs.model.name,
        "circuits": {emotion: copy.deepcopy(found) for emotion in FOUR.names},
    }


def read(pairs, file=None, whole="nodes"):
    return FoundCircuits.read(file or file_of(pairs), pairs, whole=whole)


def test_a_text_is_tested_with_a_circuit_that_its_template_did_not_choose(pairs):
    found = read(pairs)
    clusters = dict(zip(pairs.table["cluster"], pairs.table["half"], strict=True))
    assert set(clusters.values()) == {"A", "B"}
    for cluster, half in clusters.items():
        assert found.found_on(cluster) == {"A": "B", "B": "A"}[half]
    assert found.found_on("a template that found nothing") == ALL_PAIRS
    assert spell(found.of_emotion["anger"]["A"]) == "a0.h1 m1 a2.h0"
    assert spell(read(pairs, whole="consensus").of_emotion["anger"][ALL_PAIRS]) == "a0.h0"


def test_single_nodes_belong_to_the_circuits_that_have_them():
    members = {half: frozenset(map(_node, names)) for half, names in NODES.items()}
    singles = {each.name: set(each.members) for each in single_nodes(members)}
    assert singles == {"a0.h1": {"A", "B"}, "m0": {"B"}, "a1.h2": {ALL_PAIRS}, "m1": {"A"},
                       "a2.h0": {"A"}}  # fmt: skip


def test_random_circuits_have_as_many_heads_and_mlps_and_share_as_many(pairs):
    members = read(pairs).of_emotion["anger"]
    chosen, *random = whole_sets(pairs.model, members, n_random=30, seed=0)
    assert chosen == NodeSet("circuit", members)
    assert len({each.members["A"] for each in random}) > 20
    for each in random:
        for half, own in members.items():
            kinds = sorted(node.kind for node in own)
            assert sorted(node.kind for node in each.members[half]) == kinds
        shared = members["A"] & members["B"]
        assert len(each.members["A"] & each.members["B"]) == len(shared)


def _node(name):
    if name.startswith("m"):
        return Node("mlp", int(name[1:]))
    layer, head = name[1:].split(".h")
    return Node("head", int(layer), int(head))


def planned(pairs, modes=("mean", "resample"), patch=True):
    found = read(pairs)
    members = found.of_emotion["anger"]
    planner = JointPlanner(pairs, found, batch_size=4)
    sets = whole_sets(pairs.model, members, n_random=1, seed=0)
    return list(planner.lines("anger", sets, single_nodes(members), modes, patch=patch))


def written_change(pairs, where, n_prompt):
    """What each replaced node is set to, read from written-out runs: edits of a text's heads."""
    plain, name = pairs.model.plain_model, pairs.model.name
    nodes = [_node(node) for node in where["nodes"].split()]
    architecture = name.removeprefix("tiny_")
    if where["mode"] != "mean":
        heads, mlps = written_heads(plain, architecture, pairs.ids[where["other_index"]])
        n_other = len(pairs.ids[where["other_index"]])
        n = n_prompt if n_prompt == n_other else min(n_prompt, n_other) - pairs.n_special

        def place(values, of_other):
            values[n_prompt - n : n_prompt] = of_other[n_other - n :]

    else:
        halves, anger = pairs.halves, pairs.pairs("anger")
        others = [i for pair in anger if halves[pair[0]] != where["half"] for i in pair]
        runs = [written_heads(plain, architecture, pairs.ids[i]) for i in others]
        first = pairs.n_special
        heads = [
            [torch.stack([run[0][layer].z[first:].mean(0) for run in runs]).mean(0)]
            for layer in range(pairs.model.n_layers)
        ]
        mlps = [
            torch.stack([run[1][layer][first:].mean(0) for run in runs]).mean(0)
            for layer in range(pairs.model.n_layers)
        ]

        def place(values, mean):
            values[first:] = mean

    def edit(attention):
        z = attention.z.clone()
        for node in nodes:
            if node.layer == attention.layer and node.head is not None:
                known = heads[node.layer]
                source = known[0] if isinstance(known, list) else known.z
                place(z[:, node.head], source[..., node.head, :])
        return z

    def edit_mlp(layer, output):
        output = output.clone()
        if any(node.layer == layer and node.head is None for node in nodes):
            place(output, mlps[layer])
        return output

    return edit, edit_mlp


def test_joint_changes_of_texts_are_those_written_out(pairs):
    """The circuit and random ones, single nodes, both ablations and patches, in one table."""
    lines = planned(pairs)
    kinds = {(where["kind"], where["mode"], where["circuit"]) for _, where in lines}
    assert {kind[:2] for kind in kinds} == {
        ("ablation", "mean"), ("ablation", "resample"), ("patching", "patch")
    }  # fmt: skip
    results = generate_rows(pairs.model, [row for row, _ in lines], max_new_tokens=3,
                            keep_logits=True)  # fmt: skip
    unchanged = {
        ids: generate_rows(pairs.model, [Row(ids)], max_new_tokens=1, keep_logits=True)[0].logits
        for ids in {row.prompt_ids for row, _ in lines}
    }
    seen = set()
    for (row, where), result in zip(lines, results, strict=True):
        if where["circuit"] == "circuit":
            moved = (result.logits[0] - unchanged[row.prompt_ids][0]).abs().max()
            assert moved > 0.1  # else the comparison below would say nothing
        key = (where["kind"], where["mode"], where["circuit"], where["label"])
        if key in seen:
            continue
        seen.add(key)
        assert row.prompt_ids == pairs.ids[where["prompt_index"]]
        edits = written_change(pairs, where, len(row.prompt_ids))
        ids = list(row.prompt_ids)
        for step, token in enumerate(result.token_ids):
            wanted = written_logits(
                pairs.model.plain_model, pairs.model.name.removeprefix("tiny_"), ids, *edits
            )[-1]
            scale = max(1.0, float(wanted.abs().max()) / 10)
            assert float((result.logits[step] - wanted).abs().max()) <= 1e-4 * scale
            ids.append(token)
    assert len(seen) == 4 * 2 + 3 * 4  # circuit and random one four ways, four members three ways


def test_the_plan_has_each_pair_in_each_way(pairs):
    lines = [where for _, where in planned(pairs)]
    joint = [where for where in lines if where["circuit"] == "circuit"]
    assert len(joint) == 4 * N_PAIRS  # both ablations, the mean on neutral prompts, patches
    for where in joint:
        other = pairs.labels[where["other_index"]]
        assert {where["label"], other} == {"anger", "neutral"}
        assert (where["label"] == "anger") == (where["kind"] == "ablation" and other == "neutral")
        members = NODES["B" if where["half"] == "A" else "A"]
        assert set(where["nodes"].split()) == set(members)
    assert len(list(unpatched_lines(pairs))) == len(pairs.ids)


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (lambda c: c["halves"]["A"]["members"].append({"node": "a0.h99"}),
         "circuit of gratitude found on half A: node 'a0.h99' is not in the model.*nearest: a0.h"),
        (lambda c: c["nodes"].append({"node": "m99"}),
         "circuit of gratitude found on all pairs: node 'm99' is not in the model"),
        (lambda c: c["nodes"].append({"node": "logits"}), "holds 'logits'; allowed are heads and"),
        (lambda c: c["halves"]["B"]["members"].clear(),
         "circuit of gratitude found on half B is empty"),
        (lambda c: c.update(n_pairs=9), "found on 9 pairs, and its settings now choose 4"),
    ],
)  # fmt: skip
def test_a_circuit_that_does_not_fit_is_one_line(pairs, damage, line):
    file = file_of(pairs)
    damage(file["circuits"]["gratitude"])
    with pytest.raises(InputError, match=line) as caught:
        read(pairs, file)
    assert "\n" not in str(caught.value)


def test_a_file_of_another_model_or_without_an_emotion_is_one_line(pairs):
    with pytest.raises(InputError, match="circuit file is of model 'gpt5'"):
        read(pairs, file_of(pairs) | {"model": "gpt5"})
    file = file_of(pairs)
    del file["circuits"]["anger"]
    with pytest.raises(InputError, match="emotion 'anger' is not in the circuit file; known: grat"):
        read(pairs, file)
