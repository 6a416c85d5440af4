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


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


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
