"""What each node writes to the residual stream, so that the writes sum to the stream."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.circuits.direct_write import output_weights
from emotion_circuits.circuits.norms import block_norm, frozen_scale
from emotion_circuits.circuits.paths import ENTRY, Path
from emotion_circuits.interventions import Site, output_projection
from emotion_circuits.language_models import LanguageModel


@torch.no_grad()
def node_writes(
    model: LanguageModel, run: dict[Site, Tensor]
) -> Float[Tensor, "row pos source d_model"]:
    """Return what each node writes in a run, ordered as ``Graph.nodes`` without ``logits``.

    The biases of output projections of attention belong to no head; they, and the writes, sum to
    the stream.

    Args:
        model: The model.
        run: Activations at ``node_sites``.
    """
    written = [run[ENTRY][:, :, None]]
    for layer in range(model.n_layers):
        written.append(head_write(model, layer, run[Site("z", layer)]))
        written.append(mlp_write(model, layer, run[Site("mlp_out", layer)])[:, :, None])
    return torch.cat(written, dim=2).float()


def written_differences(
    model: LanguageModel, path: Path
) -> Float[Tensor, "pair aligned source d_model"]:
    """Return what each node writes on the clean prompt minus the corrupted one, where aligned."""
    n = path.n_aligned
    clean, corrupted = (node_writes(model, run)[:, -n:] for run in (path.clean, path.corrupted))
    return clean - corrupted


def head_write(
    model: LanguageModel, layer: int, z: Float[Tensor, "row pos head d_head"]
) -> Float[Tensor, "row pos head d_model"]:
    """Return what each head of a layer writes, given the outputs of all heads of the layer.

    If a norm follows attention (Gemma), a head's write is scaled with the norm's scale in the same
    run, so that the writes of all heads sum to what the layer's attention writes.
    """
    writes: Tensor = torch.einsum("bphk,hkd->bphd", z, output_weights(model, layer))
    norm = block_norm(model, layer, "ln1_post")
    if norm is None:
        return writes
    attn_out = output_projection(model, layer)(z.flatten(2))
    return writes * frozen_scale(norm, attn_out)[:, :, None]


def mlp_write(
    model: LanguageModel, layer: int, out: Float[Tensor, "row pos d_model"]
) -> Float[Tensor, "row pos d_model"]:
    """Return what the MLP of a layer writes, given its output before a norm that follows it."""
    norm = block_norm(model, layer, "ln2_post")
    return out if norm is None else norm(out)
