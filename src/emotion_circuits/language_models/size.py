"""Size of a model by the headers of its files, without its weights."""

from __future__ import annotations

from pathlib import Path

from huggingface_hub import HfApi
from huggingface_hub.errors import NotASafetensorsRepoError
from safetensors import safe_open

from emotion_circuits.language_models.hub import ask_hub
from emotion_circuits.language_models.pretrained import check_folder
from emotion_circuits.language_models.sources import PACKAGE, package_path


def count_parameters(what: str, source: str, revision: str | None) -> int | None:
    """Count the stored parameters of a model; tied weights are stored once.

    Args:
        what: The model's name in error messages.
        source: As in ``ModelSpec``, with an absolute path where it is in the project.
        revision: Branch, tag or commit of a hub repository.

    Returns:
        Number of parameters; None for a GGUF or zip file, for a repository without safetensors, and
        for one that was downloaded earlier and whose hub cannot be reached now.

    Raises:
        InputError: If there is no such folder, package or repository, or as ``ask_hub``.
    """
    path = package_path(what, source) if source.startswith(PACKAGE) else Path(source)
    if path.is_file():
        return None
    if not path.is_dir():
        check_folder(what, source)
        return _of_repository(what, source, revision)
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


def _of_repository(what: str, source: str, revision: str | None) -> int | None:
    if not ask_hub(what, source, revision):
        return None
    try:
        found = HfApi().get_safetensors_metadata(source, revision=revision)
    except NotASafetensorsRepoError:
        return None
    return sum(found.parameter_count.values())
