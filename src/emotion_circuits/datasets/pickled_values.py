"""Builders for the values that a result pickle may hold; each checks its arguments.

A pickle names functions of numpy, torch and Python that rebuild its objects. Those functions trust
their arguments: they would build an array over a buffer that is too short, or from pointers in
the file. The builders here take the same arguments and validate them.
"""

from __future__ import annotations

import math
import re
import sys
from abc import ABC, abstractmethod
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from emotion_circuits.datasets.pickled_keys import checked_keys
from emotion_circuits.errors import InputError

# Whole numbers, floats, complex numbers, truth values, and texts and bytes of fixed width.
_DTYPE: Final = re.compile(r"[biufcSU]\d{1,9}")
_MOST_AXES: Final = 64  # numpy's own limit

# Dtypes by their names in pickles.
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
    """An object that a pickle creates empty and fills later.

    Attributes:
        memo_key: Key of the object in the pickle's memo; None if it is not there.
    """

    memo_key: int | None = None

    @abstractmethod
    def build(self, state: Any) -> Any:
        """Return the object with its content.

        Raises:
            InputError: If the content is invalid.
        """


class PendingDType(Pending):
    """A numpy dtype whose byte order follows later in the pickle."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        """Check the code of a dtype.

        Args:
            code: For example ``f8`` or ``U12``.
            align: Ignored; it matters for structured dtypes only, which are refused.
            copy: Ignored.

        Raises:
            InputError: If the dtype is not of numbers, truth values or texts of fixed width.
        """
        del align, copy
        if not isinstance(code, str) or not _DTYPE.fullmatch(code):
            raise InputError(
                f"pickle holds an array of dtype {shown(code)}; allowed are numbers, truth values "
                "and texts of fixed width"
            )
        self.dtype = np.dtype(code)

    def build(self, state: Any) -> np.dtype:
        """Return the dtype with the byte order in the state."""
        order = state[1]
        width = state[5]
        if state[2:5] != (None, None, None) or width not in (-1, self.dtype.itemsize):
            raise InputError(f"pickle gives dtype {self.dtype} a state that is not plain data")
        return self.dtype if order == "|" else self.dtype.newbyteorder(order)


class PendingArray(Pending):
    """A numpy array whose shape, dtype and bytes follow later in the pickle."""

    def __init__(self, kind: Any, shape: Any, code: Any) -> None:
        """Ignore the arguments of numpy's ``_reconstruct``; the state repeats them."""
        del kind, shape, code

    def build(self, state: Any) -> np.ndarray:
        """Return the array.

        Args:
            state: Optional version, shape, dtype, whether the order is Fortran's, and the bytes.
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
    """Return an array over bytes, as numpy's ``_frombuffer`` does.

    Args:
        data: The bytes, exactly as many as the shape needs.
        dtype: A dtype from ``PendingDType``.
        shape: Tuple of whole numbers.
        order: ``C``, ``F``, or ``K`` with ``axis_order``.
        axis_order: A permutation of the axes.

    Raises:
        InputError: If bytes, shape and dtype do not fit together.
    """
    kind = _dtype(dtype)
    axes = _whole_numbers(shape, "shape", _MOST_AXES)
    n_values: int = math.prod(axes)
    wanted = n_values * kind.itemsize
    if not isinstance(data, bytes | bytearray) or len(data) != wanted:
        size = len(data) if isinstance(data, bytes | bytearray) else type(data).__name__
        raise InputError(f"pickle holds an array {axes} of {kind} ({wanted} bytes) over {size}")
    if not isinstance(order, str) or order not in ("C", "F", "K"):
        raise InputError(f"pickle holds an array of order {shown(order)}; allowed are C, F and K")
    if kind.itemsize == 0 and n_values:  # numpy would make the texts one character wide
        raise InputError(f"pickle holds an array {axes} of texts without width")
    flat = np.frombuffer(data, kind) if wanted else np.empty(0, kind)
    _check_content(flat)
    if order == "K" and axis_order is not None:
        return flat.reshape(axes).transpose(_whole_numbers(axis_order, "axis order"))
    return flat.reshape(axes, order="F" if order == "F" else "C")


def build_scalar(dtype: Any, data: Any) -> Any:
    """Return a numpy scalar.

    Raises:
        InputError: If the number of bytes does not match the dtype.
    """
    value: np.ndarray = build_array(data, dtype, (1,), "C")
    return value[0]


def _dtype(value: Any) -> np.dtype:
    if isinstance(value, PendingDType):
        return value.dtype
    if isinstance(value, np.dtype):
        return value
    raise InputError(f"pickle gives {type(value).__name__} as the dtype of an array")


def _whole_numbers(value: Any, what: str, most: int = _MOST_AXES) -> tuple[int, ...]:
    if not isinstance(value, tuple) or len(value) > most:
        raise InputError(f"pickle gives {what} {shown(value)}; allowed are up to {most} numbers")
    for number in value:
        if type(number) is not int or not 0 <= number < 2**63:
            raise InputError(
                f"pickle gives {what} a {shown(number)}; allowed are whole numbers from 0"
            )
    return value


def _check_content(flat: np.ndarray) -> None:
    """Refuse bytes that numpy never writes for a dtype and that its code does not expect."""
    if flat.dtype.kind == "b":
        check_truth_values(flat.view(np.uint8))
    elif flat.dtype.kind == "U" and flat.size:
        code_points = flat.view(np.dtype(np.uint32).newbyteorder(flat.dtype.byteorder))
        if code_points.max() > sys.maxunicode:
            raise InputError("pickle holds an array of texts with characters that do not exist")


def check_truth_values(data: np.ndarray) -> None:
    """Check the bytes of truth values.

    Raises:
        InputError: If any byte is neither 0 nor 1.
    """
    if data.size and data.max() > 1:
        raise InputError("pickle holds truth values that are neither true nor false")


def shown(value: Any) -> str:
    """Return a short description of a value of unknown type and size for a message."""
    if isinstance(value, str | bytes):
        return repr(value[:40])
    return repr(value) if type(value) in (int, float, bool) else type(value).__name__


def memory(value: Any) -> int:
    """Return about how many bytes an object takes, without the objects in it."""
    match value:
        case torch.Tensor():
            return 512 + value.numel() * value.element_size()
        case np.ndarray():
            return 128 + value.nbytes
        case str() | bytes() | bytearray():
            return 64 + len(value)
        case list() | tuple():
            return 64 + 8 * len(value)
        case dict() | set() | frozenset():
            return 216 + 64 * len(value)
    return 64


def build_tensor(
    storage: Any,
    offset: Any,
    size: Any,
    stride: Any,
    requires_grad: Any,
    hooks: Any,
    metadata: Any = None,
) -> Tensor:
    """Return a tensor over a storage.

    Args:
        storage: The result of ``read_storage``.
        offset: Index of the first value in the storage.
        size: Shape of the tensor.
        stride: Step in the storage between neighbours along each axis.
        requires_grad: Whether the tensor requires a gradient.
        hooks: Must be empty.
        metadata: Must be empty.

    Raises:
        InputError: If the tensor would exceed its storage.
    """
    (first,) = _whole_numbers((offset,), "offset")
    axes, steps = _whole_numbers(size, "size"), _whole_numbers(stride, "stride")
    if not isinstance(storage, Tensor) or len(axes) != len(steps) or hooks or metadata:
        raise InputError("pickle holds a tensor that is not plain data")
    if 0 in axes:
        empty = torch.empty_strided(axes, steps, dtype=storage.dtype)
        return empty.requires_grad_(bool(requires_grad))
    last = first + sum((n - 1) * step for n, step in zip(axes, steps, strict=True))
    if last >= storage.numel():
        raise InputError(
            f"pickle holds a tensor {axes} with stride {steps} and offset {first} over a storage "
            f"of {storage.numel()} values"
        )
    return torch.as_strided(storage, axes, steps, first).requires_grad_(bool(requires_grad))


def build_size(axes: Any) -> torch.Size:
    """Return a tensor's shape."""
    return torch.Size(_whole_numbers(tuple(axes), "size"))


