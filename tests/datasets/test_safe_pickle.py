"""Result pickles hold data; anything that could run code is refused by its name."""

import collections
import io
import os
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emotion_circuits.datasets.safe_pickle import load_pickle
from emotion_circuits.errors import InputError
from pickled_programs import NDARRAY, RECONSTRUCT, Runs, dtype, storage_bytes, tensor


def reload(data, protocol=5):
    return load_pickle(io.BytesIO(pickle.dumps(data, protocol=protocol)))


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(PLAIN)
def test_plain_containers_come_back_as_they_were(data):
    assert reload(data) == data


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_and_tensors_come_back_as_they_were(protocol):
    data = {
        "float": np.arange(6.0).reshape(2, 3),
        "text": np.array(["a", "bc"]),
        "scalar": np.float32(1.5),
        "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
        "tensor": torch.arange(12.0).reshape(3, 4)[:, ::2],
        "bool": torch.tensor([True, False]),
        "half": torch.ones(2, dtype=torch.bfloat16),
        "set": {1, 2},
        "ordered": collections.OrderedDict(a=1),
    }
    loaded = reload(data, protocol)
    np.testing.assert_array_equal(loaded["float"], data["float"])
    np.testing.assert_array_equal(loaded["text"], data["text"])
    np.testing.assert_array_equal(loaded["fortran"], data["fortran"])
    assert loaded["scalar"] == data["scalar"]
    for name in ("tensor", "bool", "half"):
        assert loaded[name].dtype == data[name].dtype
        assert torch.equal(loaded[name], data[name])
    assert loaded["set"] == {1, 2}
    assert loaded["ordered"] == data["ordered"]


def boom():
    raise AssertionError("code in a pickle was run")


@pytest.mark.parametrize(
    ("function", "arguments", "name"),
    [
        (eval, ("1",), "builtins.eval"),
        (getattr, ("", "join"), "builtins.getattr"),
        (os.system, ("true",), f"{os.system.__module__}.system"),
        (np.load, ("x",), "numpy.load"),
        (torch.load, ("x",), "torch.serialization.load"),
        (print, (), "builtins.print"),
    ],
)
def test_a_foreign_callable_is_refused_by_name(function, arguments, name):
    with pytest.raises(InputError, match=name):
        reload(Runs(function, *arguments))


def test_a_foreign_class_is_refused_by_name():
    with pytest.raises(InputError, match=r"collections\.Counter"):
        reload({"counts": collections.Counter("ab")})


def test_a_pickle_hidden_in_a_tensor_storage_is_refused_unrun():
    inner = io.BytesIO()
    torch.save(Runs(boom), inner)
    outer = Runs(torch.storage._load_from_bytes, inner.getvalue())
    with pytest.raises(InputError) as caught:
        reload(outer)
    assert "was run" not in str(caught.value)


