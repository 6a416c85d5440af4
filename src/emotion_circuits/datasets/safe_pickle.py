"""Reader for pickles from untrusted sources: it loads data and never runs code."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Final, NamedTuple

import numpy as np
import torch
from torch import Tensor

from emotion_circuits.datasets import pickled_values as values
from emotion_circuits.errors import InputError

# Old names of modules: numpy moved its core in 2.0, and protocols up to 2 use names of Python 2.
_RENAMED: Final = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}


class _Global:
    """A global that a pickle names. Only the instruction REDUCE uses it, to call its builder.

    Attributes:
        build: The builder, called with the arguments in the pickle; None where the global may only
            be an argument.
    """

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any] | None) -> None:
        self.build = build


# All globals that a result file may name.
_GLOBALS: Final = {
    ("builtins", "bytearray"): _Global(values.build_bytearray),
    ("builtins", "bytes"): _Global(values.build_empty_bytes),
    ("builtins", "complex"): _Global(values.build_complex),
    ("builtins", "dict"): _Global(values.build_dict),
    ("builtins", "frozenset"): _Global(values.build_frozenset),
    ("builtins", "list"): _Global(values.build_list),
    ("builtins", "set"): _Global(values.build_set),
    ("collections", "OrderedDict"): _Global(values.build_dict),
    ("collections", "defaultdict"): _Global(values.build_default_dict),
    ("_codecs", "encode"): _Global(values.build_bytes),
    ("numpy", "dtype"): _Global(values.PendingDType),
    ("numpy", "ndarray"): _Global(None),
    ("numpy._core.multiarray", "_reconstruct"): _Global(values.PendingArray),
    ("numpy._core.multiarray", "scalar"): _Global(values.build_scalar),
    ("numpy._core.numeric", "_frombuffer"): _Global(values.build_array),
    ("torch", "Size"): _Global(values.build_size),
    ("torch._utils", "_rebuild_tensor_v2"): _Global(values.build_tensor),
}


class _BoundedFile:
    """A file whose reads are limited to its size."""

    def __init__(self, file: BinaryIO) -> None:
        start = file.tell()
        self._left = file.seek(0, 2) - start
        file.seek(start)
        self._file = file
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; a pickle may announce more bytes than fit into memory."""
        return self._file.read(min(size, self._left))


