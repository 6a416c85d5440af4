"""The values a result pickle may hold, each built by a function that checks what it is given.

A pickle names the functions of numpy, torch and Python that rebuild its objects. Those would
build whatever they are told: an array over a buffer that is too short, or of pointers that the
file chose. The functions here take the same arguments and trust none of them.
"""

from __future__ import annotations

import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from emotion_circuits.errors import InputError

# Whole numbers, floats, complex numbers, truth values, and texts and bytes of fixed width.
_DTYPE: Final = re.compile(r"[biufcSU]\d{1,9}")
_MOST_AXES: Final = 32
# Types of keys that are hashed by themselves.
_PLAIN: Final = frozenset({str, int, float, complex, bool, bytes, type(None)})

# Names as pickles have them.
TORCH_DTYPES: Final = {n: v for n, v in vars(torch).items() if isinstance(v, torch.dtype)}
STORAGE_DTYPES: Final = {
    "FloatStorage": torch.float32,
    "DoubleStorage": torch.float64,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
}


class Pending(ABC):
    """An object that a pickle names first and gives its content afterwards.

    Attributes:
        memo_key: Where the pickle's memo holds it, if it does.
    """

    memo_key: int | None = None

    @abstractmethod
    def build(self, state: Any) -> Any:
        """Give the object with its content.

        Raises:
            InputError: If the content does not fit.
        """


class PendingDType(Pending):
    """A numpy dtype whose byte order is still to come."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        """Take a dtype's code.

        Args:
            code: Such as ``f8`` or ``U12``.
            align: Of structured dtypes, which are refused.
            copy: Without meaning here.

        Raises:
            InputError: If it is no dtype of numbers, truth values or texts of fixed width.
        """
        del align, copy
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise InputError(
                f"pickle holds an array of dtype {code!r}; allowed are numbers, truth values and "
                "texts of fixed width"
            )
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> np.dtype:
        """Give the dtype in the byte order of the state."""
        order = state[1]
        width = state[5]
        if state[2:5] != (None, None, None) or width not in (-1, self.dtype.itemsize):
            raise InputError(f"pickle gives dtype {self.dtype} the state {state!r}")
        return self.dtype if order == "|" else self.dtype.newbyteorder(order)


class PendingArray(Pending):
    """A numpy array whose shape, dtype and bytes are still to come."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        """Take what numpy's ``_reconstruct`` takes; all of it is said again by the state."""
        del kind, shape, code

    def build(self, state: Any) -> np.ndarray:
        """Give the array.

        Args:
            state: Optional version, shape, dtype, whether columns come first, and the bytes.
        """
        shape, dtype, in_columns, data = state[-4:]
        if isinstance(data, str):  # written by Python 2
            data = data.encode("latin1")
        if not isinstance(data, bytes | bytearray):
            raise InputError(f"pickle holds an array of {type(data).__name__}; allowed are bytes")
        return build_array(bytearray(data), dtype, shape, "F" if in_columns else "C")


def build_array(
    data: Any, dtype: Any, shape: Any, order: Any, axis_order: Any = None
) -> np.ndarray:
    """Give an array over bytes, as numpy's ``_frombuffer`` does.

    Args:
        data: Exactly as many bytes as the shape takes.
        dtype: A dtype that was built here.
        shape: Whole numbers.
        order: ``C``, ``F``, or ``K`` with an axis order.
        axis_order: A permutation of the axes.

    Raises:
        InputError: If bytes, shape and dtype do not fit together.
    """
    kind = _dtype(dtype)
    axes = _whole_numbers(shape, "shape")
    wanted = math.prod(axes) * kind.itemsize
    if not isinstance(data, bytes | bytearray) or len(data) != wanted or len(axes) > _MOST_AXES:
        size = len(data) if isinstance(data, bytes | bytearray) else type(data).__name__
        raise InputError(f"pickle holds an array {axes} of {kind} ({wanted} bytes) over {size}")
    if order not in ("C", "F", "K"):
        raise InputError(f"pickle holds an array of order {order!r}; allowed are C, F and K")
    flat = np.frombuffer(data, kind) if wanted else np.empty(math.prod(axes), kind)
    if order == "K" and axis_order is not None:
        return flat.reshape(axes).transpose(_whole_numbers(axis_order, "axis order"))
    return flat.reshape(axes, order="F" if order == "F" else "C")


def build_scalar(dtype: Any, data: Any) -> Any:
    """Give a numpy scalar.

    Raises:
        InputError: If the bytes are not as many as the dtype takes.
    """
    value: np.ndarray = build_array(data, dtype, (1,), "C")
    return value[0]


