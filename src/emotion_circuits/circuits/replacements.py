"""Interventions that replace nodes' outputs on a prompt, so that a circuit is left or removed."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.edge_places import graph_of
from emotion_circuits.circuits.nodes import Node
from emotion_circuits.experiments.head_conditions import aligned_positions
from emotion_circuits.interventions import (
    Ablate,
    Condition,
    Intervention,
    Operator,
    Positions,
    Prompt,
    Replace,
    Site,
    length_batches,
    on_cpu,
    record,
    stack_layers,
)
from emotion_circuits.language_models import LanguageModel, first_text_position

Prompts = Sequence[tuple[int, ...]]


@dataclass(frozen=True)
class Replacements:
    """For one prompt, the intervention that replaces each head's and each MLP's output.

    The embeddings are not replaced: they are the prompt.

    Attributes:
        interventions: Interventions by node, in the order of computation.
    """

    interventions: dict[Node, Intervention]

    def keep(self, circuit: Collection[Node]) -> Condition:
        """Replace all nodes but those of a circuit: faithfulness."""
        return self._replace("kept", [node for node in self.interventions if node not in circuit])

    def remove(self, circuit: Collection[Node]) -> Condition:
        """Replace the nodes of a circuit: completeness."""
        return self._replace("removed", [node for node in self.interventions if node in circuit])

    def _replace(self, name: str, nodes: list[Node]) -> Condition:
        return Condition(name, tuple(self.interventions[node] for node in nodes))


class Outputs:
    """Outputs of all heads and MLPs on some prompts.

    Attributes:
        z: For each prompt, ``[layer, pos, head, d_head]`` on the CPU.
        mlps: For each prompt, ``[layer, pos, d_model]`` on the CPU.
    """

    def __init__(self, model: LanguageModel, prompts: Prompts, *, batch_size: int = 32) -> None:
        layers = range(model.n_layers)
        sites = [Site(point, layer) for point in ("z", "mlp_out") for layer in layers]
        self.z: list[Tensor] = [torch.empty(0)] * len(prompts)
        self.mlps: list[Tensor] = [torch.empty(0)] * len(prompts)
        for indices, ids in length_batches(model, prompts, batch_size):
            run = record(model, ids, sites, keep=on_cpu).activations
            z, mlps = stack_layers(run, "z"), stack_layers(run, "mlp_out")
            for place, index in enumerate(indices):
                self.z[index], self.mlps[index] = z[place], mlps[place]


def resampled(
    model: LanguageModel, prompts: Prompts, partners: Prompts, *, batch_size: int = 32
) -> list[Replacements]:
    """Replace outputs by those on the prompt's partner, aligned at the prompts' ends.

    Args:
        model: The model.
        prompts: Token ids of each prompt, BOS included.
        partners: Token ids of each prompt's partner.
        batch_size: Prompts per forward pass.

    Source: resample ablation, Chan et al. 2022; MIB, Mueller et al. 2025, arXiv:2504.13151.
    """
    outputs = Outputs(model, partners, batch_size=batch_size)
    n_special = first_text_position(model, "a")  # any text has the same tokens before it
    made = []
    for ids, partner, z, mlps in zip(prompts, partners, outputs.z, outputs.mlps, strict=True):
        n = aligned_positions(len(ids), len(partner), n_special=n_special)

        def aligned(
            source: Float[Tensor, "other_pos width"], n: int = n, length: int = len(ids)
        ) -> Operator:
            whole = torch.zeros(length, source.shape[-1])
            whole[-n:] = source[-n:]
            return Replace(whole)

        made.append(
            Replacements(
                {
                    node: Intervention(
                        _site(node),
                        aligned(
                            mlps[node.layer] if node.head is None else z[node.layer][:, node.head]
                        ),
                        Prompt(n),
                    )
                    for node in inner_nodes(model)
                }
            )
        )
    return made


def mean_ablated(
    model: LanguageModel, prompts: Prompts, others: Prompts, *, batch_size: int = 32
) -> list[Replacements]:
    """Replace outputs by their means over other prompts, at all positions but BOS.

    Args:
        model: The model.
        prompts: Token ids of each prompt, BOS included.
        others: Prompts to average over; each counts the same, whatever its length.
        batch_size: Prompts per forward pass.

    Source: mean ablation, Wang et al. 2022, arXiv:2211.00593.
    """
    n_special = first_text_position(model, "a")  # any text has the same tokens before it
    outputs = Outputs(model, others, batch_size=batch_size)
    z = torch.stack([each[:, n_special:].mean(1) for each in outputs.z]).mean(0)
    mlps = torch.stack([each[:, n_special:].mean(1) for each in outputs.mlps]).mean(0)
    operators: dict[Node, Operator] = {
        node: Ablate(mlps[node.layer] if node.head is None else z[node.layer, node.head])
        for node in inner_nodes(model)
    }

    def replacements(positions: Positions) -> Replacements:
        return Replacements(
            {
                node: Intervention(_site(node), operator, positions)
                for node, operator in operators.items()
            }
        )

    return [replacements(Prompt(len(ids) - n_special)) for ids in prompts]


def inner_nodes(model: LanguageModel) -> list[Node]:
    """List the heads and MLPs of a model, in the order of computation."""
    return graph_of(model).nodes()[1:-1]


def _site(node: Node) -> Site:
    assert node.layer is not None
    if node.head is None:
        return Site("mlp_out", node.layer)
    return Site("z", node.layer, node.head)
