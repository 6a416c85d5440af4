"""Where a model can be changed: named points of TransformerLens, found in the plain model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from torch import nn

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.language_models import LanguageModel

POINTS: Final = ("resid_pre", "resid_post", "z", "mlp_out")

_HOOK_NAMES: Final = {
    "resid_pre": "hook_resid_pre",
    "resid_post": "hook_resid_post",
    "z": "attn.hook_z",
    "mlp_out": "mlp.hook_out",
}


@dataclass(frozen=True)
class Site:
    """One point of a model.

    Attributes:
        point: ``resid_pre`` and ``resid_post`` are the residual stream before and after a layer;
            ``z`` is one head's output before the output projection; ``mlp_out`` is what the
            layer's MLP gives, before any norm that follows it.
        layer: Counted from 0.
        head: Query head, for ``z`` only.
    """

    point: str
    layer: int
    head: int | None = None

    def __post_init__(self) -> None:
        if self.point not in POINTS:
            raise unknown_name("hook point", self.point, POINTS)
        if (self.head is None) == (self.point == "z"):
            raise InputError(
                f"site {self}: point 'z' needs a head, and no other point has one; "
                f"head is {self.head}"
            )

    @property
    def hook_name(self) -> str:
        """The point's name in TransformerLens."""
        return f"blocks.{self.layer}.{_HOOK_NAMES[self.point]}"

    def __str__(self) -> str:
        head = "" if self.head is None else f" head {self.head}"
        return f"{self.point} of layer {self.layer}{head}"


def check_site(model: LanguageModel, site: Site) -> None:
    """Refuse a site the model does not have.

    Raises:
        InputError: If layer or head is out of range.
    """
    if not 0 <= site.layer < model.n_layers:
        raise InputError(
            f"layer {site.layer} is out of range for model {model.name!r}; allowed are 0 to "
            f"{model.n_layers - 1}"
        )
    if site.head is not None and not 0 <= site.head < model.n_heads:
        raise InputError(
            f"head {site.head} is out of range for model {model.name!r}; allowed are 0 to "
            f"{model.n_heads - 1}"
        )


def output_projection(model: LanguageModel, layer: int) -> nn.Module:
    """Find the module that projects all heads' outputs; its input is ``z``, heads side by side."""
    attention = model.bridge.adapter.component_mapping["blocks"].submodules["attn"]
    block = model.plain_blocks[layer]
    return block.get_submodule(attention.name).get_submodule(attention.submodules["o"].name)


def mlp(model: LanguageModel, layer: int) -> nn.Module:
    """Find the module whose output is ``mlp_out``."""
    component = model.bridge.adapter.component_mapping["blocks"].submodules["mlp"]
    return model.plain_blocks[layer].get_submodule(component.name)
