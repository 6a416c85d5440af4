"""Reading pickles that may come from somebody else: data only, no code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, Final

import torch

from emotion_circuits.errors import InputError

# numpy moved its core in 2.0, and protocols up to 2 use the names of Python 2; files of all
# generations are readable.
_RENAMED: Final = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}

# Every callable a result file may name.
_ALLOWED: Final = {
    ("builtins", "bytearray"),
    ("builtins", "complex"),
    ("builtins", "frozenset"),
    ("builtins", "set"),
    ("collections", "OrderedDict"),
    ("collections", "defaultdict"),
    ("builtins", "dict"),
    ("builtins", "list"),
    ("_codecs", "encode"),
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("numpy._core.multiarray", "scalar"),
    ("numpy._core.numeric", "_frombuffer"),
    ("torch", "Size"),
    ("torch._utils", "_rebuild_tensor_v2"),
}


def _load_storage(data: bytes) -> Any:
    """Stand in for ``torch.storage._load_from_bytes``, which would unpickle anything."""
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


_REPLACED: Final[dict[tuple[str, str], Callable[..., Any]]] = {
    ("torch.storage", "_load_from_bytes"): _load_storage,
}


class SafeUnpickler(pickle.Unpickler):
    """Unpickler for plain containers, numbers, numpy arrays and torch tensors, and nothing else.

    Tensors are placed on the CPU whatever device they were saved from.
    """

    def find_class(self, module: str, name: str, /) -> Any:
        """Resolve a global a pickle names, or refuse it.

        Raises:
            InputError: If the name is not one of the few that plain data needs.
        """
        module = _RENAMED.get(module, module)
        if (module, name) in _REPLACED:
            return _REPLACED[module, name]
        if (module, name) in _ALLOWED or _is_torch_dtype(module, name):
            return super().find_class(module, name)
        raise InputError(
            f"pickle names {module}.{name}, which is not plain data; allowed are containers, "
            "numbers, strings, numpy arrays and torch tensors"
        )


def _is_torch_dtype(module: str, name: str) -> bool:
    return module == "torch" and isinstance(getattr(torch, name, None), torch.dtype)


def load_pickle(file: BinaryIO) -> Any:
    """Read one object of plain data.

    Args:
        file: A binary file at the start of a pickle.

    Returns:
        The object, with every tensor on the CPU.

    Raises:
        InputError: If the pickle is broken or names anything but plain data.
    """
    try:
        return SafeUnpickler(file).load()
    except InputError:
        raise
    except Exception as error:  # a broken pickle raises almost any type
        raise InputError(f"not a readable pickle: {type(error).__name__}: {error}") from error
