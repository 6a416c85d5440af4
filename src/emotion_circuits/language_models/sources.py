"""Where a model's files come from: the hub, a folder, a GGUF file, a zip file, or a package.

GGUF and zip files are unpacked once, into a folder as ``save_pretrained`` writes it, so that every
model is loaded and checked by the same code. The folder's name is the file's hash: another file
is another model, and the same file is unpacked once for all projects.
"""

from __future__ import annotations

import copy
import hashlib
import importlib.metadata
import logging
import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

import torch
import transformers

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.language_models.pretrained import load_weights

logger = logging.getLogger(__name__)

PACKAGE: Final = "package:"
CACHE_VARIABLE: Final = "EMOTION_CIRCUITS_CACHE"
_ARCHIVES: Final = (".gguf", ".zip")
# What a zip file of a model may hold that is of use; anything else stays packed.
_MODEL_FILES: Final = (".json", ".safetensors", ".txt", ".jinja")


def resolve_source(what: str, source: str) -> str:
    """Find a model's folder, or give a hub id as it is.

    Args:
        what: What the line shall name if it fails, for example ``model 'gpt2_small'``.
        source: A hub id; a folder; a file that ends in ``.gguf`` or ``.zip``; or
            ``package:<name>/<path>``, a file or folder of an installed package. The package's
            metadata locate it; none of its code is imported.

    Returns:
        A folder in the format of ``save_pretrained``, or the hub id.

    Raises:
        InputError: If a package, a file or the package ``gguf`` is not there, or a file cannot be
            read; one line says which.
    """
    path = package_path(what, source) if source.startswith(PACKAGE) else Path(source)
    if path.suffix.lower() not in _ARCHIVES:
        return str(path) if source.startswith(PACKAGE) else source
    if not path.is_file():
        raise InputError(f"{what}: there is no file {source!r}")
    unpack = _convert_gguf if path.suffix.lower() == ".gguf" else _unpack_zip
    return str(_cached(what, path, unpack))


def package_path(what: str, source: str) -> Path:
    """Find the file or folder that ``package:<name>/<path>`` names; see ``resolve_source``."""
    name, _, inside = source.removeprefix(PACKAGE).partition("/")
    try:
        files = importlib.metadata.files(name)
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            f"{what}: package {name!r} is not installed (source {source!r})"
        ) from error
    listed = {str(file): file for file in files or ()}
    if inside in listed:
        return Path(str(listed[inside].locate()))
    folder = [file for path, file in listed.items() if path.startswith(f"{inside}/")]
    if inside and folder:
        depth = len(Path(str(folder[0])).parts) - len(Path(inside).parts)
        return Path(str(folder[0].locate())).parents[depth - 1]
    models = [path for path in listed if path.endswith((*_ARCHIVES, ".safetensors"))]
    raise unknown_name("file", inside, models, where=f"package {name!r} ({what})")


def cache_folder() -> Path:
    """Give the folder for unpacked models: ``$EMOTION_CIRCUITS_CACHE``, or the user's cache."""
    named = os.environ.get(CACHE_VARIABLE)
    users = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(named) if named else users / "emotion-circuits"


def _cached(what: str, path: Path, unpack: Callable[[str, Path, Path], None]) -> Path:
    """Unpack a file beside its place and move it there whole, unless it is there already."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    target = cache_folder() / digest[:32]
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    logger.info("Unpacking %s into %s, once", path.name, target)
    fresh = Path(tempfile.mkdtemp(prefix=".new.", dir=target.parent))
    try:
        unpack(what, path, fresh)
        fresh.chmod(0o755)
        if not target.is_dir():  # another process may have been faster
            fresh.rename(target)
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return target


def _convert_gguf(what: str, path: Path, folder: Path) -> None:
    """Write a GGUF file's weights, dequantised to float32, and its tokenizer with chat template."""
    try:
        importlib.metadata.version("gguf")
    except importlib.metadata.PackageNotFoundError as error:
        raise InputError(
            f"{what}: GGUF files are read with the package gguf; install emotion-circuits[real]"
        ) from error
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(  # nosec B615
            path.parent, gguf_file=path.name, trust_remote_code=False
        )
        quantised = load_weights(
            transformers.AutoModelForCausalLM,
            what,
            source=str(path.parent),
            revision=None,
            refuse_unexpected=True,
            dtype=torch.float32,
            gguf_file=path.name,
        )
    except InputError:
        raise
    # A broken file or an unknown architecture raises whatever the readers come upon.
    except Exception as error:
        reason = (str(error).strip() or type(error).__name__).split("\n")[0]
        raise InputError(f"{what}: GGUF file {path.name!r} cannot be read: {reason}") from error
    config = copy.deepcopy(quantised.config)
    del config.quantization_config  # the weights are plain numbers now
    plain = type(quantised)(config)
    plain.load_state_dict(quantised.state_dict())
    plain.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _unpack_zip(what: str, path: Path, folder: Path) -> None:
    """Write the model files at the top of a zip file; none may leave the folder."""
    try:
        with zipfile.ZipFile(path) as archive:
            for item in archive.infolist():
                name = Path(item.filename)
                if len(name.parts) == 1 and name.suffix in _MODEL_FILES and not item.is_dir():
                    with archive.open(item) as packed, (folder / name.name).open("wb") as file:
                        shutil.copyfileobj(packed, file)
    except (zipfile.BadZipFile, OSError) as error:
        raise InputError(f"{what}: zip file {path.name!r} cannot be read: {error}") from error
