"""Cache of keys and values in memory that is reserved once."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


class ReservedLayer(DynamicLayer):
    """One layer's keys and values, written into a buffer that never grows.

    The layer of ``transformers`` copies all keys and values for each new token. This layer writes
    new tokens into the buffer, forgets tokens by changing ``length``, and returns views.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__()
        self.capacity = capacity
        self.length = 0
        self.buffers: tuple[Tensor, Tensor] | None = None

    def reserve(self, rows: int, like: Float[Tensor, "row head pos d_head"]) -> tuple[Tensor, ...]:
        """Return the buffers; the first call allocates them."""
        if self.buffers is None:
            shape = (rows, like.shape[1], self.capacity, like.shape[3])
            # Padding keeps its zeros: a mask hides it, but a weight of 0 times NaN would be NaN.
            self.buffers = (like.new_zeros(shape), like.new_zeros(shape))
            self.dtype, self.device, self.is_initialized = like.dtype, like.device, True
            self._view()
        return self.buffers

    def update(
        self,
        key_states: Float[Tensor, "row head new d_head"],
        value_states: Float[Tensor, "row head new d_head"],
        *args: Any,
        **kwargs: Any,
    ) -> tuple[Tensor, Tensor]:
        """Append the keys and values of new tokens, and return those of all tokens."""
        del args, kwargs
        keys, values = self.reserve(key_states.shape[0], key_states)
        end = self.length + key_states.shape[2]
        keys[:, :, self.length : end] = key_states
        values[:, :, self.length : end] = value_states
        self.length = end
        self._view()
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return the number of tokens in the cache."""
        return self.length

    def keep(self, length: int) -> None:
        """Forget all tokens from ``length`` on."""
        self.length = length
        self._view()

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep some rows and drop the others."""
        if self.buffers is not None:
            keys, values = self.buffers
            self.buffers = (keys.index_select(0, rows), values.index_select(0, rows))
            self._view()

    def put(
        self,
        rows: Int[Tensor, " row"],
        n_rows: int,
        source: ReservedLayer,
        source_rows: Int[Tensor, " row"] | None,
        *,
        end: int | None = None,
    ) -> None:
        """Copy all tokens of another layer's rows.

        Args:
            rows: Rows of this layer to copy to.
            n_rows: Number of all rows of this layer.
            source: The layer to copy from.
            source_rows: Rows of the source to copy; ``None`` for all, in order.
            end: Slot before which the tokens end, with zeros before them; ``None`` for no such
                padding.
        """
        if source.buffers is None:  # the layer shares the keys of another layer, or is empty
            return
        end = source.length if end is None else end
        first = end - source.length
        for old, new in zip(source.buffers, self.reserve(n_rows, source.buffers[0]), strict=True):
            held = old if source_rows is None else old.index_select(0, source_rows)
            new[rows, :, first:end] = held[:, :, : source.length]
        self.keep(end)

    def _view(self) -> None:
        if self.buffers is not None:
            self.keys, self.values = (held[:, :, : self.length] for held in self.buffers)


class ReservedCache(Cache):
    """A cache of reserved layers, for any decoder of ``transformers``.

    Sliding-window layers keep all tokens too; the model's mask hides those out of reach. Positions
    that leave a patch window can thus be forgotten and recomputed.
    """

    def __init__(self, n_layers: int, capacity: int) -> None:
        super().__init__(layers=[ReservedLayer(capacity) for _ in range(n_layers)])

    def keep(self, length: int) -> None:
        """Forget all tokens from ``length`` on."""
        for layer in self.layers:
            layer.keep(length)

    def select(self, rows: Int[Tensor, " kept"]) -> None:
        """Keep some rows and drop the others."""
        for layer in self.layers:
            layer.select(rows)

    def put(
        self,
        rows: Int[Tensor, " row"],
        n_rows: int,
        source: ReservedCache,
        source_rows: Int[Tensor, " row"] | None,
        *,
        end: int,
    ) -> None:
        """Copy all tokens of another cache's rows, as ``ReservedLayer.put``."""
        for layer, held in zip(self.layers, source.layers, strict=True):
            layer.put(rows, n_rows, held, source_rows, end=end)

    def spread(self, rows: Int[Tensor, " row"], capacity: int, length: int) -> ReservedCache:
        """Make a cache whose row r begins with the first tokens of this cache's row ``rows[r]``.

        Args:
            rows: For each new row, the row of this cache to copy from.
            capacity: Capacity of the new cache in tokens.
            length: Number of tokens to copy.
        """
        copy = ReservedCache(len(self.layers), capacity)
        if length == 0:
            return copy
        for old, new in zip(self.layers, copy.layers, strict=True):
            if old.buffers is None:  # the layer shares the keys of another layer
                continue
            for source, target in zip(
                old.buffers, new.reserve(len(rows), old.buffers[0]), strict=True
            ):
                target[:, :, :length] = source[:, :, :length].index_select(0, rows)
            new.keep(length)
        return copy


def reserved_bytes(model_config: Any, capacity: int, dtype: torch.dtype) -> int:
    """Return the size of one row of a cache in bytes."""
    config = model_config.get_text_config()
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    d_head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    return int(2 * config.num_hidden_layers * heads * d_head * capacity * dtype.itemsize)
