"""Directions as a GGUF control vector, as repeng writes and llama.cpp reads it.

What the programs do, by their sources (repeng 021022a, llama.cpp 0650ea8):

* repeng, ``ControlVector.export_gguf``: architecture ``controlvector``; the texts
  ``controlvector.model_hint`` (transformers' ``model_type``) and the uint32
  ``controlvector.layer_count`` (number of directions); float32 tensors ``direction.<layer>``. Its
  layers are indices of the list of blocks, from 0, and the vector is added to the block's output.
* llama.cpp, ``llama_control_vector_load_one``: reads only the tensors, which must all be float32
  with one axis and of one size; ``direction.0`` is refused. ``llama_adapter_cvec`` adds
  ``direction.<n>`` to the output of block n, counted from 0 (``cur = build_cvec(cur, il)`` right
  before ``l_out``); "there's never a tensor for layer 0".

Both numberings are therefore that of ``resid_post`` in this project, and layer 0 has no place.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Final

from emotion_circuits.direction_files.directions import Directions
from emotion_circuits.errors import InputError

MAGIC: Final = b"GGUF"
ARCHITECTURE: Final = "controlvector"
MODEL_HINT: Final = f"{ARCHITECTURE}.model_hint"
LAYER_COUNT: Final = f"{ARCHITECTURE}.layer_count"
TENSOR_PREFIX: Final = "direction."
# Names of this project's metadata begin so; llama.cpp and repeng pass over them.
OWN_PREFIX: Final = "emotion_circuits."
UINT32: Final = 4
STRING: Final = 8
FLOAT32_TENSOR: Final = 0
ALIGNMENT: Final = 32
_VERSION: Final = 3
FIRST_LAYER: Final = 1


def write_gguf(path: Path, directions: Directions) -> None:
    """Write a file.

    Args:
        path: The file.
        directions: What to write; ``metadata`` needs ``model_type``.

    Raises:
        InputError: If ``model_type`` is missing, or layer 0 is among the layers.
    """
    hint = directions.metadata.get("model_type")
    if not hint:
        raise InputError("GGUF needs model_type in the metadata, which becomes the model hint")
    if directions.layers[0] < FIRST_LAYER:
        raise InputError("GGUF has no place for layer 0; allowed are layers from 1")
    texts = {
        f"{OWN_PREFIX}{name}": text
        for name, text in directions.metadata.items()
        if name != "model_type"
    }
    fields = [
        _field("general.architecture", STRING, _text(ARCHITECTURE)),
        _field(MODEL_HINT, STRING, _text(hint)),
        _field(LAYER_COUNT, UINT32, struct.pack("<I", len(directions.layers))),
        *(_field(name, STRING, _text(text)) for name, text in texts.items()),
    ]
    step = _padded(directions.d_model * 4)
    tensors = [
        _text(f"{TENSOR_PREFIX}{layer}")
        + struct.pack("<IQIQ", 1, directions.d_model, FLOAT32_TENSOR, place * step)
        for place, layer in enumerate(directions.layers)
    ]
    head = MAGIC + struct.pack("<IQQ", _VERSION, len(tensors), len(fields))
    head += b"".join(fields) + b"".join(tensors)
    values = (directions.by_layer[layer].astype("<f4").tobytes() for layer in directions.layers)
    path.write_bytes(
        head.ljust(_padded(len(head)), b"\0") + b"".join(each.ljust(step, b"\0") for each in values)
    )


def _padded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _field(name: str, kind: int, value: bytes) -> bytes:
    return _text(name) + struct.pack("<I", kind) + value
