"""Sizes of planted models."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import Field, model_validator

from emotion_circuits.phase_settings import PhaseSettings

# Width of a head. Heads that share a key have half of it for what they look for, see `sockets`.
D_HEAD: Final = 16
CONTEXT: Final = 64
# Query heads that fit on one key and value.
_LARGEST_GROUP: Final = 4


class PlantedShape(PhaseSettings):
    """Architecture and size of a planted model."""

    architecture: Literal["gpt2", "llama"] = Field("gpt2", description="gpt2 or llama")
    n_layers: int = Field(4, ge=3, description="layers; planted parts need three")
    n_heads: int = Field(6, ge=5, description="query heads per layer")
    n_kv_heads: int | None = Field(
        None, ge=1, description="key/value heads per layer, of llama; null: one per query head"
    )
    d_model: int | None = Field(
        None, description="width of the stream, of llama; null: 16 per head, as GPT-2 has"
    )
    d_mlp: int = Field(64, ge=16, description="hidden units of each MLP")

    @model_validator(mode="after")
    def _fits(self) -> PlantedShape:
        if self.architecture == "gpt2" and (self.n_kv_heads or self.d_model):
            raise ValueError("n_kv_heads and d_model are for llama; GPT-2 has 16 times n_heads")
        if self.n_heads % self.key_heads:
            raise ValueError(f"n_heads is {self.n_heads}, no multiple of n_kv_heads")
        if self.group > _LARGEST_GROUP:
            raise ValueError(
                f"{self.group} query heads share a key; at most {_LARGEST_GROUP} fit on one"
            )
        if self.width < 80:
            raise ValueError(f"the stream has {self.width} entries; planted parts need 80")
        return self

    @property
    def width(self) -> int:
        """Width of the residual stream."""
        return self.d_model or self.n_heads * D_HEAD

    @property
    def key_heads(self) -> int:
        """Key/value heads per layer."""
        return self.n_kv_heads or self.n_heads

    @property
    def group(self) -> int:
        """Query heads per key/value head."""
        return self.n_heads // self.key_heads
