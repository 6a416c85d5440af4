"""Attribution of a target's change to the edges between nodes (EAP-IG)."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.edge_gradients import Readings, read_gradients
from emotion_circuits.circuits.edge_places import edge_places, graph_of
from emotion_circuits.circuits.integrated_gradients import (
    NodeScores,
    change_along,
    node_sites,
    scores_by_node,
    target_at,
)
from emotion_circuits.circuits.nodes import Graph
from emotion_circuits.circuits.paths import Path, Variant, moved_sites, trapezoid
from emotion_circuits.circuits.writes import written_differences
from emotion_circuits.interventions import Site
from emotion_circuits.language_models import LanguageModel


class EdgeScores(NamedTuple):
    """How much of a target's change between two prompts each edge accounts for.

    Attributes:
        edges: Scores in the order of ``Graph.edges``. Scores of the edges out of ``input`` sum to
            the whole change, with many steps.
        nodes: Scores of nodes, from the same passes.
    """

    edges: Float[Tensor, "pair edge"]
    nodes: NodeScores


def edge_scores(
    model: LanguageModel,
    clean: Int[Tensor, "pair pos"],
    corrupted: Int[Tensor, "other_pair other_pos"],
    target: Target,
    *,
    layer: int,
    steps: int = 10,
    variant: Variant = "inputs",
) -> EdgeScores:
    """Estimate what each edge contributes to a target, in two passes per step for all edges.

    An edge's score is the difference that its source writes to the residual stream between the two
    prompts, times the target's gradient with respect to what the edge's target reads; the gradient
    is the mean over the way between the prompts, as for ``node_scores``. A query head has its own
    gradient for the key and the value that it shares with the other heads of its group. ``logits``
    stands for whatever the target reads: the final stream, or the stream after ``layer``.

    The scores of a node's outgoing edges sum to its own score, except where a norm follows
    attention or the MLP (Gemma). There, a head's write is scaled as on its own prompt, so that the
    writes of all nodes sum to the stream.

    Args:
        model: The model; its weights get no gradients.
        clean: Prompts of equal length, on the model's device.
        corrupted: The partner of each prompt; all partners have the same length.
        target: As for ``node_scores``.
        layer: Layer after which the target reads the stream.
        steps: Number of steps from the corrupted to the clean prompt.
        variant: As for ``node_scores``; ``activations`` takes 2 × layers + 1 times as long.

    Raises:
        InputError: If the prompts do not form pairs, or there is no step.

    Source: edge attribution patching, Syed et al. 2023, arXiv:2310.10348; EAP-IG (inputs), Hanna
    et al. 2024, arXiv:2403.17806.
    """
    nodes = node_sites(model)
    path = Path.between(model, clean, corrupted, nodes)
    graph = graph_of(model)
    places = edge_places(graph)
    scores = torch.zeros(len(clean), places.n_sources, places.n_readers, device=model.device)
    written, outputs = written_differences(model, path), dict[Site, Tensor]()
    for moved, scored in moved_sites(nodes, variant):
        of_scored = _only(written, graph, scored)
        for share, weight in trapezoid(steps):
            readings = read_gradients(
                model,
                clean,
                {moved: path.at(moved, share)},
                target,
                layer=layer,
                n_last=path.n_aligned,
            )
            _add_scores(scores, graph, of_scored, readings, layer, weight)
            for site in scored:
                outputs[site] = outputs.get(site, 0) + readings.outputs[site] * weight
    products = {site: path.difference(site) * outputs[site] for site in nodes}
    read = partial(target_at, target, Site("resid_post", layer))
    return EdgeScores(
        scores[:, places.sources, places.readers].cpu(),
        scores_by_node(products, model.n_layers, change_along(model, clean, path, read)),
    )


def _only(
    written: Float[Tensor, "pair aligned source d_model"], graph: Graph, sites: Sequence[Site]
) -> Float[Tensor, "pair aligned source d_model"]:
    """Return the differences of the sources that write at some sites, and zero for the others."""
    chosen = torch.zeros_like(written)
    for site in sites:
        first = 1 + site.layer * (graph.n_heads + 1)
        sources = {
            "resid_pre": slice(0, 1),
            "z": slice(first, first + graph.n_heads),
            "mlp_out": slice(first + graph.n_heads, first + graph.n_heads + 1),
        }[site.point]
        chosen[:, :, sources] = written[:, :, sources]
    return chosen


def _add_scores(
    scores: Float[Tensor, "pair source reader"],
    graph: Graph,
    written: Float[Tensor, "pair aligned source d_model"],
    readings: Readings,
    layer: int,
    weight: float,
) -> None:
    """Add one step's products of differences and gradients to the scores, in place."""
    n_heads, width = graph.n_heads, graph.n_heads + 1

    def products(n_sources: int, gradients: Tensor) -> Tensor:
        product: Tensor = torch.einsum(
            "bpsd,bprd->bsr", written[:, :, :n_sources], gradients.float()
        )
        return product * weight

    for number in range(graph.n_layers):
        n_before, first = 1 + number * width, number * (3 * n_heads + 1)
        gradients = readings.attention[number].flatten(2, 3)
        scores[:, :n_before, first : first + 3 * n_heads] += products(n_before, gradients)
        n_read = n_before + (0 if graph.parallel else n_heads)
        last = slice(first + 3 * n_heads, first + 3 * n_heads + 1)
        scores[:, :n_read, last] += products(n_read, readings.mlps[number][:, :, None])
    for n_sources, gradient in (
        (1 + (layer + 1) * width, readings.stream),
        (written.shape[2], readings.logits),
    ):
        scores[:, :n_sources, -1:] += products(n_sources, gradient[:, :, None])
