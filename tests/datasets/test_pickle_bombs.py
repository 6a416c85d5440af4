"""Small files that would take much time or memory are refused before they do."""

import io
import json
import pickle
import struct
import tracemalloc
from time import process_time

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.datasets.plain_data import check_plain
from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError
from pickled_programs import (
    Runs,
    array,
    dtype,
    get,
    put,
    storage_bytes,
    tensor,
    text,
    whole_number,
)

PRIME = 2**61 - 1  # Python's hash of a whole number is its rest by this prime


def copies(made, call, number=200_000):
    """A value of 400 kB in the memo, and many calls that copy it, six bytes each."""
    return (
        b"(" + made + put(1) + b"0" + call + put(2) + b"0" + (get(2) + get(1) + b"\x85R") * number
    )


def storage_that_takes_long_to_read():
    """A storage without values whose first pickle, which is not used, is long."""
    header = storage_bytes(torch.zeros(0))
    magic = pickle.dumps(torch.serialization.MAGIC_NUMBER, protocol=2)
    assert header.startswith(magic)
    data = b"\x80\x02](" + b"N" * 200 + b"e." + header.removeprefix(magic)
    return b"B" + struct.pack("<I", len(data)) + data


NESTED = b"N" + b"2\x86" * 60  # 2 ** 60 values in 121 bytes