def _dtype(value: Any) -> np.dtype:
    if isinstance(value, PendingDType):
        return value.dtype
    if isinstance(value, np.dtype):
        return value
    raise InputError(f"pickle gives {type(value).__name__} as the dtype of an array")


def _whole_numbers(value: Any, what: str) -> tuple[int, ...]:
    if not isinstance(value, tuple) or any(type(n) is not int or n < 0 for n in value):
        raise InputError(f"pickle gives {what} {value!r}; allowed are whole numbers from 0")
    return value


def build_tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """Give a tensor over a storage.

    Args:
        storage: What ``build_storage`` gave.
        offset: First value.
        size: Its shape.
        stride: Values between neighbours along each axis.
        requires_grad: Kept.
        hooks: Must be empty.
        metadata: Must be empty.

    Raises:
        InputError: If the tensor would reach beyond its storage.
    """
    (first,) = _whole_numbers((offset,), "offset")
    axes, steps = _whole_numbers(size, "size"), _whole_numbers(stride, "stride")
    if not isinstance(storage, Tensor) or len(axes) != len(steps) or hooks or metadata:
        raise InputError("pickle holds a tensor that is not plain data")
    last = first + sum((n - 1) * step for n, step in zip(axes, steps, strict=True))
    if 0 not in axes and last >= storage.numel():
        raise InputError(
            f"pickle holds a tensor {axes} with stride {steps} and offset {first} over a storage "
            f"of {storage.numel()} values"
        )
    if 0 in axes:
        return torch.empty(axes, dtype=storage.dtype, requires_grad=bool(requires_grad))
    return torch.as_strided(storage, axes, steps, first).requires_grad_(bool(requires_grad))


def build_size(axes: Any) -> torch.Size:
    """Give a tensor's shape."""
    return torch.Size(_whole_numbers(tuple(axes), "size"))


def build_complex(real: Any, imaginary: Any) -> complex:
    """Give a complex number."""
    return complex(float(real), float(imaginary))


def build_bytes(text: Any, encoding: Any = "latin1") -> bytes:
    """Give the bytes that Python 2 and protocols up to 2 write as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise InputError(f"pickle encodes {type(text).__name__} as {encoding!r}")
    return text.encode("latin1")


def build_empty_bytes() -> bytes:
    """Give no bytes, which protocols up to 2 write as a call."""
    return b""


def build_bytearray(data: Any = b"", encoding: Any = "latin1") -> bytearray:
    """Give a byte array."""
    if isinstance(data, str):
        data = build_bytes(data, encoding)
    if not isinstance(data, bytes | bytearray):
        raise InputError(f"pickle makes a bytearray of {type(data).__name__}")
    return bytearray(data)


def build_list(items: Any = ()) -> list[Any]:
    """Give a list."""
    return list(_items(items))


def build_set(items: Any = ()) -> set[Any]:
    """Give a set."""
    return set(checked_keys(_items(items)))


def build_frozenset(items: Any = ()) -> frozenset[Any]:
    """Give a frozen set."""
    return frozenset(checked_keys(_items(items)))


def build_dict(pairs: Any = ()) -> dict[Any, Any]:
    """Give a dictionary; ordered ones are dictionaries, too."""
    keys, found = zip(*map(_items, _items(pairs)), strict=True) if pairs else ((), ())
    return dict(zip(checked_keys(keys), found, strict=True))


def build_default_dict(factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    """Give a dictionary without what fills in missing keys."""
    del factory
    return build_dict(pairs)


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"pickle makes a container of {type(value).__name__}")
    return value


def checked_keys(keys: Sequence[Any]) -> Sequence[Any]:
    """Give dictionary keys or set members, if all of them are plain.

    Hashing a tuple hashes what it holds, in C and without a limit: tuples nested a million times
    would end the process.

    Raises:
        InputError: If one is neither text, bytes, a number nor a tuple of those.
    """
    if not set(map(type, keys)) <= _PLAIN:
        for key in keys:
            _check_key(key, depth=4)
    return keys


def _check_key(key: Any, *, depth: int) -> None:
    if isinstance(key, tuple) and depth:
        for item in key:
            _check_key(item, depth=depth - 1)
    elif type(key) not in _PLAIN and not isinstance(key, np.generic):
        name = type(key).__name__
        raise InputError(f"pickle has a {name} as a key; allowed are texts and numbers")
