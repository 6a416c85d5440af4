"""Fingerprint of a model's weights."""

from __future__ import annotations

import hashlib

import torch

from emotion_circuits.language_models.model import LanguageModel


def weights_digest(model: LanguageModel) -> str:
    """Return the SHA-256 of a model's weights as they are in memory.

    Args:
        model: The model. Its data type matters: the same weights as bfloat16 have another digest.

    Returns:
        The digest of, for each tensor of the state dict by name: the name, the type, the shape and
        the bytes, row by row.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.plain_model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        # A view as bytes needs an axis, which a single number has not.
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()
