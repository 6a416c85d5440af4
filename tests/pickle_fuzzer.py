"""Reads mutated pickles under a limit of memory and reports what happened; run as a program.

``python pickle_fuzzer.py <source folder> <number of files> <seed>`` writes one line of JSON. With
``--control``, Python's own reader, limited to numpy's and torch's names, takes the reader's place.
"""

import collections
import io
import json
import pickle
import random
import resource
import sys
import types
from contextlib import suppress
from pathlib import Path
from time import process_time

import numpy as np
import psutil
import torch

LIMIT = 2 * 2**30
# Reading a pickle may do none of these. Python reports them before they happen.
FORBIDDEN = ("open", "exec", "compile", "import", "os.", "subprocess.", "socket.", "ctypes.")
FORBIDDEN += ("shutil.", "marshal.", "pickle.", "tempfile.", "code.", "object.__setattr__")


def import_reader(source):
    """Import the reader without its package's other modules, whose libraries reserve over 2 GiB."""
    sys.path.insert(0, str(source))
    package = types.ModuleType("emotion_circuits.datasets")
    package.__path__ = [str(source / "emotion_circuits" / "datasets")]
    sys.modules["emotion_circuits.datasets"] = package
    from emotion_circuits.datasets.safe_pickle import load_pickle
    from emotion_circuits.errors import InputError

    return load_pickle, InputError


class ControlUnpickler(pickle.Unpickler):
    """Python's reader, for whatever numpy and torch define."""

    def find_class(self, module, name):
        if module.split(".")[0] not in ("numpy", "torch", "collections", "_codecs"):
            raise pickle.UnpicklingError(f"{module}.{name}")
        return super().find_class(module, name)


def control(file):
    try:
        return ControlUnpickler(file).load()
    except Exception as error:
        raise ValueError(str(error)) from error


MIXED = {
    "array": np.arange(6.0).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3)),
    "strided": np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
    "text": np.array(["a", "bc"]),
    "truth": np.array([True, False]),
    "scalar": np.float32(1.5),
    "tensor": torch.arange(12.0).reshape(3, 4)[:, ::2],
    "half": torch.ones(2, dtype=torch.bfloat16),
    "flags": torch.tensor([True, False]),
    "default": collections.defaultdict(list, a=[1]),
    "nested": [{"a": (1, 2.5, None, True)}, {3}, b"bytes", bytearray(b"x"), 10**30, 1 + 2j],
    ("a", 1): frozenset({1, "b"}),
}


def seeds():
    """Whole pickles that the mutations start from."""
    parts = [MIXED, MIXED["array"], MIXED["tensor"], MIXED["flags"], MIXED["nested"], MIXED["text"]]
    whole = [pickle.dumps(part, protocol=n) for part in parts for n in range(6)]
    renamed = [data.replace(b"numpy._core", b"numpy.core") for data in whole[2::6]]
    return [*whole, *renamed]


# Instructions, and arguments that have broken readers before.
PIECES = [bytes([code]) for code in pickle._Unpickler.dispatch]
PIECES += [n.to_bytes(size, "little", signed=True) for n in (-1, 0, 1) for size in (1, 4, 8)]
PIECES += [b"cnumpy\nndarray\n", b"cnumpy\ndtype\n", b"cbuiltins\neval\n", b"cos\nsystem\n"]
PIECES += [b"\xff\xff\xff\x7f", b"\x00\x00\x00\x80", b"O8", b"V8", b"S0", b"U9", b"I-1\n", b"2\x86"]


def mutated(rng, whole):
    """Return a pickle with one to eight changes; half of all have one."""
    data = bytearray(rng.choice(whole))
    for _ in range(rng.choice([1, 1, 1, 2, 4, 8])):
        start = rng.randrange(len(data) + 1)
        end = min(len(data), start + rng.randint(1, 12))
        kind = rng.randrange(7)
        if kind == 0 and start < len(data):
            data[start] = rng.randrange(256)
        elif kind == 1 and start < len(data):
            data[start] ^= 1 << rng.randrange(8)
        elif kind == 2:
            data[start:start] = rng.choice(PIECES)
        elif kind == 3:
            del data[start:end]
        elif kind == 4:
            data[start:start] = data[start:end] * rng.randint(1, 20)
        elif kind == 5:
            other = rng.choice(whole)
            cut = rng.randrange(len(other))
            data[start:start] = other[cut : cut + rng.randint(1, 80)]
        else:
            piece = rng.choice(PIECES)
            data[start : start + len(piece)] = piece
    return bytes(data)


def use(value):
    """Touch all the memory of a loaded object, as a reader of results would."""
    match value:
        case dict():
            for item in value.items():
                use(item)
        case list() | tuple() | set() | frozenset():
            for item in value:
                use(item)
        case np.ndarray() | np.generic():
            value.tolist()
        case torch.Tensor():
            value.detach().clone().tolist()
    repr(value)


class Watch:
    """Counts what the reader must not do while it is ``on``."""

    def __init__(self):
        self.on = False
        self.seen = collections.Counter()
        sys.addaudithook(self)

    def __call__(self, event, arguments):
        if self.on and event.startswith(FORBIDDEN):
            self.seen[f"{event} {arguments!r}"[:200]] += 1


def fuzz(load_pickle, input_error, n_files, seed):
    """Read mutated pickles; return counts and the largest time and growth."""
    rng, whole, watch = random.Random(seed), seeds(), Watch()
    for data in whole:  # also imports what numpy and torch import at first use
        with suppress(ValueError):
            use(load_pickle(io.BytesIO(data)))
    process = psutil.Process()
    report = {"loaded": 0, "refused": 0, "slowest": 0.0, "several_lines": 0}
    for index in range(n_files):
        if index == n_files // 10:
            before = process.memory_info().rss
        data, started = mutated(rng, whole), process_time()
        watch.on = True
        try:
            value = load_pickle(io.BytesIO(data))
        except input_error as refused:
            report["refused"] += 1
            report["several_lines"] += "\n" in str(refused)
        else:
            watch.on = False
            use(value)
            report["loaded"] += 1
            del value
        watch.on = False
        report["slowest"] = max(report["slowest"], process_time() - started)
    report["growth_mib"] = (process.memory_info().rss - before) / 2**20
    assert np.dtype("f8").itemsize == 8
    assert np.dtype("f8").isnative
    return report | {"forbidden": dict(watch.seen)}


def main():
    """Limit the memory, then fuzz."""
    torch.set_num_threads(1)
    load_pickle, input_error = import_reader(Path(sys.argv[1]))
    if "--control" in sys.argv:
        load_pickle, input_error = control, ValueError
    resource.setrlimit(resource.RLIMIT_AS, (LIMIT, LIMIT))
    report = fuzz(load_pickle, input_error, int(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
