"""Fingerprints of a model: of its weights in memory, and of its files without loading them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch

from emotion_circuits.language_models.hub import commit_of
from emotion_circuits.language_models.model import LanguageModel
from emotion_circuits.language_models.pretrained import check_folder
from emotion_circuits.language_models.sources import PACKAGE, package_path

# What this project writes beside a model, and no model is loaded from.
_BESIDE: Final = ("gates.json", "seeds.json", "training.json", "README.md")


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


def model_files(folder: Path) -> list[Path]:
    """Return the files of a folder that make up its model, by name; cards are left out."""
    return sorted(
        path
        for path in folder.iterdir()
        if path.is_file() and path.name not in _BESIDE and not path.name.startswith(".")
    )


def source_fingerprint(
    what: str, source: str, revision: str | None, digest: Callable[[Path], str], *, ask: bool
) -> dict[str, str]:
    """Identify a model's configuration, weights and tokenizer by their files.

    Args:
        what: The model's name in error messages.
        source: As in ``ModelSpec``, with an absolute path where it is in the project.
        revision: Branch, tag or commit of a hub repository.
        digest: Returns the digest of a file's content.
        ask: Whether to ask the hub; see ``commit_of``.

    Returns:
        Digests by file name; or, for a repository of the hub, its commit.

    Raises:
        InputError: If the source does not exist.
    """
    path = package_path(what, source) if source.startswith(PACKAGE) else Path(source)
    if path.is_file():
        return {path.name: digest(path)}
    check_folder(what, str(path) if source.startswith(PACKAGE) else source)
    if path.is_dir():
        return {file.name: digest(file) for file in model_files(path)}
    return {"commit": commit_of(what, source, revision, ask=ask)}
