"""Sites: points of a model that can be read or changed, and the plain model's modules there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import nn

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.language_models import LanguageModel

# Each point's name in TransformerLens, within its block.
_HOOK_NAMES: Final = {
    "resid_pre": "hook_resid_pre",
    "resid_post": "hook_resid_post",
    "z": "attn.hook_z",
    "attn_out": "attn.hook_out",
    "mlp_out": "mlp.hook_out",
    "mlp_post": "mlp.hook_post",
    "q": "attn.hook_q",
    "k": "attn.hook_k",
    "v": "attn.hook_v",
    "pattern": "attn.hook_pattern",
    "block_out": "hook_out",
}
# What TransformerLens names as a part's output where the part's module returns the residual stream,
# with its output added (Bloom, MPT), or where the part has no module (OPT, XGLM).
_PROJECTIONS: Final = {"attn_out": "attn.o.hook_out", "mlp_out": "mlp.out.hook_out"}
_MLP_POINTS: Final = ("mlp_out", "mlp_post")
POINTS: Final = tuple(_HOOK_NAMES)
# These exist as tensors of known shape only where TransformerLens computes attention.
BRIDGE_POINTS: Final = ("q", "k", "v", "pattern")
# These are inputs of modules of the plain model.
INPUT_POINTS: Final = ("resid_pre", "z", "mlp_post")
PATCHABLE_POINTS: Final = ("resid_pre", "resid_post", "z", "attn_out", "mlp_out")


@dataclass(frozen=True)
class Site:
    """One point of a model.

    Attributes:
        point: ``resid_pre`` and ``resid_post`` are the residual stream before and after a layer;
            ``z`` is the heads' output before the output projection; ``attn_out`` and ``mlp_out``
            are the outputs of the layer's attention and MLP, before any norm that follows them.
            These points can be changed. Others can only be recorded: ``mlp_post``, the activations
            of the MLP's neurons, which its output projection reads; ``q``, the queries of each
            query head; ``k`` and ``v``, the keys and values of each key/value head, all as the
            projections return them; ``pattern``, the attention weights of each query head;
            ``block_out``, the block's output as the architecture returns it, which may be a tuple
            that begins with the residual stream.
        layer: Counted from 0.
        head: Query head, for ``z`` only; ``None`` means all heads of the layer.
    """

    point: str
    layer: int
    head: int | None = None

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise unknown_name("hook point", self.point, POINTS)
        if self.head is not None and self.point != "z":
            raise InputError(f"site {self}: no point but 'z' has a head; head is {self.head}")

    def __str__(self) -> str:
        head = "" if self.head is None else f" head {self.head}"
        return f"{self.point} of layer {self.layer}{head}"


def check_site(model: LanguageModel, site: Site) -> None:
    """Refuse a site that a model does not have.

    Raises:
        InputError: If layer or head is out of range.
    """
    for name, index, n in (
        ("layer", site.layer, model.n_layers),
        ("head", site.head, model.n_heads),
    ):
        if index is not None and not 0 <= index < n:
            raise InputError(
                f"{name} {index} is out of range for model {model.name!r}; allowed are 0 to {n - 1}"
            )


def output_projection(model: LanguageModel, layer: int) -> nn.Module:
    """Return the output projection of attention; its input is ``z`` with concatenated heads."""
    attention = model.bridge.adapter.component_mapping["blocks"].submodules["attn"]
    block = model.plain_blocks[layer]
    return block.get_submodule(attention.name).get_submodule(attention.submodules["o"].name)


def module_at(model: LanguageModel, site: Site) -> nn.Module:
    """Return the plain model's module at a site.

    The site is the module's input for ``INPUT_POINTS``, and its output for other points.
    """
    if site.point in ("z", "attn_out"):
        return output_projection(model, site.layer)
    block = model.plain_blocks[site.layer]
    return _mlp_module(model, block, site.point) if site.point in _MLP_POINTS else block


def _mlp_module(model: LanguageModel, block: nn.Module, point: str) -> nn.Module:
    """Return the module whose output the MLP adds to the stream, or whose input its neurons are."""
    mlp = model.bridge.adapter.component_mapping["blocks"].submodules["mlp"]
    # OPT and XGLM have no module for the whole MLP.
    whole = block if mlp.name is None else block.get_submodule(mlp.name)
    if point == "mlp_out" and not ends_in_projection(model):
        return whole
    return whole.get_submodule(mlp.submodules["out"].name)


def ends_in_projection(model: LanguageModel) -> bool:
    """Return whether only the MLP's last projection returns what the MLP writes.

    The MLP of Bloom and MPT returns the residual stream, with its own output added; OPT and XGLM
    have no module for the MLP. TransformerLens states it by an alias.
    """
    blocks = model.bridge.adapter.component_mapping["blocks"]
    return bool(blocks.hook_aliases.get("hook_mlp_out") == _PROJECTIONS["mlp_out"])


def bridge_hook_name(model: LanguageModel, site: Site) -> str:
    """Return the site's name in a model's TransformerLens bridge."""
    aliases = model.bridge.adapter.component_mapping["blocks"].hook_aliases
    projection = _PROJECTIONS.get(site.point)
    named = projection if projection in aliases.values() else _HOOK_NAMES[site.point]
    return f"blocks.{site.layer}.{named}"
