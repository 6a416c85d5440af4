"""Unpickler that executes only what plain data needs, within an allowance of memory."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO, ClassVar, Final

from emotion_circuits.datasets import pickled_values as values
from emotion_circuits.datasets.pickled_keys import checked_keys
from emotion_circuits.errors import InputError

# Old names of modules: numpy moved its core in 2.0, and protocols up to 2 use names of Python 2.
_RENAMED: Final = {
    "__builtin__": "builtins",
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
}


# No longer than what the instruction LONG1 can hold, 255 bytes.
_LONGEST_NUMBER: Final = 614


class Global:
    """A global that a pickle names. Only the instruction REDUCE uses it, to call its builder.

    Attributes:
        build: The builder, called with the arguments in the pickle; None where the global may only
            be an argument.
    """

    __slots__ = ("build",)

    def __init__(self, build: Callable[..., Any] | None) -> None:
        self.build = build


# All globals that plain data may name, but for torch's storages.
_GLOBALS: Final = {
    ("builtins", "bytearray"): Global(values.build_bytearray),
    ("builtins", "bytes"): Global(values.build_empty_bytes),
    ("builtins", "complex"): Global(values.build_complex),
    ("builtins", "dict"): Global(values.build_dict),
    ("builtins", "frozenset"): Global(values.build_frozenset),
    ("builtins", "list"): Global(values.build_list),
    ("builtins", "set"): Global(values.build_set),
    ("collections", "OrderedDict"): Global(values.build_dict),
    ("collections", "defaultdict"): Global(values.build_default_dict),
    ("_codecs", "encode"): Global(values.build_bytes),
    ("numpy", "dtype"): Global(values.PendingDType),
    ("numpy", "ndarray"): Global(None),
    ("numpy._core.multiarray", "_reconstruct"): Global(values.PendingArray),
    ("numpy._core.multiarray", "scalar"): Global(values.build_scalar),
    ("numpy._core.numeric", "_frombuffer"): Global(values.build_array),
    ("torch", "Size"): Global(values.build_size),
    ("torch._utils", "_rebuild_tensor_v2"): Global(values.build_tensor),
}


class Allowance:
    """Memory that the objects of a pickle may still take, in proportion to its size.

    A file holds each object once and is at most a few times smaller than its objects. Instructions
    that copy an object they did not read would let a small file fill the memory.
    """

    _PER_BYTE: Final = 16
    _ALWAYS: Final = 16 * 2**20

    def __init__(self, n_bytes: int) -> None:
        self._left = self._ALWAYS + self._PER_BYTE * n_bytes

    def take(self, n_bytes: int) -> None:
        """Count some memory.

        Raises:
            InputError: If the allowance is used up.
        """
        self._left -= n_bytes
        if self._left < 0:
            raise InputError(
                f"pickle makes objects of more than {self._PER_BYTE} times its own size"
            )


class _BoundedFile:
    """A file whose reads are limited to its size."""

    def __init__(self, file: BinaryIO) -> None:
        start = file.tell()
        self.n_bytes = file.seek(0, 2) - start
        file.seek(start)
        self._file = file
        self.readline = file.readline

    def read(self, size: int) -> bytes:
        """Read at most ``size`` bytes; a pickle may announce more bytes than fit into memory."""
        return self._file.read(min(size, self.n_bytes))


class SafeUnpickler(pickle._Unpickler):
    """Unpickler for plain containers, numbers, texts, numpy arrays and torch tensors.

    A pickle is a program. Only the instructions that plain data needs are executed, and every call
    goes to a function of ``pickled_values``, which checks shapes, dtypes, offsets and sizes
    against the bytes in the file. The unpickler in C cannot be restricted in this way: it sets the
    state of any object, and allocates as much memory for its memo as a file requests.

    Tensors are placed on the CPU, regardless of the device they were saved from.

    Attributes:
        known: Globals that a pickle may name, by module and name.
        n_bytes: Size of the file from its current position on.
        allowance: Memory that the builders may still take.
    """

    known: ClassVar[dict[tuple[str, str], Global]] = _GLOBALS

    # Attributes of Python's unpickler that its type stubs lack.
    stack: list[Any]
    memo: dict[int, Any]
    append: Callable[[Any], None]
    read: Callable[[int], bytes]
    readline: Callable[[], bytes]
    pop_mark: Callable[[], list[Any]]
    dispatch: ClassVar[dict[int, Callable[[Any], None]]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: BinaryIO, allowance: Allowance | None = None) -> None:
        """Prepare to read one pickle.

        Args:
            file: A seekable binary file at the start of a pickle.
            allowance: The allowance of a surrounding pickle; None for a pickle of its own.
        """
        bounded = _BoundedFile(file)
        super().__init__(bounded)
        self.n_bytes = bounded.n_bytes
        self.allowance = Allowance(self.n_bytes) if allowance is None else allowance

    def find_class(self, module: str, name: str, /) -> Any:
        """Resolve a global that a pickle names.

        Raises:
            InputError: If plain data does not need the global.
        """
        module = _RENAMED.get(module, module)
        if (module, name) in self.known:
            return self.known[module, name]
        if module == "torch" and name in values.TORCH_DTYPES:
            return values.TORCH_DTYPES[name]
        raise InputError(
            f"pickle names {module}.{name}, which is not plain data; allowed are containers, "
            "numbers, strings, numpy arrays and torch tensors"
        )

    def call(self, function: Global, arguments: list[Any]) -> Any:
        """Call the builder of a global.

        Raises:
            InputError: If the global has none.
        """
        if function.build is None:
            raise InputError("pickle calls a global that can only be named")
        return function.build(*arguments)

    def _reduce(self) -> None:
        arguments, function = self.stack.pop(), self.stack[-1]
        if not isinstance(function, Global) or type(arguments) is not tuple:
            raise InputError(f"pickle calls {_describe(function)}, which is not allowed")
        # Globals among the arguments are an array's class or a defaultdict's factory; the builders
        # need neither.
        plain = [None if isinstance(item, Global) else item for item in arguments]
        self.allowance.take(sum(map(values.memory, plain)))
        built = self.call(function, plain)
        self.allowance.take(values.memory(built))
        self.stack[-1] = built

    def _build(self) -> None:
        state, pending = self.stack.pop(), self.stack[-1]
        if not isinstance(pending, values.Pending):
            raise InputError(f"pickle sets the state of {_describe(pending)}; that is not allowed")
        built = pending.build(state)
        self.allowance.take(values.memory(built))
        self.stack[-1] = built
        if pending.memo_key is not None:
            self.memo[pending.memo_key] = built

    def _put(self, key: int) -> None:
        if not 0 <= key <= self.n_bytes:  # each entry takes at least a byte, and writers count up
            raise InputError(f"pickle numbers an object {key}; allowed are 0 to {self.n_bytes}")
        self.memo[key] = value = self.stack[-1]
        if isinstance(value, values.Pending):
            value.memo_key = key

    def _memoize(self) -> None:
        self.memo[len(self.memo)] = value = self.stack[-1]
        if isinstance(value, values.Pending):
            value.memo_key = len(self.memo) - 1

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
        target = self._top(dict)
        target[checked_keys([key], len(target))[0]] = value

    def _set_all(self) -> None:
        self._fill(self.pop_mark())

    def _fill(self, items: list[Any]) -> None:
        target = self._top(dict)
        target.update(zip(checked_keys(items[::2], len(target)), items[1::2], strict=True))

    def _add_all(self) -> None:
        items = self.pop_mark()
        target = self._top(set)
        target.update(checked_keys(items, len(target)))

    def _make_set(self) -> None:
        self.append(set())
        self.allowance.take(values.memory(self.stack[-1]))  # one byte of the file makes 200

    def _make_frozenset(self) -> None:
        items = self.pop_mark()
        self.append(values.build_frozenset(items))

    def _make_bytearray(self) -> None:
        size = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(size)))

    def _make_whole_number(self) -> None:
        line = self.readline()[:-1]
        if len(line) > _LONGEST_NUMBER + len(b"-L"):
            self._refuse_number()
        truth = {b"00": False, b"01": True}.get(line)  # as protocols 0 and 1 write them
        self.append(int(line.rstrip(b"L"), 0) if truth is None else truth)

    def _refuse_number(self) -> None:
        raise InputError(f"pickle has a whole number of more than {_LONGEST_NUMBER} digits")

    def _top(self, kind: type) -> Any:
        if type(self.stack[-1]) is not kind:
            raise InputError(f"pickle fills {_describe(self.stack[-1])} as a {kind.__name__}")
        return self.stack[-1]

    def _refuse(self) -> None:
        raise InputError("pickle has an instruction that plain data does not need")


def _describe(value: Any) -> str:
    return "a global" if isinstance(value, Global) else f"a {type(value).__name__}"


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
    pickle.INT: SafeUnpickler._make_whole_number,
    pickle.LONG: SafeUnpickler._make_whole_number,
    pickle.LONG4: SafeUnpickler._refuse_number,
    pickle.EMPTY_SET: SafeUnpickler._make_set,
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
