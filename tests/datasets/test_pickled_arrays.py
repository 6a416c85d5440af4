"""Arrays and tensors of every kind that results have held are read exactly as Python reads them."""

import io
import pickle

import numpy as np
import pytest
import torch

from emotion_circuits.datasets.safe_pickle import load_pickle

CODES = ["?", "i1", "u1", "<i2", ">i4", "i8", "u8", "f2", "f4", "f8", ">f8", "c8", "c16"]
CODES += ["S3", "<U5", ">U2"]


def arrays(code):
    """Arrays of one dtype in every layout: empty, of no axis, by columns, with gaps, reversed."""
    grid = np.arange(24).reshape(2, 3, 4)
    grid = (grid % 2).astype(code) if code == "?" else grid.astype(code)
    layouts = [grid, grid[0, 0, 0:0], grid[:, :0], np.array(grid[0, 1, 1]), np.asfortranarray(grid)]
    return [*layouts, grid[:, ::2, ::-1], grid.transpose(1, 2, 0), grid[0, 0, 1]]


@pytest.mark.parametrize("old_names", [False, True])
@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("code", CODES)
def test_numpy_values_of_any_dtype_and_layout_are_read_as_python_reads_them(
    code, protocol, old_names
):
    for array in arrays(code):
        data = pickle.dumps(array, protocol=protocol)
        expected = pickle.loads(data)
        if old_names:  # numpy 1.x writes these; the names' lengths stand before them from 4 on
            data = data.replace(b"\x8c\x16numpy._core.multiarray", b"\x8c\x15numpy.core.multiarray")
            data = data.replace(b"\x8c\x13numpy._core.numeric", b"\x8c\x12numpy.core.numeric")
            data = data.replace(b"cnumpy._core.", b"cnumpy.core.")
            data = data if protocol < 4 else without_frames(data)
            assert b"numpy._core" not in data
        loaded = load_pickle(io.BytesIO(data))
        assert type(loaded) is type(expected)
        # Some of Python's readers turn the other byte order into the machine's.
        assert loaded.dtype in (array.dtype, expected.dtype)
        assert loaded.shape == expected.shape
        assert loaded.strides == expected.strides or not loaded.size
        assert loaded.flags.c_contiguous == expected.flags.c_contiguous
        np.testing.assert_array_equal(loaded, expected)


def without_frames(data):
    """Remove the frame of a short pickle, whose length no longer fits."""
    assert data[2:3] == pickle.FRAME
    return data[:2] + data[11:]


DTYPES = [torch.bool, torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float16]
DTYPES += [torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128]


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_tensors_of_any_dtype_and_layout_are_read_as_python_reads_them(dtype, protocol):
    grid = (torch.arange(24) % 2 if dtype == torch.bool else torch.arange(24)).to(dtype)
    grid = grid.reshape(2, 3, 4)
    layouts = [grid, grid[:, :0], grid[0, 1, 1], grid[:, ::2, 1:], grid.permute(2, 0, 1)]
    for tensor in [*layouts, grid[:, :1].expand(2, 5, 4), grid.flatten()[3:]]:
        data = pickle.dumps(tensor, protocol=protocol)
        loaded, expected = load_pickle(io.BytesIO(data)), pickle.loads(data)
        assert loaded.dtype == expected.dtype
        assert loaded.stride() == expected.stride()
        assert torch.equal(loaded, expected)


def test_a_tensor_keeps_whether_it_requires_a_gradient():
    (loaded,) = load_pickle(io.BytesIO(pickle.dumps([torch.ones(2, requires_grad=True)])))
    assert loaded.requires_grad
