"""Attribution of a target's change to the neurons of chosen MLPs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

import torch
from jaxtyping import Float, Int
from torch import Tensor

from emotion_circuits.circuits.attribution import Target
from emotion_circuits.circuits.integrated_gradients import integrated_gradients, target_at
from emotion_circuits.circuits.pair_attribution import Prompts, batches_of_pairs
from emotion_circuits.circuits.paths import Path, Variant
from emotion_circuits.interventions import Site
from emotion_circuits.language_models import LanguageModel


def neuron_scores(
    model: LanguageModel,
    clean: Int[Tensor, "pair pos"],
    corrupted: Int[Tensor, "other_pair other_pos"],
    target: Target,
    *,
    layer: int,
    mlps: Sequence[int],
    steps: int = 10,
    variant: Variant = "inputs",
) -> Float[Tensor, "pair mlp neuron"]:
    """Estimate what each neuron of some MLPs contributes to a target, as ``node_scores`` does.

    A neuron's score is the difference of its activation between the two prompts times the target's
    gradient with respect to it. The activation is what the MLP's output projection reads; in a
    gated MLP, the product of the gate and the linear part. Since the projection is linear, the
    scores of an MLP's neurons sum to the MLP's score with the same number of steps.

    Args:
        model: The model; its weights get no gradients.
        clean: Prompts of equal length, on the model's device.
        corrupted: The partner of each prompt; all partners have the same length.
        target: As for ``node_scores``.
        layer: Layer after which the target reads the stream.
        mlps: Layers of the MLPs, at least one.
        steps: Number of steps from the corrupted to the clean prompt.
        variant: As for ``node_scores``; ``activations`` moves the neurons of one MLP.

    Returns:
        Scores, on the CPU in float32.

    Raises:
        InputError: If the prompts do not form pairs, a layer does not exist, or there is no step.
    """
    sites = [Site("mlp_post", number) for number in mlps]
    path = Path.between(model, clean, corrupted, sites)
    read = partial(target_at, target, Site("resid_post", layer))
    gradients = integrated_gradients(model, clean, path, sites, read, steps=steps, variant=variant)
    products = [path.difference(site) * gradients[site] for site in sites]
    return torch.stack([product.float().sum(1) for product in products], dim=1).cpu()


def attribute_neurons(
    model: LanguageModel,
    clean: Prompts,
    corrupted: Prompts,
    target_of: Callable[[list[int]], Target],
    *,
    layer: int,
    mlps: Sequence[int],
    steps: int = 10,
    batch_size: int = 16,
    variant: Variant = "inputs",
) -> Float[Tensor, "pair mlp neuron"]:
    """Score the neurons of some MLPs on each pair, of any lengths, as ``attribute_pairs`` does.

    Args:
        model: The model.
        clean: Token ids of each clean prompt, BOS included.
        corrupted: Token ids of each prompt's partner.
        target_of: Makes the target of some pairs, given their indices.
        layer: Layer after which the target reads the stream.
        mlps: Layers of the MLPs, at least one.
        steps: Number of steps between the prompts.
        batch_size: Pairs in a pass. Affects speed and memory only.
        variant: As for ``node_scores``.

    Returns:
        Scores in the order of the pairs.

    Raises:
        InputError: If there are no pairs, or one cannot be aligned.
    """
    scores: dict[int, Tensor] = {}
    for chosen, one, other in batches_of_pairs(model, clean, corrupted, batch_size):
        found = neuron_scores(
            model,
            one,
            other,
            target_of(chosen),
            layer=layer,
            mlps=mlps,
            steps=steps,
            variant=variant,
        )
        scores |= zip(chosen, found, strict=True)
    return torch.stack([scores[index] for index in range(len(clean))])
