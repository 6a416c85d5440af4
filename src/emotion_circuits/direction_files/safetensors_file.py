"""Directions as safetensors: a tensor ``layer_<n>`` per layer, and texts as metadata."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from emotion_circuits.direction_files.directions import Directions
from emotion_circuits.errors import InputError

_NAME: Final = re.compile(r"layer_(0|[1-9][0-9]{0,4})")


def write_safetensors(path: Path, directions: Directions) -> None:
    """Write a file.

    Args:
        path: The file.
        directions: What to write.
    """
    tensors = {
        f"layer_{layer}": np.ascontiguousarray(directions.by_layer[layer])
        for layer in directions.layers
    }
    save_file(tensors, path, metadata=dict(directions.metadata))


def read_safetensors(path: Path) -> Directions:
    """Read a file.

    Raises:
        InputError: If the file is broken, or has a tensor that is no direction.
    """
    try:
        with safe_open(path, framework="np") as file:
            names = {name: _layer(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            for name in names:
                _check(name, file.get_slice(name))
            by_layer = {layer: file.get_tensor(name) for name, layer in names.items()}
            return Directions(dict(sorted(by_layer.items())), dict(file.metadata() or {}))
    except (SafetensorError, OSError) as error:
        raise InputError(f"this is no whole safetensors file: {error}") from error


def _layer(name: str) -> int:
    matched = _NAME.fullmatch(name)
    if matched is None:
        raise InputError(f"tensor {name[:60]!r} is no direction; allowed are names layer_<n>")
    return int(matched[1])


def _check(name: str, tensor: object) -> None:
    """Check type and shape before the values are read."""
    dtype, shape = tensor.get_dtype(), tensor.get_shape()  # type: ignore[attr-defined]
    if dtype != "F32" or len(shape) != 1:
        raise InputError(
            f"tensor {name!r} is {dtype} of shape {shape}; allowed is F32, one vector per layer"
        )
