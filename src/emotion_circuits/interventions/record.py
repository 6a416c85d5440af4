"""Recording what a model computes at chosen sites, and how targets change with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.hooks import SiteFunction, at_bridge_sites, at_sites
from emotion_circuits.interventions.sites import BRIDGE_POINTS, Site, check_site
from emotion_circuits.language_models import LanguageModel


@dataclass(frozen=True)
class Recording:
    """What a model computed on a table of token rows.

    Attributes:
        activations: By site. ``[row, pos, d_model]``; ``[row, pos, head, d_head]`` for ``z`` and,
            with key/value heads, for ``v``; ``[row, head, query, key]`` for ``pattern``.
        logits: Logits at the last position.
        values: Value of each target, by its name.
        gradients: Gradient of each target with respect to the activation at each site, by the
            target's name and the site, in the activation's shape.
    """

    activations: dict[Site, Any]
    logits: Float[Tensor, "row vocab"]
    values: dict[str, Float[Tensor, " row"]] = field(default_factory=dict)
    gradients: dict[str, dict[Site, Tensor]] = field(default_factory=dict)


Target = Callable[[Recording], Float[Tensor, " row"]]
Keep = Callable[[Any], Any]


def _all_of_it(activation: Any) -> Any:
    return activation


def record(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    sites: Sequence[Site],
    *,
    mask: Bool[Tensor, "row pos"] | None = None,
    cache: Any = None,
    keep: Keep = _all_of_it,
    gradients: Mapping[str, Target] | None = None,
) -> Recording:
    """Run token rows through a model once and record its activations at some sites.

    The plain model runs, which is the faster one. Sites that only TransformerLens' hook points
    show are recorded in a second pass, through the bridge; with gradients, all sites are recorded
    in that pass. Within the context of ``patched``, what the patched plain model computes is
    recorded.

    Args:
        model: The model; it has the same hooks afterwards, whatever happens.
        ids: Tokens, on the model's device.
        sites: Where to record. Heads of a layer are recorded together, so no site names one.
        mask: ``False`` for padding; ``None`` where no row is padded.
        cache: A cache of ``transformers`` that keys and values are written to; ``None`` for none.
        keep: Gives what to keep of an activation or gradient. It is called as soon as the
            activation is computed, so that a part or a copy on the CPU saves memory.
        gradients: Targets to differentiate, by name. A target is a function of a recording, whose
            activations are those at ``sites``, and gives one number a row, which depends on no
            other row. ``None`` runs without gradients.

    Returns:
        Activations, logits, and with ``gradients`` the targets' values and gradients.

    Raises:
        InputError: If a site does not exist or names a head.
    """
    for site in sites:
        check_site(model, site)
        if site.head is not None:
            raise InputError(f"site {site}: heads are recorded together; allowed is head None")
    if gradients is not None:
        run = partial(_run, model, ids, sites, mask=mask, cache=cache)
        return _differentiate(run, gradients, keep)
    activations: dict[Site, Any] = {}

    def take(site: Site, value: Any) -> None:
        if site not in activations:
            activations[site] = keep(value)

    shown = [site for site in sites if site.point not in BRIDGE_POINTS]
    hidden = [site for site in sites if site.point in BRIDGE_POINTS]
    with torch.no_grad():
        passes = [part for part in (shown, hidden) if part] or [[]]
        logits = [_run(model, ids, part, take, mask=mask, cache=cache) for part in passes]
    return Recording(activations, logits[0])


def _run(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    sites: Sequence[Site],
    function: Callable[[Site, Any], Tensor | None],
    *,
    mask: Bool[Tensor, "row pos"] | None,
    cache: Any,
) -> Float[Tensor, "row vocab"]:
    """Run one pass that calls a function with each site and its activation; give the logits."""
    functions: dict[Site, SiteFunction] = {site: partial(function, site) for site in sites}
    bridged = any(site.point in BRIDGE_POINTS for site in sites)
    network = model.hf_model if bridged else model.plain_model
    with (at_bridge_sites if bridged else at_sites)(model, functions):
        logits: Tensor = network(
            input_ids=ids,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=1,  # logits of one position cost d_model x vocabulary products
        ).logits
    return logits[:, -1]


def _differentiate(
    run: Callable[[Callable[[Site, Tensor], Tensor | None]], Float[Tensor, "row vocab"]],
    targets: Mapping[str, Target],
    keep: Keep,
) -> Recording:
    """Add a zero to each activation; its gradient is the activation's own."""
    zeros: dict[Site, Tensor] = {}
    activations: dict[Site, Tensor] = {}

    def nudge(site: Site, value: Tensor) -> Tensor | None:
        if site in zeros:
            return None
        zeros[site] = torch.zeros_like(value, requires_grad=True)
        activations[site] = value + zeros[site]
        return activations[site]

    with torch.enable_grad():
        seen = Recording(activations, run(nudge))
        values = {name: target(seen) for name, target in targets.items()}
    gradients = {}
    for name, value in values.items():
        slopes = torch.autograd.grad(
            value.sum(),
            list(zeros.values()),
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        gradients[name] = {site: keep(slope) for site, slope in zip(zeros, slopes, strict=True)}
    return Recording(
        {site: keep(value.detach()) for site, value in activations.items()},
        seen.logits.detach(),
        {name: value.detach() for name, value in values.items()},
        gradients,
    )
