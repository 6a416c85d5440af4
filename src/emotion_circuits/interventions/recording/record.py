"""Recording of activations at chosen sites, and of targets' gradients with respect to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
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
from emotion_circuits.language_models.padding import mask_arguments


@dataclass(frozen=True)
class Recording:
    """Activations, logits and gradients of one pass over prompts.

    Attributes:
        activations: Activations by site: ``[row, pos, d_model]``; ``[row, pos, head, d_head]`` for
            ``z`` and, with key/value heads, for ``v``; ``[row, head, query, key]`` for ``pattern``.
        logits: Logits at the last position; empty if they were not asked for.
        values: Value of each target, by the target's name.
        gradients: Gradient of each target with respect to the activation at each site, by the
            target's name and the site.
    """

    activations: dict[Site, Any]
    logits: Float[Tensor, "row vocab"]
    values: dict[str, Float[Tensor, " row"]] = field(default_factory=dict)
    gradients: dict[str, dict[Site, Tensor]] = field(default_factory=dict)


Target = Callable[[Recording], Float[Tensor, " row"]]
Keep = Callable[[Any], Any]


def _whole(activation: Any) -> Any:
    return activation


class _AllRecorded(Exception):  # noqa: N818 - it ends a pass and is no error
    """Raised from the last site of a pass whose logits no one reads."""


def record(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    sites: Sequence[Site],
    *,
    mask: Bool[Tensor, "row pos"] | None = None,
    cache: Any = None,
    keep: Keep = _whole,
    gradients: Mapping[str, Target] | None = None,
    replace: Mapping[Site, Tensor] | None = None,
    logits: bool = True,
) -> Recording:
    """Run prompts through a model and record its activations at some sites.

    One pass of the plain model, which is faster than the bridge, records the sites that it has; a
    second pass, of the bridge, records the others. With gradients and any site of the bridge, one
    pass of the bridge records all sites. Within the context of ``patched``, the pass of the plain
    model is patched.

    Args:
        model: The model; its hooks are the same afterwards, even after an exception.
        ids: Tokens, on the model's device.
        sites: Sites to record. Heads of a layer are recorded together, so sites name no head.
        mask: ``False`` for padding; ``None`` without padding.
        cache: A cache of ``transformers`` to fill, if sites need a single pass; or ``None``.
        keep: Function that returns the part of an activation or gradient to keep. It is called as
            soon as the activation is computed; a part, or a copy on the CPU, saves memory.
        gradients: Targets to differentiate, by name. A target is a function of a recording with
            the activations at ``sites``, and returns one number per prompt that does not depend
            on other prompts. ``None`` runs without gradients.
        replace: Activations to put in place of the model's own at some of ``sites``; they are what
            is recorded there.
        logits: Whether logits are needed; if not, the plain model stops after the last site, and
            ``cache`` lacks later layers. With gradients they are always computed.

    Returns:
        Activations, logits, and with ``gradients`` the targets' values and gradients.

    Raises:
        InputError: If a site does not exist or names a head, or one that is replaced is not
            recorded.
    """
    given = {} if replace is None else dict(replace)
    for site in given.keys() - set(sites):
        raise InputError(f"{site} is replaced but not among the recorded sites")
    for site in sites:
        check_site(model, site)
        if site.head is not None:
            raise InputError(f"site {site}: heads are recorded together; allowed is head None")
    shown = [site for site in sites if site.point not in BRIDGE_POINTS]
    activations: dict[Site, Any] = {}
    zeros: dict[Site, Tensor] = {}

    def take(site: Site, value: Any) -> Any:
        if site in activations:  # the bridge may show a pattern twice
            return None
        value = given.get(site, value)
        if gradients is None:
            activations[site] = keep(value)
            if not logits and site in shown and activations.keys() >= set(shown):
                raise _AllRecorded
            return value if site in given else None
        # The gradient of a zero that is added to an activation is that of the activation.
        zeros[site] = torch.zeros_like(value, requires_grad=True)
        activations[site] = value + zeros[site]
        return activations[site]

    def run(of_pass: Sequence[Site]) -> Tensor:
        functions: dict[Site, SiteFunction] = {site: partial(take, site) for site in of_pass}
        return run_with(model, ids, functions, mask=mask, cache=cache)

    if gradients is None:
        shown = [site for site in sites if site.point not in BRIDGE_POINTS]
        hidden = [site for site in sites if site.point in BRIDGE_POINTS]
        passes = [part for part in (shown, hidden) if part] or [[]]
        with torch.no_grad():
            read = [run(part) for part in passes]
        return Recording(activations, read[0])
    with torch.enable_grad():
        seen = Recording(activations, run(sites))
        values = {name: target(seen) for name, target in gradients.items()}
    return Recording(
        {site: keep(value.detach()) for site, value in activations.items()},
        seen.logits.detach(),
        {name: value.detach() for name, value in values.items()},
        {name: _gradients(value, zeros, keep) for name, value in values.items()},
    )


def run_with(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    functions: Mapping[Site, SiteFunction],
    *,
    mask: Bool[Tensor, "row pos"] | None = None,
    cache: Any = None,
) -> Float[Tensor, "row vocab"]:
    """Run one pass that calls a function at each site, which may replace the activation there.

    Functions are called in the order of computation, so a function may use what earlier ones saw.
    The pass is the bridge's if any site is one of the bridge, otherwise the plain model's.

    Args:
        model: The model; its hooks are the same afterwards, even after an exception.
        ids: Tokens, on the model's device.
        functions: Functions by site, without heads. Each gets the activation, and returns its
            replacement or ``None`` for no change.
        mask: ``False`` for padding; ``None`` without padding.
        cache: A cache of ``transformers`` to fill, or ``None``.

    Returns:
        Logits at the last position.
    """
    bridged = any(site.point in BRIDGE_POINTS for site in functions)
    network = model.hf_model if bridged else model.plain_model
    with suppress(_AllRecorded), (at_bridge_sites if bridged else at_sites)(model, functions):
        logits: Tensor = network(
            input_ids=ids,
            past_key_values=cache,
            use_cache=cache is not None,
            logits_to_keep=1,  # each position costs d_model x vocabulary products
            **({} if mask is None else mask_arguments(network, mask)),
        ).logits
        return logits[:, -1]
    return torch.empty(len(ids), 0)


def _gradients(
    value: Float[Tensor, " row"], zeros: Mapping[Site, Tensor], keep: Keep
) -> dict[Site, Any]:
    """Return a target's gradient with respect to the zero of each site."""
    gradients = torch.autograd.grad(
        value.sum(),
        list(zeros.values()),
        retain_graph=True,
        allow_unused=True,
        materialize_grads=True,
    )
    return {site: keep(gradient) for site, gradient in zip(zeros, gradients, strict=True)}


def stack_layers(by_site: Mapping[Site, Tensor], point: str) -> Float[Tensor, "row layer ..."]:
    """Stack the recordings at a point over layers, in the order of the sites."""
    return torch.stack([value for site, value in by_site.items() if site.point == point], dim=1)


def on_cpu(activation: Tensor) -> Tensor:
    """Return an activation or gradient on the CPU in float32."""
    return activation.float().cpu()
