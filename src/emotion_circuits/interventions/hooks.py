"""Putting a batch's patches into a model; nothing else adds a hook that changes anything."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

from torch import Tensor, nn

from emotion_circuits.interventions.patches import Patches
from emotion_circuits.interventions.sites import mlp, output_projection
from emotion_circuits.language_models import LanguageModel


@contextmanager
def patched(model: LanguageModel, patches: Patches) -> Iterator[None]:
    """Let patches act on the plain model's forward passes, and only within the context.

    Args:
        model: Its ``plain_model`` is to be called within.
        patches: What to change; ``Patches.at`` says before each pass which positions it reads.
    """
    with ExitStack() as hooks:
        for layer, point in patches.groups:
            hooks.callback(_add_hook(model, patches, layer, point).remove)
        yield


def _add_hook(model: LanguageModel, patches: Patches, layer: int, point: str) -> Any:
    block = model.plain_blocks[layer]
    if point == "resid_pre":
        before = partial(_change_input, patches, layer, point)
        return block.register_forward_pre_hook(before, with_kwargs=True)
    if point == "z":
        heads = partial(_change_heads, patches, layer, model.n_heads)
        return output_projection(model, layer).register_forward_pre_hook(heads)
    module = block if point == "resid_post" else mlp(model, layer)
    return module.register_forward_hook(partial(_change_output, patches, layer, point))


def _change_input(
    patches: Patches,
    layer: int,
    point: str,
    module: nn.Module,  # noqa: ARG001 - the signature is given
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
    changed = patches.change(layer, point, args[0] if args else kwargs["hidden_states"])
    if changed is None:
        return None
    if args:
        return (changed, *args[1:]), kwargs
    return args, {**kwargs, "hidden_states": changed}


def _change_heads(
    patches: Patches,
    layer: int,
    n_heads: int,
    module: nn.Module,  # noqa: ARG001
    args: tuple[Any, ...],
) -> tuple[Any, ...] | None:
    values: Tensor = args[0]
    changed = patches.change(layer, "z", values.unflatten(-1, (n_heads, -1)))
    return None if changed is None else (changed.flatten(-2), *args[1:])


def _change_output(
    patches: Patches,
    layer: int,
    point: str,
    module: nn.Module,  # noqa: ARG001
    args: tuple[Any, ...],  # noqa: ARG001
    output: Any,
) -> Any:
    values = output[0] if isinstance(output, tuple) else output
    changed = patches.change(layer, point, values)
    if changed is None:
        return None
    return (changed, *output[1:]) if isinstance(output, tuple) else changed


@contextmanager
def patched_bridge(model: LanguageModel, patches: Patches) -> Iterator[None]:
    """Let patches act on the bridge's forward passes, which show attention patterns.

    Args:
        model: Its ``hf_model`` is to be called within.
        patches: As for ``patched``.
    """
    names = {"resid_pre": "hook_resid_pre", "resid_post": "hook_resid_post", "z": "attn.hook_z"}
    hooks: list[tuple[str, Any]] = []
    for layer, point in patches.groups:
        prefix = f"blocks.{layer}"
        if point == "z":
            for what in ("pattern", "v"):
                seen = partial(_see, patches, layer, what)
                hooks.append((f"{prefix}.attn.hook_{what}", seen))
        name = names.get(point, "mlp.hook_out")
        hooks.append((f"{prefix}.{name}", partial(_change_value, patches, layer, point)))
    with ExitStack() as early, model.bridge.hooks(fwd_hooks=hooks):
        for layer, point in patches.groups:
            for module in _pattern_dropouts(model, layer) if point == "z" else ():
                see = partial(_see_input, patches, layer)
                early.callback(module.register_forward_pre_hook(see).remove)
        yield


def _pattern_dropouts(model: LanguageModel, layer: int) -> list[nn.Module]:
    """Find the dropout that attention weights go through, idle as it is.

    GPT-Neo computes attention itself, and TransformerLens shows its pattern only once the output
    projection is done: too late for what is to be changed before it.
    """
    block = model.hf_model.get_submodule(model.bridge.adapter.component_mapping["blocks"].name)
    modules = block[layer].named_modules()
    return [module for name, module in modules if name.rpartition(".")[2] == "attn_dropout"]


def _see_input(
    patches: Patches,
    layer: int,
    module: nn.Module,  # noqa: ARG001
    args: tuple[Any, ...],
) -> None:
    patches.see(layer, "pattern", args[0])


def _see(patches: Patches, layer: int, what: str, value: Tensor, hook: Any) -> None:  # noqa: ARG001
    patches.see(layer, what, value)


def _change_value(
    patches: Patches,
    layer: int,
    point: str,
    value: Tensor,
    hook: Any,  # noqa: ARG001
) -> Tensor | None:
    return patches.change(layer, point, value)
