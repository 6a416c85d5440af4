"""Planted edges alone recover their emotion in exact runs; other edges do not."""

import numpy as np
import torch

from emotion_circuits.circuits import graph_of
from emotion_circuits.circuits.edge_references import resampled_writes
from emotion_circuits.circuits.edge_verifier import EdgeVerifier
from emotion_circuits.circuits.faithfulness import recovered
from emotion_circuits.circuits.random_circuits import permuted_circuits
from emotion_circuits.language_models import ModelSpec
from emotion_circuits.language_models.loading import wrap_language_model
from plain_ablation import encode

N_PAIRS = 3


def runs_of(planted, model, emotion):
    table = planted.prompts[planted.prompts["split"] == "test"].set_index(["emotion", "pair_id"])
    names = sorted(table.index.get_level_values("pair_id").unique())[:N_PAIRS]
    clean, partners = (
        [tuple(encode(planted, table.loc[(label, name), "text"])[0].tolist()) for name in names]
        for label in (emotion, planted.truth.neutral)
    )
    reactions = list(planted.truth.reactions[emotion])
    tokens = torch.tensor(planted.tokenizer.convert_tokens_to_ids(reactions))
    full = []
    for ids in clean:
        with torch.no_grad():
            p = planted.model(torch.tensor([ids])).logits[0, -1].double().softmax(-1)[tokens].sum()
        full.append(float(p.log() - (1 - p).log()))
    references = resampled_writes(model, clean, partners)
    return EdgeVerifier(model, clean, references, tokens, np.array(full))


def test_planted_edges_are_the_circuit_and_random_ones_are_not(planted):
    name = planted.model.config.model_type
    spec = ModelSpec(name=name, source=name, device="cpu")
    model = wrap_language_model(spec, planted.model, planted.tokenizer)
    graph = graph_of(model)
    redundant = {node for group in planted.truth.redundant for node in group.nodes}
    for emotion in planted.truth.emotions:
        runs = runs_of(planted, model, emotion)
        circuit = [graph.edge(edge) for edge in planted.truth.edges[emotion]]
        images = permuted_circuits([circuit], graph.edges(), kind="any", n_draws=10, seed=0)
        (own, *others) = recovered(
            runs.keep([circuit, *(image for (image,) in images)]), runs.full, runs.empty
        )
        (left,) = recovered(runs.remove([circuit]), runs.full, runs.empty)
        assert 0.9 <= own <= 1.2
        assert max(np.abs(others)) <= 0.2
        assert abs(left) <= 0.2
        # Without one of its edges nothing comes through, but for what is redundant or lowers it.
        needed = [
            edge for edge in circuit
            if not {str(edge.source), str(edge.target)} & redundant
            and not any(n.role == "inhibit" and n.node in str(edge) for n in planted.truth.nodes)
            and edge.target.kind != "mlp"
        ]  # fmt: skip
        without = [[each for each in circuit if each != lost] for lost in needed]
        assert needed
        assert max(recovered(runs.keep(without), runs.full, runs.empty)) <= 0.2
