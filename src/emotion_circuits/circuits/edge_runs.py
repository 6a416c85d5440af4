"""Exact runs of circuits of edges: each reader's stream is a sum of what the sources write.

In a run, an edge of the circuit carries what its source writes in this same run; an edge outside
carries what the source writes in a reference, such as the prompt's partner. Query heads that share
a key/value head may read different keys and values, so a pass holds as many copies of each row as a
group has heads, and each head's output is taken from the copy with its own key and value.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from emotion_circuits.circuits.edge_gradients import port_weights, shared_by
from emotion_circuits.circuits.edge_places import graph_of
from emotion_circuits.circuits.norms import block_norm
from emotion_circuits.circuits.writes import head_write, mlp_write
from emotion_circuits.interventions import Site, module_at, output_projection, run_with
from emotion_circuits.language_models import LanguageModel


@torch.no_grad()
def edge_logits(
    model: LanguageModel,
    ids: Int[Tensor, "row pos"],
    reference: Float[Tensor, "row pos source d_model"],
    inside: Bool[Tensor, "row source reader"],
) -> Float[Tensor, "row vocab"]:
    """Run circuits of edges, one per row, in one pass.

    Args:
        model: The model.
        ids: Prompts of equal length, on the model's device.
        reference: What each source writes along edges outside the circuit, in the order of
            ``node_writes``, on the model's device.
        inside: Whether an edge belongs to the row's circuit, in the order of ``edge_places``.

    Returns:
        Logits at the last position.

    Source: Conmy et al. 2023, arXiv:2304.14997; Mueller et al. 2025, arXiv:2504.13151.
    """
    state = _Pass(model, reference, inside)
    last = model.n_layers - 1
    functions: dict[Site, Callable[[Any], Tensor | None]] = {}
    for layer in range(model.n_layers):
        functions[Site("resid_pre", layer)] = partial(state.enter, layer)
        for place, port in enumerate(("q", "k", "v")):
            functions[Site(port, layer)] = partial(state.change, place)
        functions[Site("z", layer)] = partial(state.leave, layer)
    functions[Site("resid_post", last)] = state.finish
    return run_with(model, ids.repeat(state.copies, 1), functions)[: len(ids)]


class _Pass:
    """The state of one pass: the stream of the reference, and what nodes write beyond it.

    The model's own stream is replaced by that of the reference at each layer. What a head or MLP
    reads differs from it by the differences along the edges of the circuit.
    """

    def __init__(
        self,
        model: LanguageModel,
        reference: Float[Tensor, "row pos source d_model"],
        inside: Bool[Tensor, "row source reader"],
    ) -> None:
        self.model, self.graph = model, graph_of(model)
        self.copies = len(shared_by(model))
        self.reference = reference.transpose(1, 2)  # [row, source, pos, d_model]
        self.inside = inside.to(reference.dtype)
        self.beyond = torch.zeros_like(self.reference, memory_format=torch.contiguous_format)
        self.n_written = 0
        self.stream = torch.zeros_like(self.reference[:, 0])
        self.ports: Tensor = torch.empty(0)  # [row, port, head, pos, d_head]

    def enter(
        self, layer: int, stream: Float[Tensor, "copy_row pos d_model"]
    ) -> Float[Tensor, "copy_row pos d_model"]:
        """Compute what heads read beyond the reference; the layer itself reads the reference."""
        if layer == 0:
            self._write(stream[: len(self.stream), None].float())
        n_heads, first = self.graph.n_heads, layer * (3 * self.graph.n_heads + 1)
        read = self._read(first, first + 3 * n_heads).unflatten(1, (3, n_heads))
        dtype, norm = self.model.dtype, block_norm(self.model, layer, "ln1")
        base, read = self.stream.to(dtype), read.to(dtype)
        if norm is not None:
            base_read, read = norm(base), norm(read)
        else:
            base_read = base
        weights = port_weights(self.model, layer).to(dtype)
        self.ports = torch.einsum("rthpd,thdk->rtphk", read - base_read[:, None, None], weights)
        return base.repeat(self.copies, 1, 1)

    def change(
        self, place: int, values: Float[Tensor, "copy_row pos some_heads d_head"]
    ) -> Float[Tensor, "copy_row pos some_heads d_head"]:
        """Add to queries, keys or values what the heads read beyond the reference."""
        beyond = self.ports[:, place]
        if place == 0:
            return values + beyond.repeat(self.copies, 1, 1, 1)
        return values + torch.cat(
            [beyond[:, :, copy :: self.copies] for copy in range(self.copies)]
        )

    def leave(self, layer: int, z: Float[Tensor, "copy_row pos head d_head"]) -> None:
        """Note what the heads and then the MLP of a layer write."""
        own = z.unflatten(0, (self.copies, -1))[0].clone()
        for copy in range(1, self.copies):
            rows = slice(copy * len(own), (copy + 1) * len(own))
            own[:, :, copy :: self.copies] = z[rows, :, copy :: self.copies]
        parallel_stream, reader = self.stream, (layer + 1) * (3 * self.graph.n_heads + 1) - 1
        n_before = self.n_written
        self._write(head_write(self.model, layer, own).transpose(1, 2).float())
        bias = getattr(output_projection(self.model, layer), "bias", None)
        if bias is not None:
            self.stream = self.stream + bias.float()
        if self.graph.parallel:
            read = self._read(reader, reader + 1, base=parallel_stream, n=n_before)[:, 0]
        else:
            read = self._read(reader, reader + 1)[:, 0]
        read = read.to(self.model.dtype)
        norm = block_norm(self.model, layer, "ln2")
        mlp = module_at(self.model, Site("mlp_out", layer))
        out = mlp(read if norm is None else norm(read))
        self._write(mlp_write(self.model, layer, out)[:, None].float())

    def finish(
        self, stream: Float[Tensor, "copy_row pos d_model"]
    ) -> Float[Tensor, "copy_row pos d_model"]:
        """Return the stream that the logits read."""
        final = self._read(self.inside.shape[2] - 1, self.inside.shape[2])[:, 0]
        return final.to(stream.dtype).repeat(self.copies, 1, 1)

    def _write(self, writes: Float[Tensor, "row source pos d_model"]) -> None:
        """Note what the next sources write, and add the reference's writes to its stream."""
        chosen = slice(self.n_written, self.n_written + writes.shape[1])
        self.beyond[:, chosen] = writes - self.reference[:, chosen]
        self.stream = self.stream + self.reference[:, chosen].sum(1)
        self.n_written = chosen.stop

    def _read(
        self, first: int, end: int, *, base: Tensor | None = None, n: int | None = None
    ) -> Float[Tensor, "row reader pos d_model"]:
        """Return the streams that some readers see: the reference's, and what is beyond it."""
        n = self.n_written if n is None else n
        mask = self.inside[:, :n, first:end].transpose(1, 2)
        beyond = torch.bmm(mask, self.beyond[:, :n].flatten(2))
        stream = self.stream if base is None else base
        read: Tensor = stream[:, None] + beyond.unflatten(2, stream.shape[1:])
        return read