# What a file does, and the words of the refusal.
BOMBS = {
    "far place in the memo": (b"\x8c\x01xr\xfe\xff\xff\xff.", "numbers an object 4294967294"),
    "far place in the memo as text": (b"Vx\np400000000\n.", "numbers an object 400000000"),
    "place before the memo": (b"Vx\np-1\n.", "numbers an object -1"),
    "tuples of themselves": (NESTED + b".", "parts are named so often"),
    "lists of themselves": (
        b"]" + put(0) + b"".join(b"](" + get(n) * 9 + b"e" + put(n + 1) for n in range(40)) + b".",
        "parts are named so often",
    ),
    "tuples of themselves as a key": (b"}" + NESTED + b"Ns.", "tuple as a key"),
    "wide tuples of themselves as a key": (
        b"}("
        + b"N" * 999
        + b"t"
        + put(0)
        + b"0"
        + b"".join(b"(" + get(n) * 999 + b"t" + put(n + 1) + b"0" for n in range(3))
        + get(3)
        + b"Ns.",
        "more than 64 values as a key",
    ),
    "deep lists": (b"]" * 100_000 + b"a" * 99_999 + b".", "deeper than 100"),
    "deep tuples": (b"N" + b"\x85" * 100_000 + b".", "deeper than 100"),
    "list in itself": (b"]" + put(0) + get(0) + b"a.", "holds itself"),
    "dictionary in itself": (b"}" + put(0) + b"V\n]" + get(0) + b"as.", "holds itself"),
    "copies of a list": (
        copies(b"]" + put(0) + b"(" + b"N" * 400_000 + b"e", b"c__builtin__\nlist\n") + b"l.",
        "16 times its own size",
    ),
    "copies of bytes": (
        copies(text("x" * 400_000), b"c__builtin__\nbytearray\n") + b"l.",
        "16 times its own size",
    ),
    "copies of an array": (
        b"(B"
        + struct.pack("<I", 400_000)
        + b"A" * 400_000
        + put(1)
        + b"0"
        + dtype("f4")
        + put(2)
        + b"0"
        + (
            b"cnumpy._core.multiarray\n_reconstruct\n(NNNtR(I1\n(I100000\nt"
            + get(2)
            + b"I00\n"
            + get(1)
            + b"tb"
        )
        * 5_000
        + b"l.",
        "16 times its own size",
    ),
    "copies of a storage": (
        copies(storage_that_takes_long_to_read(), b"ctorch.storage\n_load_from_bytes\n", 20_000)
        + b"l.",
        "16 times its own size",
    ),
    "sets of a byte each": (b"]" + b"(" + b"\x8f" * 500_000 + b"e.", "16 times its own size"),
    "texts without width": (array("S0", 10**12, b""), "without width"),
    "tensor of one value repeated": (
        tensor(torch.ones(1), 0, (10**6, 10**6), (0, 0)),
        "16 times its own size",
    ),
    "numbers of one hash as keys": (
        b"}(" + b"".join(whole_number(n * PRIME) + b"N" for n in range(100_000)) + b"u.",
        "keys that are not all texts",
    ),
    "numbers of one hash as keys, one by one": (
        b"}" + b"".join(whole_number(n * PRIME) + b"Ns" for n in range(100_000)) + b".",
        "keys that are not all texts",
    ),
    "numbers of one hash in a set": (
        b"\x8f(" + b"".join(map(whole_number, range(0, 100_000 * PRIME, PRIME))) + b"\x90.",
        "keys that are not all texts",
    ),
    "long texts as keys": (b"}" + text("x" * 70_000) + b"Ns.", "65,536 characters"),
    "long texts in keys": (b"}" + text("x" * 70_000) + b"\x85Ns.", "65,536 characters"),
    "number of many bytes": (b"\x8b\x00\x01\x00\x00" + b"\x01" * 256 + b".", "614 digits"),
    "number of many digits": (b"I" + b"9" * 5000 + b"\n.", "614 digits"),
    "number of many hexadecimal digits": (b"L0x" + b"9" * 10**6 + b"L\n.", "614 digits"),
    "nested values as a dtype's code": (
        b"cnumpy\ndtype\n(" + NESTED + b"I00\nI01\ntR.",
        "dtype tuple",
    ),
    "nested values as a dtype's state": (
        b"cnumpy\ndtype\n(Vf8\nI00\nI01\ntR(I3\nV<\n" + NESTED + b"NNI-1\nI-1\nI0\ntb.",
        "a state that is not plain data",
    ),
    "nested values as a shape": (
        array("f8", 1, b"A" * 8).replace(b"(I1\nt", NESTED) + b".",
        "shape a tuple|up to 64 numbers",
    ),
    "truth values of two": (array("b1", 2, b"\x01\x02") + b".", "neither true nor false"),
    "characters that do not exist": (array("U1", 1, b"\xff" * 4) + b".", "do not exist"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_before_it_costs_much(name):
    data, words = BOMBS[name]
    started = process_time()
    with pytest.raises(InputError, match=words) as refused:
        load_pickle(io.BytesIO(data))
    seconds = process_time() - started
    assert len(str(refused.value)) < 500
    # An ordinary pickle takes about a second per MiB. Hashes of 8,192 keys that collide and 16 MiB
    # of copies take a few seconds, whatever the size.
    assert seconds < 10 + 10 * len(data) / 2**20
    # 16 MiB and 16 bytes per byte for copies; an instruction of one byte takes about 100 bytes.
    assert traced_peak(data) < 40 * 2**20 + 150 * len(data)


def traced_peak(data):
    """Most bytes in use while a pickle is read."""
    tracemalloc.start()
    try:
        with pytest.raises(InputError):
            load_pickle(io.BytesIO(data))
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_tensor_of_truth_values_holds_only_zero_and_one():
    data = bytearray(storage_bytes(torch.tensor([True, False])))
    assert data[-2:] == b"\x01\x00"
    data[-1] = 7
    with pytest.raises(InputError, match="neither true nor false"):
        load_pickle(io.BytesIO(pickle.dumps(Runs(torch.storage._load_from_bytes, bytes(data)))))


def nested(depth):
    value = []
    for _ in range(depth - 1):
        value = [value]
    return value


# The same constructions within the limits.
ALLOWED = {
    "deep": nested(100),
    "named often": [[["x"] * 50] * 50] * 50,
    "numbers as keys": dict.fromkeys(range(8192)),
    "numbers of one hash": {n * PRIME for n in range(1000)},
    "tuples as keys": {(layer, head, ("a", 1.5)): 0 for layer in range(64) for head in range(64)},
    "long key": {"x" * 2**16: 1},
    "many texts as keys": {str(n): n for n in range(50_000)},
    "large number": 10**613,
    "negative number": -(2**2039),
    "empty sets": [set() for _ in range(50_000)],
    "copied bytes": [bytearray(b"x" * 1000) for _ in range(1000)],
}


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
@pytest.mark.parametrize("name", ALLOWED)
def test_what_results_may_hold_is_read_exactly(name, protocol):
    data = pickle.dumps(ALLOWED[name], protocol=protocol)
    assert load_pickle(io.BytesIO(data)) == ALLOWED[name]


def test_an_expanded_tensor_is_read_exactly():
    expanded = torch.arange(3.0).expand(1000, 3)
    loaded = load_pickle(io.BytesIO(pickle.dumps(expanded)))
    assert loaded.stride() == expanded.stride() == (0, 1)
    assert torch.equal(loaded, expanded)


JSON = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=30,
)


def levels_and_values(value):
    """How deep containers are nested and how many values they hold, by plain recursion."""
    if not isinstance(value, list | dict):
        return 0, 0
    inner = [levels_and_values(v) for v in (value.values() if isinstance(value, dict) else value)]
    deepest = max((levels for levels, _ in inner), default=0)
    return 1 + deepest, 1 + len(inner) + sum(n for _, n in inner)


@given(JSON, st.integers(0, 50_000))
def test_the_check_counts_levels_and_values_as_plain_recursion_does(value, n_copies):
    shared = [value] * n_copies  # named many times, so that both answers occur
    _, n_values = levels_and_values(value)
    in_full = 1 + n_copies * (1 + n_values)
    if in_full > 1_000_000:
        with pytest.raises(InputError, match="1,000,000 values"):
            check_plain(shared, 0)
    else:
        check_plain(shared, 0)


@given(JSON, st.integers(60, 110))
def test_the_check_refuses_exactly_what_is_too_deep(value, n_levels):
    levels, _ = levels_and_values(value)
    for _ in range(n_levels):
        value = [value]
    if levels + n_levels > 100:
        with pytest.raises(InputError, match="deeper than 100"):
            check_plain(value, 0)
    else:
        check_plain(value, 0)


@pytest.mark.parametrize("value", [object(), print, json, np.array, io.BytesIO(), (1, [object])])
def test_the_check_refuses_anything_but_plain_data(value):
    with pytest.raises(InputError, match="given no data"):
        check_plain(value, 10)
