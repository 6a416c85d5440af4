"""Pickles written instruction by instruction, as no writer of results would write them."""

import io
import pickle
import struct

import torch

NDARRAY = b"cnumpy\nndarray\n"
RECONSTRUCT = b"cnumpy._core.multiarray\n_reconstruct\n"
DTYPE = b"cnumpy\ndtype\n"


class Runs:
    """Pickles as a call of any function."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def dtype(code):
    """A pickled dtype in native byte order, as numpy writes it."""
    text = code.encode()
    return DTYPE + b"(V" + text + b"\nI00\nI01\ntR(I3\nV<\nNNNI-1\nI-1\nI0\ntb"


def array(code, shape, data):
    """A pickled array of one axis."""
    content = b"B" + struct.pack("<I", len(data)) + data
    start = RECONSTRUCT + b"(" + NDARRAY + b"(I0\ntC\x01btR"
    return start + b"(I1\n(I%d\nt" % shape + dtype(code) + b"I00\n" + content + b"tb"


def put(number):
    return b"r" + struct.pack("<I", number)


def get(number):
    return b"j" + struct.pack("<I", number)


def whole_number(value):
    data = value.to_bytes(16, "little", signed=True)
    return b"\x8a\x10" + data


def text(value):
    data = value.encode()
    return b"X" + struct.pack("<I", len(data)) + data


def storage_bytes(tensor):
    """What torch writes for a tensor's memory."""
    file = io.BytesIO()
    torch.save(tensor._typed_storage(), file, _use_new_zipfile_serialization=False)
    return file.getvalue()


def tensor(storage, offset, size, stride):
    """A pickled tensor with any geometry over a storage."""
    rebuild = torch._utils._rebuild_tensor_v2
    built = Runs(rebuild, storage._typed_storage(), offset, size, stride, False, {})
    return pickle.dumps(built)