def test_a_torn_pickle_is_one_line():
    whole = pickle.dumps({"a": list(range(100))})
    with pytest.raises(InputError, match="not a readable pickle") as caught:
        load_pickle(io.BytesIO(whole[: len(whole) // 2]))
    assert "\n" not in str(caught.value)


# What a hostile file does, and the words of the refusal.
HOSTILE = {
    # An array of pointers over bytes of the file's choice: read, it ends the process.
    "pointers over own bytes": (NDARRAY + b"(I1\nVO\nC\x08AAAAAAAAtR.", "calls a global"),
    "array class over own bytes": (
        NDARRAY + b"((I4\ntVf8\nC\x08AAAAAAAAtR.",
        "calls a global",
    ),
    "array of objects": (
        RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntC\x01btR(I1\n(I1\nt" + dtype("O8") + b"I00\n(ltb.",
        "dtype 'O8'",
    ),
    "structured dtype": (dtype("f8,O") + b".", "dtype 'f8,O'"),
    "array longer than its bytes": (
        RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntC\x01btR(I1\n(I4\nt" + dtype("f8") + b"I00\n"
        b"C\x08AAAAAAAAtb.",
        r"array \(4,\) of float64 \(32 bytes\) over 8",
    ),
    "array of negative length": (
        RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntC\x01btR(I1\n(I-1\nt" + dtype("f8") + b"I00\n"
        b"C\x00tb.",
        "whole numbers from 0",
    ),
    "array without content": (RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntC\x01btR.", "no data"),
    "state of a function": (RECONSTRUCT + b"}(V__doc__\nVx\nub.", "sets the state of a global"),
    "state of a dictionary": (b"}}(V__class__\nVx\nub.", "sets the state of a dict"),
    "state of a dtype twice": (dtype("f8")[:-1] + b"b(I3\nV<\nNNNI-1\nI-1\nI0\ntb.", "state of"),
    "bare class": (NDARRAY + b".", "no data"),
    "new object": (NDARRAY + b")\x81.", "does not need"),
    "persistent id": (b"Vx\nQ.", "does not need"),
    "out-of-band buffer": (b"\x97.", "does not need"),
    "bytes beyond the file": (b"\x96\xff\xff\xff\xff\xff\xff\x00\x00.", "EOFError"),
    "tuples nested in a key": (b"}" + b"N" + b"\x85" * 200_000 + b"Ns.", "tuple as a key"),
    "tuples nested in a set": (b"\x8f(N" + b"\x85" * 200_000 + b"\x90.", "tuple as a key"),
    "text as storage": (b"ctorch.storage\n_load_from_bytes\n(Vx\ntR.", "over str"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_is_refused_in_one_line(name):
    data, words = HOSTILE[name]
    with pytest.raises(InputError, match=words) as caught:
        load_pickle(io.BytesIO(data))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("offset", "size", "stride"),
    [(0, (9,), (1,)), (1, (8,), (1,)), (0, (2, 2), (7, 1)), (0, (2,), (10**12,)), (-1, (1,), (1,))],
)
def test_a_tensor_that_reaches_beyond_its_storage_is_refused(offset, size, stride):
    data = tensor(torch.arange(8.0), offset, size, stride)
    with pytest.raises(InputError, match=r"over a storage|whole numbers"):
        load_pickle(io.BytesIO(data))


def test_a_storage_that_promises_more_than_it_holds_is_refused():
    whole = storage_bytes(torch.arange(8.0))
    for cut in (1, 8, 33, 60):
        outer = Runs(torch.storage._load_from_bytes, whole[:-cut])
        with pytest.raises(InputError):
            reload(outer)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
def test_values_named_twice_are_one_object(protocol):
    array, tensor = np.arange(6.0)[::2], torch.arange(3)
    loaded = reload({"first": array, "again": [array, tensor], "tensor": tensor}, protocol)
    assert loaded["first"] is loaded["again"][0]
    assert loaded["tensor"] is loaded["again"][1]
    np.testing.assert_array_equal(loaded["first"], array)


@pytest.mark.parametrize("protocol", [2, 4, 5])
def test_arrays_of_either_byte_order_and_any_layout_come_back(protocol):
    arrays = [
        np.arange(6, dtype=">i4"),
        np.arange(6, dtype="<i4"),
        np.zeros((0, 3)),
        np.array(2.5),
        np.arange(24).reshape(2, 3, 4).transpose(1, 0, 2),
        np.array([b"ab", b"c"]),
        np.array([1 + 2j]),
    ]
    for array, loaded in zip(arrays, reload(arrays, protocol), strict=True):
        assert loaded.dtype == array.dtype
        assert loaded.shape == array.shape
        np.testing.assert_array_equal(loaded, array)
        assert loaded.flags.writeable


MIXED = {
    "array": np.arange(6.0).reshape(2, 3),
    "strided": np.arange(6)[::2],
    "text": np.array(["a", "bc"]),
    "scalar": np.float32(1.5),
    "tensor": torch.arange(12.0).reshape(3, 4)[:, ::2],
    "default": collections.defaultdict(list, a=[1]),
    "nested": [{"a": (1, 2.5, None, True)}, {3}, b"bytes", bytearray(b"x")],
}


@given(
    st.sampled_from([2, 4, 5]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_a_file_with_broken_bytes_is_read_or_refused_and_nothing_else(protocol, changes):
    data = bytearray(pickle.dumps(MIXED, protocol=protocol))
    for place, value in changes:
        data[place % len(data)] = value
    try:
        found = load_pickle(io.BytesIO(bytes(data)))
    except InputError as refused:
        assert "\n" not in str(refused)  # noqa: PT017 - either is right
    else:
        repr(found)  # every value can be looked at


@given(st.binary(max_size=200))
def test_random_bytes_are_read_or_refused(data):
    try:
        repr(load_pickle(io.BytesIO(data)))
    except InputError as refused:
        assert "\n" not in str(refused)  # noqa: PT017
