"""Reader of GGUF control vectors that trusts nothing in the file.

The package gguf reads counts and lengths from the file and believes them; a file of a few bytes can
keep it busy for ever. Here each step takes bytes that are there, or fails.
"""

from __future__ import annotations

import re
import struct
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np

from emotion_circuits.direction_files.directions import Directions
from emotion_circuits.direction_files.gguf_writer import (
    ALIGNMENT,
    ARCHITECTURE,
    FIRST_LAYER,
    FLOAT32_TENSOR,
    MAGIC,
    MODEL_HINT,
    OWN_PREFIX,
    STRING,
    TENSOR_PREFIX,
)
from emotion_circuits.errors import InputError

_ARRAY: Final = 9
# Codes of struct by GGUF's types of values: integers and floats of several sizes, and booleans.
_NUMBERS: Final = {
    **dict(enumerate("BbHhIif?")),
    **{10: "Q", 11: "q", 12: "d"},
}
_DIRECTION: Final = re.compile(rf"{re.escape(TENSOR_PREFIX)}(0|[1-9][0-9]{{0,4}})")
_VERSIONS: Final = (2, 3)


class _Tensor(NamedTuple):
    layer: int
    width: int
    offset: int


def read_gguf(path: Path) -> Directions:
    """Read a file.

    Returns:
        The directions. ``controlvector.model_hint`` is ``model_type`` in the metadata, which
        further has what this project wrote; other fields are passed over.

    Raises:
        InputError: If the file is broken, is no control vector, or has a tensor that is no
            direction.
    """
    data = _Bytes(path.read_bytes())
    if data.take(len(MAGIC)) != MAGIC:
        raise InputError("this is no GGUF file")
    version, n_tensors, n_fields = data.unpack("IQQ")
    if version not in _VERSIONS:
        raise InputError(f"GGUF version is {version}; allowed are 2 and 3, little-endian")
    fields = dict(_read_field(data) for _ in range(n_fields))
    if fields.get("general.architecture") != ARCHITECTURE:
        kind = str(fields.get("general.architecture"))[:60]
        raise InputError(f"general.architecture is {kind!r}; allowed is {ARCHITECTURE!r}")
    tensors = [_read_tensor(data) for _ in range(n_tensors)]
    by_layer = _read_values(data, tensors, _alignment(fields))
    return Directions(dict(sorted(by_layer.items())), _metadata(fields))


class _Bytes:
    """The bytes of a file, taken from the front."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.size = len(data)
        self.at = 0

    def move(self, at: int) -> None:
        """Go to a byte.

        Raises:
            InputError: If the file ends before.
        """
        if at > self.size:
            raise InputError(f"the GGUF file ends too early, after {self.size} bytes")
        self.at = at

    def take(self, size: int) -> bytes:
        """Take the next bytes.

        Raises:
            InputError: If the file ends before.
        """
        start = self.at
        self.move(start + size)
        return self._data[start : self.at]

    def unpack(self, codes: str) -> tuple[Any, ...]:
        """Take numbers of struct's codes, little-endian."""
        return struct.unpack(f"<{codes}", self.take(struct.calcsize(f"<{codes}")))

    def text(self) -> str:
        """Take a text, which its length precedes."""
        encoded = self.take(self.unpack("Q")[0])
        try:
            return encoded.decode()
        except UnicodeDecodeError as error:
            raise InputError("a text in the GGUF file is not UTF-8") from error


def _read_field(data: _Bytes) -> tuple[str, Any]:
    name, kind = data.text(), data.unpack("I")[0]
    if kind != _ARRAY:
        return name, _read_value(data, kind)
    # Control vectors need no arrays; their bytes are passed over.
    kind, count = data.unpack("IQ")
    if kind == STRING:
        for _ in range(count):  # each takes eight bytes or more, so the file's end stops it
            data.text()
    elif kind in _NUMBERS:
        data.take(count * struct.calcsize(f"<{_NUMBERS[kind]}"))
    else:
        raise InputError(f"field {name[:60]!r} is an array of the unknown type {kind}")
    return name, None


def _read_value(data: _Bytes, kind: int) -> Any:
    if kind == STRING:
        return data.text()
    if kind not in _NUMBERS:
        raise InputError(f"a field of the GGUF file has the unknown type {kind}")
    return data.unpack(_NUMBERS[kind])[0]


def _read_tensor(data: _Bytes) -> _Tensor:
    name, n_axes = data.text(), data.unpack("I")[0]
    matched = _DIRECTION.fullmatch(name)
    if matched is None:
        raise InputError(f"tensor {name[:60]!r} is no direction; allowed are direction.<layer>")
    if n_axes != 1:
        raise InputError(f"tensor {name!r} has {n_axes} axes; allowed is one")
    width, kind, offset = data.unpack("QIQ")
    if kind != FLOAT32_TENSOR:
        raise InputError(f"tensor {name!r} has GGUF's type {kind}; allowed is 0, which is F32")
    layer = int(matched[1])
    if layer < FIRST_LAYER:
        raise InputError("direction.0 is there; llama.cpp counts from 1 and refuses it")
    return _Tensor(layer, width, offset)


def _alignment(fields: dict[str, Any]) -> int:
    value = fields.get("general.alignment", ALIGNMENT)
    if not isinstance(value, int) or not 1 <= value <= 2**16:
        raise InputError(f"general.alignment is {str(value)[:20]}; allowed are 1 to 65536")
    return value


def _read_values(data: _Bytes, tensors: list[_Tensor], alignment: int) -> dict[int, np.ndarray]:
    data.move(data.at + (-data.at % alignment if tensors else 0))
    start = data.at
    # Tensors that overlap could ask for the whole file again and again.
    if 4 * sum(tensor.width for tensor in tensors) > data.size - start:
        raise InputError(f"the GGUF file ends too early, after {data.size} bytes")
    by_layer: dict[int, np.ndarray] = {}
    for tensor in tensors:
        if tensor.layer in by_layer:
            raise InputError(f"direction.{tensor.layer} is there twice")
        data.move(start + tensor.offset)
        values = data.take(4 * tensor.width)
        by_layer[tensor.layer] = np.frombuffer(values, dtype="<f4").astype(np.float32)
    return by_layer


def _metadata(fields: dict[str, Any]) -> dict[str, str]:
    own = {
        name.removeprefix(OWN_PREFIX): value
        for name, value in fields.items()
        if name.startswith(OWN_PREFIX) and isinstance(value, str)
    }
    hint = fields.get(MODEL_HINT)
    return ({"model_type": hint} if isinstance(hint, str) else {}) | own
