"""Reading and writing of directions, by the ending of the file's name."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from emotion_circuits.direction_files.directions import LARGEST_FILE, Directions
from emotion_circuits.direction_files.gguf_reader import read_gguf
from emotion_circuits.direction_files.gguf_writer import write_gguf
from emotion_circuits.direction_files.safetensors_file import read_safetensors, write_safetensors
from emotion_circuits.errors import InputError, unknown_name

_READERS: Final = {"safetensors": read_safetensors, "gguf": read_gguf}
_WRITERS: Final = {"safetensors": write_safetensors, "gguf": write_gguf}
FORMATS: Final = tuple(_READERS)
_PICKLES: Final = (".pt", ".pth", ".pkl", ".pickle", ".bin")


def read_directions(path: Path) -> Directions:
    """Read directions as data; no code of a file ever runs.

    Args:
        path: A file that ends in ``.safetensors`` (tensors ``layer_<n>``) or ``.gguf`` (a control
            vector of repeng or llama.cpp).

    Raises:
        InputError: If the file is missing, too large, broken or of another kind; one line names
            file and reason.
    """
    kind = path.suffix.lower().removeprefix(".")
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            f"directions {str(path)!r}: pickles may run code and are not read; save the vectors "
            "as safetensors with names layer_<n> (docs/vector_export.md)"
        )
    if kind not in _READERS:
        raise unknown_name("format of directions", path.name, [f".{each}" for each in FORMATS])
    if not path.is_file():
        raise InputError(f"directions: there is no file {str(path)!r}")
    size = path.stat().st_size
    if size > LARGEST_FILE:
        raise InputError(
            f"directions {str(path)!r} have {size} bytes; allowed are {LARGEST_FILE}, more than "
            "any model's directions need"
        )
    try:
        return _READERS[kind](path)
    except InputError as error:
        raise InputError(f"directions {str(path)!r}: {error}") from error


def write_directions(path: Path, directions: Directions) -> None:
    """Write directions in the format that the file's name ends in.

    Args:
        path: A file that ends in ``.safetensors`` or ``.gguf``.
        directions: What to write. GGUF has no place for layer 0.

    Raises:
        InputError: If the ending is unknown, or the format cannot hold the directions.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in _WRITERS:
        raise unknown_name("format of directions", path.name, [f".{each}" for each in FORMATS])
    _WRITERS[kind](path, directions)
