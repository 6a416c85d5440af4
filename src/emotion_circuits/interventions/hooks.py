"""Functions that are called with a model's activations during a forward pass.

Only this module registers hooks. A function receives the activation at its site, and returns a
tensor that replaces it, or ``None`` for no change. Hooks exist only within a context manager, and
are removed even if an exception ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from emotion_circuits.interventions.sites import (
    INPUT_POINTS,
    Site,
    bridge_hook_name,
    ends_in_projection,
    module_at,
)
from emotion_circuits.language_models import LanguageModel

SiteFunction = Callable[[Any], Tensor | None]  # a tensor at every point but ``block_out``


@contextmanager
def at_sites(model: LanguageModel, functions: Mapping[Site, SiteFunction]) -> Iterator[None]:
    """Call functions at sites of the plain model.

    Args:
        model: The model whose ``plain_model`` is called within the context.
        functions: Functions by site. At ``z`` the activation is ``[row, pos, head, d_head]``.
    """
    with ExitStack() as hooks:
        for site, function in functions.items():
            for handle in _add_hooks(model, site, function):
                hooks.callback(handle.remove)
        yield


def _add_hooks(model: LanguageModel, site: Site, function: SiteFunction) -> list[Any]:
    module = module_at(model, site)
    if site.point == "z":
        function = partial(_by_head, function, model.n_heads)
    handles = []
    if site.point in ("mlp_out", "mlp_post") and ends_in_projection(model):
        shape: list[int] = []
        block = model.plain_blocks[site.layer]
        note = partial(_note_shape, shape)
        handles.append(block.register_forward_pre_hook(note, with_kwargs=True))
        function = partial(_by_row, function, shape)
    if site.point in INPUT_POINTS:
        change = partial(_at_input, function)
        handles.append(module.register_forward_pre_hook(change, with_kwargs=True))
    else:
        whole = site.point == "block_out"
        handles.append(module.register_forward_hook(partial(_at_output, function, whole)))
    return handles


def _note_shape(
    shape: list[int],
    module: nn.Module,  # noqa: ARG001 - torch sets the signature of hooks
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> None:
    shape[:] = (args[0] if args else kwargs["hidden_states"]).shape[:2]


def _by_row(function: SiteFunction, shape: list[int], values: Tensor) -> Tensor | None:
    """Call a function with ``[row, pos, d_model]``; OPT's MLP has rows and positions as one."""
    changed = function(values.unflatten(0, shape) if values.dim() == 2 else values)
    return None if changed is None else changed.view(values.shape)


def _by_head(function: SiteFunction, n_heads: int, values: Tensor) -> Tensor | None:
    changed = function(values.unflatten(-1, (n_heads, -1)))
    return None if changed is None else changed.flatten(-2)


def _at_input(
    function: SiteFunction,
    module: nn.Module,  # noqa: ARG001 - torch sets the signature of hooks
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    changed = function(args[0] if args else kwargs["hidden_states"])
    if changed is None:
        return None
    return ((changed, *args[1:]), kwargs) if args else (args, {**kwargs, "hidden_states": changed})


def _at_output(
    function: SiteFunction,
    whole: bool,
    module: nn.Module,  # noqa: ARG001
    args: tuple[Any, ...],  # noqa: ARG001
    output: Any,
) -> Any:
    if whole or not isinstance(output, tuple):
        return function(output)
    changed = function(output[0])
    return None if changed is None else (changed, *output[1:])


@contextmanager
def at_bridge_sites(model: LanguageModel, functions: Mapping[Site, SiteFunction]) -> Iterator[None]:
    """Call functions at sites of the bridge, which include attention patterns and values.

    A function at ``pattern`` may be called twice in a pass, with the same weights.

    Args:
        model: The model whose ``hf_model`` is called within the context.
        functions: Functions by site. Activations have the shapes of TransformerLens.
    """
    hooks = [
        (bridge_hook_name(model, site), partial(_at_hook_point, item))
        for site, item in functions.items()
    ]
    with ExitStack() as early, model.bridge.hooks(fwd_hooks=hooks):
        for site, function in functions.items():
            for module in _pattern_dropouts(model, site.layer) if site.point == "pattern" else ():
                hook = partial(_at_dropout, function)
                early.callback(module.register_forward_pre_hook(hook).remove)
        yield


def _at_hook_point(function: SiteFunction, value: Tensor, hook: Any) -> Tensor | None:  # noqa: ARG001
    return function(value)


def _pattern_dropouts(model: LanguageModel, layer: int) -> list[nn.Module]:
    """Return the dropout modules that attention weights pass, which do nothing in evaluation.

    For GPT-Neo, TransformerLens shows the pattern only after the output projection. An operator
    that changes ``z`` needs it earlier.
    """
    block = model.hf_model.get_submodule(model.bridge.adapter.component_mapping["blocks"].name)
    modules = block[layer].named_modules()
    return [module for name, module in modules if name.rpartition(".")[2] == "attn_dropout"]


def _at_dropout(function: SiteFunction, module: nn.Module, args: tuple[Any, ...]) -> None:  # noqa: ARG001
    function(args[0])
