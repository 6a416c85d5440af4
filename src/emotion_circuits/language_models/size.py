"""Size of a model by the headers of its files, without its weights."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from safetensors import safe_open

from emotion_circuits.language_models.pretrained import check_folder
from emotion_circuits.language_models.sources import PACKAGE, package_path


def count_parameters(what: str, source: str, revision: str | None) -> int | None:
    """Count the stored parameters of a model; tied weights are stored once.

    Args:
        what: The model's name in error messages.
        source: As in ``ModelSpec``, with an absolute path where it is in the project.
        revision: Branch, tag or commit of a hub repository.

    Returns:
        Number of parameters; None for a GGUF or zip file, or if the hub does not tell.

    Raises:
        InputError: If a folder or package does not exist.
    """
    path = package_path(what, source) if source.startswith(PACKAGE) else Path(source)
    if path.is_file():
        return None
    if not path.is_dir():
        check_folder(what, source)
        return _ask_hub(source, revision)
    return sum(_count(file) for file in sorted(path.glob("*.safetensors")))


def _count(file: Path) -> int:
    total = 0
    with safe_open(file, framework="pt") as tensors:
        for name in tensors.keys():  # noqa: SIM118 -- it is no dictionary
            size = 1
            for length in tensors.get_slice(name).get_shape():
                size *= length
            total += size
    return total


def _ask_hub(source: str, revision: str | None) -> int | None:
    try:
        found = HfApi().get_safetensors_metadata(source, revision=revision)
    # Without the hub, the licence or safetensors, the size is all that is not known.
    except Exception:
        return None
    return sum(found.parameter_count.values())