def build_complex(real: Any, imaginary: Any) -> complex:
    """Return a complex number."""
    return complex(float(real), float(imaginary))


def build_bytes(text: Any, encoding: Any = "latin1") -> bytes:
    """Return bytes that Python 2 and pickle protocols up to 2 write as text."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise InputError(f"pickle encodes {type(text).__name__} as {shown(encoding)}")
    return text.encode("latin1")


def build_empty_bytes() -> bytes:
    """Return empty bytes, which pickle protocols up to 2 write as a call."""
    return b""


def build_bytearray(data: Any = b"", encoding: Any = "latin1") -> bytearray:
    """Return a byte array."""
    if isinstance(data, str):
        data = build_bytes(data, encoding)
    if not isinstance(data, bytes | bytearray):
        raise InputError(f"pickle makes a bytearray of {type(data).__name__}")
    return bytearray(data)


def build_list(items: Any = ()) -> list[Any]:
    """Return a list."""
    return list(_items(items))


def build_set(items: Any = ()) -> set[Any]:
    """Return a set."""
    return set(checked_keys(_items(items)))


def build_frozenset(items: Any = ()) -> frozenset[Any]:
    """Return a frozen set."""
    return frozenset(checked_keys(_items(items)))


def build_dict(pairs: Any = ()) -> dict[Any, Any]:
    """Return a plain dictionary, also for ordered ones."""
    keys, values = zip(*map(_items, _items(pairs)), strict=True) if pairs else ((), ())
    return dict(zip(checked_keys(keys), values, strict=True))


def build_default_dict(factory: Any = None, pairs: Any = ()) -> dict[Any, Any]:
    """Return a plain dictionary for a defaultdict, without its factory."""
    del factory
    return build_dict(pairs)


def _items(value: Any) -> list[Any] | tuple[Any, ...]:
    if not isinstance(value, list | tuple):
        raise InputError(f"pickle makes a container of {type(value).__name__}")
    return value
