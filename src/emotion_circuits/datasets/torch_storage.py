"""Reader for the memory of a torch tensor as it stands in a pickle."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emotion_circuits.datasets import pickled_values as values
from emotion_circuits.datasets.safe_unpickler import Allowance, SafeUnpickler
from emotion_circuits.errors import InputError

# Torch's own header takes about 250 bytes. The limit keeps small the time for reading the same one
# again and again.
_LONGEST_HEADER: Final = 512


class _StorageHeader(NamedTuple):
    """Dtype and number of values, which precede the bytes of a torch storage."""

    dtype: torch.dtype
    n_values: int


class _StorageUnpickler(SafeUnpickler):
    """Reads the pickle that describes a storage by the values of a persistent id."""

    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(SafeUnpickler.dispatch)

    def find_class(self, module: str, name: str, /) -> Any:
        """Resolve a storage class to its dtype."""
        if module == "torch" and name in values.STORAGE_DTYPES:
            return values.STORAGE_DTYPES[name]
        return super().find_class(module, name)

    def _describe_storage(self) -> None:
        what, dtype, _key, _location, n_values, view = self.stack.pop()
        if what != "storage" or not isinstance(dtype, torch.dtype) or view is not None:
            raise InputError("pickle holds a tensor whose storage is not plain data")
        if type(n_values) is not int or n_values < 0:
            raise InputError("pickle holds a tensor without a number of values")
        self.append(_StorageHeader(dtype, n_values))


_StorageUnpickler.dispatch[pickle.BINPERSID[0]] = _StorageUnpickler._describe_storage


def _read_header(file: BinaryIO, allowance: Allowance) -> _StorageHeader:
    """Read the pickles before a storage's bytes; the file then stands at the number of values.

    Raises:
        InputError: If they do not describe one storage, or are not little-endian.
    """
    _magic, _version, machine = (SafeUnpickler(file, allowance).load() for _ in range(3))
    header = _StorageUnpickler(file, allowance).load()
    keys = SafeUnpickler(file, allowance).load()
    if not isinstance(header, _StorageHeader) or len(keys) != 1:
        raise InputError("pickle holds a tensor without a storage of its own")
    if machine.get("little_endian") is not True:
        raise InputError("pickle holds a tensor of another byte order; allowed is little-endian")
    return header


def read_storage(data: Any, allowance: Allowance) -> Tensor:
    """Return the storage of a torch tensor as a flat tensor of its dtype on the CPU.

    Args:
        data: Output of ``torch.save`` in its older format: three pickles that describe the file,
            one that describes the storage, one that lists it, and the bytes.
        allowance: Memory that the surrounding pickle may still take.

    Raises:
        InputError: If the data is not exactly one complete storage.
    """
    if not isinstance(data, bytes | bytearray):
        raise InputError(f"pickle holds a tensor over {type(data).__name__}; allowed are bytes")
    file = io.BytesIO(data[:_LONGEST_HEADER])
    allowance.take(4 * _LONGEST_HEADER)
    header = _read_header(file, allowance)
    start = file.tell() + 8
    size, rest = header.n_values * header.dtype.itemsize, len(data) - start
    if rest != size or int.from_bytes(data[start - 8 : start], "little") != header.n_values:
        raise InputError(f"pickle holds a tensor of {size} bytes over {rest}")
    memory = torch.empty(size, dtype=torch.uint8)
    memory.numpy()[:] = np.frombuffer(data, np.uint8, offset=start)
    if header.dtype is torch.bool:
        values.check_truth_values(memory.numpy())
    return memory.view(header.dtype)