class SafeUnpickler(pickle._Unpickler):
    """Unpickler for plain containers, numbers, texts, numpy arrays and torch tensors.

    A pickle is a program. Only the instructions that plain data needs are executed, and every call
    goes to a function of ``pickled_values``, which checks shapes, dtypes, offsets and sizes
    against the bytes in the file. The unpickler in C cannot be restricted in this way: it sets the
    state of any object, and allocates as much memory for its memo as a file requests.

    Tensors are placed on the CPU, regardless of the device they were saved from.
    """

    # Attributes of Python's unpickler that its type stubs lack.
    stack: list[Any]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO) -> None:
        super().__init__(_BoundedFile(file))
        self._n_pending = 0

    def find_class(self, module: str, name: str, /) -> Any:
        """Resolve a global that a pickle names.

        Raises:
            InputError: If plain data does not need the global.
        """
        module = _RENAMED.get(module, module)
        if (module, name) in _GLOBALS:
            return _GLOBALS[module, name]
        if module == "torch" and name in values.TORCH_DTYPES:
            return values.TORCH_DTYPES[name]
        raise InputError(
            f"pickle names {module}.{name}, which is not plain data; allowed are containers, "
            "numbers, strings, numpy arrays and torch tensors"
        )

    def load(self) -> Any:
        """Read one object.

        Raises:
            InputError: If any part of the object is not plain data.
        """
        loaded = super().load()
        if self._n_pending or isinstance(loaded, _Global):
            raise InputError("pickle names an array or a function and gives it no data")
        return loaded

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, _Global) or function.build is None:
            raise InputError(f"pickle calls {_describe(function)}, which is not allowed")
        # Globals among the arguments are an array's class or a defaultdict's factory; the builders
        # need neither.
        plain = [None if isinstance(item, _Global) else item for item in arguments]
        built = function.build(*plain)
        self._n_pending += isinstance(built, values.Pending)
        self.stack[-1] = built

    def _build(self) -> None:
        state, pending = self.stack.pop(), self.stack[-1]
        if not isinstance(pending, values.Pending):
            raise InputError(f"pickle sets the state of {_describe(pending)}; that is not allowed")
        built = pending.build(state)
        self._n_pending -= 1
        self.stack[-1] = built
        if pending.memo_key is not None:
            self.memo[pending.memo_key] = built

    def _put(self, key: int) -> None:
        self.memo[key] = value = self.stack[-1]
        if isinstance(value, values.Pending):
            value.memo_key = key

    def _memoize(self) -> None:
        self._put(len(self.memo))

    def _put_text(self) -> None:
        self._put(int(self.readline()[:-1]))

    def _put_byte(self) -> None:
        self._put(self.read(1)[0])

    def _put_long(self) -> None:
        self._put(int.from_bytes(self.read(4), "little"))

    def _append_one(self) -> None:
        value = self.stack.pop()
        self._top(list).append(value)

    def _append_all(self) -> None:
        items = self.pop_mark()
        self._top(list).extend(items)

    def _make_dict(self) -> None:
        items = self.pop_mark()
        self.append({})
        self._fill(items)

    def _set_one(self) -> None:
        value, key = self.stack.pop(), self.stack.pop()
        self._top(dict)[values.checked_keys([key])[0]] = value

    def _set_all(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        self._top(dict).update(zip(values.checked_keys(items[::2]), items[1::2], strict=True))

    def _add_all(self) -> None:
        items = self.pop_mark()
        self._top(set).update(values.checked_keys(items))

    def _make_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(values.build_frozenset(items))

    def _make_bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise InputError(f"pickle fills {_describe(self.stack[-1])} as a {kind.__name__}")
        return self.stack[-1]

    def _refuse(self) -> None:
        raise InputError("pickle has an instruction that plain data does not need")


def _describe(value: Any) -> str:
    return "a global" if isinstance(value, _Global) else f"a {type(value).__name__}"


_INSTRUCTIONS: Final = {
    pickle.REDUCE: SafeUnpickler._reduce,
    pickle.BUILD: SafeUnpickler._build,
    pickle.MEMOIZE: SafeUnpickler._memoize,
    pickle.PUT: SafeUnpickler._put_text,
    pickle.BINPUT: SafeUnpickler._put_byte,
    pickle.LONG_BINPUT: SafeUnpickler._put_long,
    pickle.APPEND: SafeUnpickler._append_one,
    pickle.APPENDS: SafeUnpickler._append_all,
    pickle.DICT: SafeUnpickler._make_dict,
    pickle.SETITEM: SafeUnpickler._set_one,
    pickle.SETITEMS: SafeUnpickler._set_all,
    pickle.ADDITEMS: SafeUnpickler._add_all,
    pickle.FROZENSET: SafeUnpickler._make_frozenset,
    pickle.BYTEARRAY8: SafeUnpickler._make_bytearray,
    **dict.fromkeys(
        (
            *(pickle.INST, pickle.OBJ, pickle.NEWOBJ, pickle.NEWOBJ_EX, pickle.NEXT_BUFFER),
            *(pickle.EXT1, pickle.EXT2, pickle.EXT4, pickle.PERSID, pickle.BINPERSID),
        ),
        SafeUnpickler._refuse,
    ),
}
SafeUnpickler.dispatch.update({code[0]: act for code, act in _INSTRUCTIONS.items()})


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
            raise InputError(f"pickle holds a tensor of {n_values!r} values")
        self.append(_StorageHeader(dtype, n_values))


_StorageUnpickler.dispatch[pickle.BINPERSID[0]] = _StorageUnpickler._describe_storage


def _read_storage_header(file: BinaryIO) -> _StorageHeader:
    """Read the pickles before a storage's bytes; the file then stands at the number of values.

    Raises:
        InputError: If they do not describe one storage, or are not little-endian.
    """
    _magic, _version, machine = (SafeUnpickler(file).load() for _ in range(3))
    header = _StorageUnpickler(file).load()
    keys = SafeUnpickler(file).load()
    if not isinstance(header, _StorageHeader) or len(keys) != 1:
        raise InputError("pickle holds a tensor without a storage of its own")
    if machine.get("little_endian") is not True:
        raise InputError("pickle holds a tensor of another byte order; allowed is little-endian")
    return header


def _build_storage(data: Any) -> Tensor:
    """Return the storage of a torch tensor as a flat tensor of its dtype on the CPU.

    Args:
        data: Output of ``torch.save`` in its older format: three pickles that describe the file,
            one that describes the storage, one that lists it, and the bytes.

    Raises:
        InputError: If the data is not exactly one complete storage.
    """
    if not isinstance(data, bytes | bytearray):
        raise InputError(f"pickle holds a tensor over {type(data).__name__}; allowed are bytes")
    file = io.BytesIO(data)
    header = _read_storage_header(file)
    size = header.n_values * header.dtype.itemsize
    rest = len(data) - file.tell() - 8
    if rest != size or int.from_bytes(file.read(8), "little") != header.n_values:
        raise InputError(f"pickle holds a tensor of {size} bytes over {rest}")
    memory = torch.empty(size, dtype=torch.uint8)
    memory.numpy()[:] = np.frombuffer(data, np.uint8, offset=file.tell())
    return memory.view(header.dtype)


_GLOBALS["torch.storage", "_load_from_bytes"] = _Global(_build_storage)


def load_pickle(file: BinaryIO) -> Any:
    """Read one object of plain data.

    Args:
        file: A seekable binary file at the start of a pickle.

    Returns:
        The object, with all tensors on the CPU and all dictionaries as plain ``dict``.

    Raises:
        InputError: If the pickle is corrupt or holds anything but plain data.
    """
    try:
        return SafeUnpickler(file).load()
    except InputError:
        raise
    except Exception as error:  # a corrupt pickle can raise almost any exception
        raise InputError(f"not a readable pickle: {type(error).__name__}: {error}") from error
