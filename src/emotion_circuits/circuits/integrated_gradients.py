"""Attribution of a target's change to nodes, by gradients integrated between two prompts."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.paths import ENTRY, Path, Variant, moved_sites, trapezoid
from emotion_circuits.interventions import Recording, Site, record
from emotion_circuits.language_models import LanguageModel


class NodeScores(NamedTuple):
    """How much of a target's change between two prompts each node accounts for.

    Attributes:
        input: The embeddings. With many steps, this is the whole change (completeness).
        heads: Each head.
        mlps: The MLP of each layer.
        change: Target of the clean prompt minus that of the corrupted one. For prompts of unequal
            length, the corrupted prompt is the clean one with the embeddings of its partner where
            the two are aligned.
    """

    input: Float[Tensor, " pair"]
    heads: Float[Tensor, "pair layer head"]
    mlps: Float[Tensor, "pair layer"]
    change: Float[Tensor, " pair"]


def node_scores(
    model: LanguageModel,
    clean: Int[Tensor, "pair pos"],
    corrupted: Int[Tensor, "other_pair other_pos"],
    target: Target,
    *,
    layer: int,
    steps: int = 10,
    variant: Variant = "inputs",
) -> NodeScores:
    """Estimate what each node contributes to a target, in one pass per step for all nodes.

    A node's score is the difference of its output between the two prompts times the target's
    gradient with respect to it, summed over positions and entries. The gradient is the mean over
    embeddings on the way from the corrupted to the clean prompt (see ``trapezoid``). With one step,
    the gradient is that of the clean prompt: attribution patching. A score estimates by how much
    the target falls if the node's output is replaced by that of the corrupted prompt. Prompts of
    unequal length are aligned at their ends (see ``Path``).

    Scores of different nodes overlap, since a late node passes on what early ones wrote; they do
    not sum to the change. Scores of a cut through the model, such as the embeddings, do.

    Args:
        model: The model; its weights get no gradients.
        clean: Prompts of equal length, on the model's device.
        corrupted: The partner of each prompt; all partners have the same length.
        target: Function of the residual stream after ``layer`` and of the logits, both at the last
            position, that returns one number per pair.
        layer: Layer after which the stream is read. Nodes after it have a score of 0, if the
            target does not read logits.
        steps: Number of steps from the corrupted to the clean prompt.
        variant: ``inputs`` integrates on the way between the embeddings. ``activations`` moves the
            outputs of the heads of one layer, or of one MLP, alone, in as many passes: their
            scores sum to the change if these outputs alone are replaced.

    Returns:
        Scores, on the CPU in float32.

    Raises:
        InputError: If the prompts do not form pairs, or there is no step.

    Source: Sundararajan et al. 2017, arXiv:1703.01365; EAP-IG (inputs), Hanna et al. 2024,
    arXiv:2403.17806.
    """
    nodes = node_sites(model)
    path = Path.between(model, clean, corrupted, nodes)
    read = partial(target_at, target, Site("resid_post", layer))
    total = integrated_gradients(model, clean, path, nodes, read, steps=steps, variant=variant)
    scores = {site: path.difference(site) * total[site] for site in nodes}
    return scores_by_node(scores, model.n_layers, change_along(model, clean, path, read))


def integrated_gradients(
    model: LanguageModel,
    clean: Int[Tensor, "pair pos"],
    path: Path,
    sites: Sequence[Site],
    read: partial[Float[Tensor, " pair"]],
    *,
    steps: int,
    variant: Variant = "inputs",
) -> dict[Site, Float[Tensor, "pair aligned ..."]]:
    """Return a target's mean gradient at sites on the way between the prompts, where aligned.

    Args:
        model: The model; its weights get no gradients.
        clean: Clean prompts.
        path: The way between the prompts.
        sites: Sites to differentiate at.
        read: Partial of ``target_at`` that lacks the recording.
        steps: Number of steps from the corrupted to the clean prompt.
        variant: What moves, as for ``node_scores``.
    """
    total: dict[Site, Tensor] = {}
    for moved, scored in moved_sites(sites, variant):
        recorded = list(dict.fromkeys([moved, *scored, read.args[1]]))
        for share, weight in trapezoid(steps):
            there = record(
                model,
                clean,
                recorded,
                gradients={"target": read},
                replace={moved: path.at(moved, share)},
            ).gradients["target"]
            for site in scored:
                total[site] = total.get(site, 0) + there[site][:, -path.n_aligned :] * weight
    return total


def node_sites(model: LanguageModel) -> list[Site]:
    """Return the sites where nodes write: the embeddings, and each layer's heads and MLP."""
    sites = [ENTRY]
    for number in range(model.n_layers):
        sites += [Site("z", number), Site("mlp_out", number)]
    return sites


def scores_by_node(
    products: dict[Site, Tensor], n_layers: int, change: Float[Tensor, " pair"]
) -> NodeScores:
    """Sum products of differences and gradients at each node's site to scores."""
    summed = {site: product.float().cpu() for site, product in products.items()}
    layers = range(n_layers)
    return NodeScores(
        summed[ENTRY].sum((1, 2)),
        torch.stack([summed[Site("z", number)].sum((1, 3)) for number in layers], dim=1),
        torch.stack([summed[Site("mlp_out", number)].sum((1, 2)) for number in layers], dim=1),
        change,
    )


@torch.no_grad()
def change_along(
    model: LanguageModel,
    clean: Int[Tensor, "pair pos"],
    path: Path,
    read: partial[Float[Tensor, " pair"]],
) -> Float[Tensor, " pair"]:
    """Return the target at the end of a path minus that at its beginning."""
    stream: Site = read.args[1]
    ends = [
        read(record(model, clean, [ENTRY, stream], replace={ENTRY: path.at(ENTRY, share)}))
        for share in (1.0, 0.0)
    ]
    return (ends[0] - ends[1]).float().cpu()


def target_at(target: Target, stream: Site, recorded: Recording) -> Float[Tensor, " pair"]:
    """Read a target from a recording of the stream and the logits."""
    return target(recorded.activations[stream][:, -1].float(), recorded.logits.float())
