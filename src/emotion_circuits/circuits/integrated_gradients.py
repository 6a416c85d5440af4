"""Attribution of a target's change to nodes, by gradients integrated between two prompts."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Recording, Site, record
from emotion_circuits.language_models import LanguageModel


class NodeScores(NamedTuple):
    """How much of a target's change between two prompts each node accounts for.

    Attributes:
        input: The embeddings. With many steps, this is the whole change (completeness).
        heads: Each head.
        mlps: The MLP of each layer.
        change: Target of the clean prompt minus that of the corrupted one.
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
) -> NodeScores:
    """Estimate what each node contributes to a target, in one pass per step for all nodes.

    A node's score is the difference of its output between the two prompts times the target's
    gradient with respect to it, summed over positions and entries. The gradient is the mean over
    embeddings on the way from the corrupted to the clean prompt, by the trapezoidal rule: its error
    falls with the square of the number of steps, and that of the sum over k = 1 to ``steps``, which
    the paper has, only with the number. With one step, the gradient is that of the clean prompt:
    attribution patching. A score estimates by how much the target falls if the node's output is
    replaced by that of the corrupted prompt.

    Scores of different nodes overlap, since a late node passes on what early ones wrote; they do
    not sum to the change. Scores of a cut through the model, such as the embeddings, do.

    Args:
        model: The model; its weights get no gradients.
        clean: Prompts of equal length, on the model's device.
        corrupted: The partner of each prompt, with as many tokens; ``[pair, pos]`` as well.
        target: Function of the residual stream after ``layer`` and of the logits, both at the last
            position, that returns one number per pair.
        layer: Layer after which the stream is read. Nodes after it have a score of 0, if the
            target does not read logits.
        steps: Number of steps from the corrupted to the clean prompt.

    Returns:
        Scores, on the CPU in float32.

    Raises:
        InputError: If the prompts differ in shape, or there is no step.

    Source: Sundararajan et al. 2017, arXiv:1703.01365; EAP-IG (inputs), Hanna et al. 2024,
    arXiv:2403.17806.
    """
    if clean.shape != corrupted.shape:
        raise InputError(
            f"clean prompts are {tuple(clean.shape)} and corrupted ones {tuple(corrupted.shape)} "
            "(pairs, tokens); allowed are pairs with equal numbers of tokens"
        )
    if steps < 1:
        raise InputError(f"steps is {steps}; allowed are whole numbers from 1")
    entry, stream = Site("resid_pre", 0), Site("resid_post", layer)
    nodes = [entry]
    for number in range(model.n_layers):
        nodes += [Site("z", number), Site("mlp_out", number)]
    sites = list(dict.fromkeys([*nodes, stream]))
    read = {"target": partial(_at_last, target, stream)}
    ours = record(model, clean, sites, gradients=read)
    theirs = record(model, corrupted, sites, gradients=read)
    between = {site: ours.activations[site] - theirs.activations[site] for site in nodes}
    total = {site: ours.gradients["target"][site] for site in nodes}
    if steps > 1:
        total = {site: (total[site] + theirs.gradients["target"][site]) / 2 for site in nodes}
    for step in range(1, steps):
        embeddings = theirs.activations[entry] + between[entry] * (step / steps)
        there = record(model, clean, sites, gradients=read, replace={entry: embeddings})
        total = {site: total[site] + there.gradients["target"][site] for site in nodes}
    scores = {site: (between[site] * total[site] / steps).float().cpu() for site in nodes}
    layers = range(model.n_layers)
    return NodeScores(
        scores[entry].sum((1, 2)),
        torch.stack([scores[Site("z", number)].sum((1, 3)) for number in layers], dim=1),
        torch.stack([scores[Site("mlp_out", number)].sum((1, 2)) for number in layers], dim=1),
        (ours.values["target"] - theirs.values["target"]).float().cpu(),
    )


def _at_last(target: Target, stream: Site, recorded: Recording) -> Float[Tensor, " pair"]:
    return target(recorded.activations[stream][:, -1].float(), recorded.logits.float())
