"""Reader for pickles from untrusted sources: it loads data and never runs code."""

from __future__ import annotations

from typing import Any, BinaryIO, ClassVar

from emotion_circuits.datasets.plain_data import check_plain
from emotion_circuits.datasets.safe_unpickler import Global, SafeUnpickler
from emotion_circuits.datasets.torch_storage import read_storage
from emotion_circuits.errors import InputError

_STORAGE = Global(None)


class ResultUnpickler(SafeUnpickler):
    """The unpickler for results: plain data, and torch tensors over a storage of their own."""

    known: ClassVar[dict[tuple[str, str], Global]] = {
        **SafeUnpickler.known,
        ("torch.storage", "_load_from_bytes"): _STORAGE,
    }

    def call(self, function: Global, arguments: list[Any]) -> Any:
        """Call a builder; a storage is itself a file of pickles, which shares the allowance."""
        if function is _STORAGE:
            (data,) = arguments
            return read_storage(data, self.allowance)
        return super().call(function, arguments)


def load_pickle(file: BinaryIO) -> Any:
    """Read one object of plain data.

    Args:
        file: A seekable binary file at the start of a pickle.

    Returns:
        The object, with all tensors on the CPU and all dictionaries as plain ``dict``.

    Raises:
        InputError: If the pickle is corrupt, holds anything but plain data, or would take far more
            time or memory than its size accounts for.
    """
    try:
        unpickler = ResultUnpickler(file)
        loaded = unpickler.load()
        check_plain(loaded, unpickler.n_bytes)
    except InputError:
        raise
    except Exception as error:  # a corrupt pickle can raise almost any exception
        raise InputError(f"not a readable pickle: {type(error).__name__}: {error}") from error
    return loaded
