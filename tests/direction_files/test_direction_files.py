"""Files of directions: equal to what other packages write and read, and refused if broken."""

import pickle
import struct
import time

import gguf
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import load_file, save_file

from emotion_circuits.direction_files import FORMATS, Directions, read_directions, write_directions
from emotion_circuits.errors import InputError

D_MODEL = 10  # 40 bytes, which GGUF pads to 64
METADATA = {"model_type": "gpt_neox", "emotion": "ärger", "hook_point": "resid_post"}


def drawn(layers=(1, 4, 11), width=D_MODEL, seed=0):
    rng = np.random.default_rng(seed)
    by_layer = {layer: rng.standard_normal(width).astype(np.float32) for layer in layers}
    return Directions(by_layer, METADATA)


def assert_equal(one, other):
    assert one.layers == other.layers
    assert dict(one.metadata) == dict(other.metadata)
    for layer in one.layers:
        assert other.by_layer[layer].dtype == np.float32
        assert one.by_layer[layer].tobytes() == other.by_layer[layer].tobytes()


def repeng_export(path, directions, hint="llama", own=None, extra=()):
    """As ``ControlVector.export_gguf`` of repeng, with the package gguf."""
    writer = gguf.GGUFWriter(str(path), "controlvector")
    writer.add_string("controlvector.model_hint", hint)
    writer.add_uint32("controlvector.layer_count", len(directions))
    for name, text in (own or {}).items():
        writer.add_string(f"emotion_circuits.{name}", text)
    for add in extra:
        add(writer)
    for layer, vector in directions.items():
        writer.add_tensor(f"direction.{layer}", vector)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_read_bit_by_bit(tmp_path, kind):
    path = tmp_path / f"a.{kind}"
    write_directions(path, drawn())
    assert_equal(drawn(), read_directions(path))


@pytest.mark.parametrize("kind", FORMATS)
@given(
    vector=arrays(
        np.float32, 3, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ).filter(np.any)
)
def test_any_float32_survives(tmp_path_factory, kind, vector):
    path = tmp_path_factory.mktemp("any") / f"a.{kind}"
    write_directions(path, Directions({7: vector}, METADATA))
    assert read_directions(path).by_layer[7].tobytes() == vector.tobytes()


def test_gguf_files_are_those_of_the_package_gguf(tmp_path):
    own = {name: text for name, text in METADATA.items() if name != "model_type"}
    theirs = repeng_export(tmp_path / "theirs.gguf", drawn().by_layer, "gpt_neox", own)
    write_directions(tmp_path / "ours.gguf", drawn())
    assert (tmp_path / "ours.gguf").read_bytes() == theirs.read_bytes()
    assert_equal(drawn(), read_directions(theirs))


def test_the_package_gguf_reads_our_file_as_repeng_does(tmp_path):
    write_directions(tmp_path / "ours.gguf", drawn())
    reader = gguf.GGUFReader(tmp_path / "ours.gguf")
    hint = reader.get_field("controlvector.model_hint")
    assert bytes(hint.parts[-1]).decode() == "gpt_neox"
    assert {tensor.name for tensor in reader.tensors} == {
        "direction.1",
        "direction.4",
        "direction.11",
    }
    for tensor in reader.tensors:
        layer = int(tensor.name.split(".")[1])
        assert tensor.data.tobytes() == drawn().by_layer[layer].tobytes()


def test_fields_of_other_programs_are_passed_over(tmp_path):
    extra = (
        lambda writer: writer.add_array("a.texts", ["one", "two"]),
        lambda writer: writer.add_array("a.numbers", [1.5, 2.5]),
        lambda writer: writer.add_bool("a.flag", True),
        lambda writer: writer.add_float64("a.number", 0.5),
        lambda writer: writer.add_custom_alignment(64),
    )
    path = repeng_export(tmp_path / "a.gguf", drawn().by_layer, extra=extra)
    read = read_directions(path)
    assert read.metadata == {"model_type": "llama"}
    assert read.by_layer[11].tobytes() == drawn().by_layer[11].tobytes()


def test_safetensors_files_are_those_of_the_package_safetensors(tmp_path):
    write_directions(tmp_path / "a.safetensors", drawn((0, 3)))
    tensors = load_file(tmp_path / "a.safetensors")
    assert set(tensors) == {"layer_0", "layer_3"}
    save_file(tensors, tmp_path / "plain.safetensors")
    read = read_directions(tmp_path / "plain.safetensors")
    assert read.metadata == {}
    assert read.by_layer[3].tobytes() == drawn((0, 3)).by_layer[3].tobytes()


def test_the_two_lines_of_the_docs_build_a_steering_vector(tmp_path):
    package = pytest.importorskip("steering_vectors", reason="needs the package steering-vectors")
    from safetensors.torch import load_file

    path = tmp_path / "a.safetensors"
    write_directions(path, drawn())
    tensors = load_file(path)
    vector = package.SteeringVector({int(name[6:]): each for name, each in tensors.items()})
    assert vector.layer_type == "decoder_block"
    for layer, each in vector.layer_activations.items():
        assert each.numpy().tobytes() == drawn().by_layer[layer].tobytes()


def good(**changes):
    fields = {"layers": (1, 2), "width": 4}
    return drawn(**(fields | changes))


def ones(shape=4, dtype=np.float32):
    return np.ones(shape, dtype=dtype)


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "there are no directions"),
        ({"layer_1": ones(dtype=np.float16)}, "'layer_1' is F16 of shape [4]; allowed is F32"),
        ({"layer_1": ones((2, 4))}, "'layer_1' is F32 of shape [2, 4]; allowed is F32, one"),
        ({"layer_1": ones(), "layer_2": ones(5)}, "layer 2 has shape [5]"),
        ({"blocks.1": ones()}, "'blocks.1' is no direction; allowed are names layer_<n>"),
        ({"layer_01": ones()}, "'layer_01' is no direction"),
        ({"layer_1": 0 * ones()}, "direction of layer 1 is zero"),
        ({"layer_1": np.nan * ones()}, "layer 1 has NaN"),
        ({"layer_99999": ones()}, "layer is 99999; allowed are 0 to 9999"),
    ],
)
def test_safetensors_that_are_no_directions_are_refused_in_one_line(tmp_path, tensors, message):
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(InputError) as caught:
        read_directions(tmp_path / "a.safetensors")
    assert message in str(caught.value)
    assert "a.safetensors" in str(caught.value)


@pytest.mark.parametrize(
    ("directions", "message"),
    [
        (
            {1: ones(dtype=np.float16)},
            "'direction.1' has GGUF's type 1; allowed is 0",
        ),
        ({0: ones()}, "direction.0 is there; llama.cpp counts from 1"),
        ({1: ones((2, 4))}, "'direction.1' has 2 axes; allowed is one"),
        ({1: ones(), 2: ones(5)}, "layer 2 has shape [5]"),
        ({"x": ones()}, "tensor 'direction.x' is no direction"),
        ({}, "there are no directions"),
    ],
)
def test_gguf_that_is_no_control_vector_is_refused_in_one_line(tmp_path, directions, message):
    path = repeng_export(tmp_path / "a.gguf", directions)
    with pytest.raises(InputError) as caught:
        read_directions(path)
    assert message in str(caught.value)
    assert "a.gguf" in str(caught.value)


def test_a_model_in_gguf_is_no_control_vector(tmp_path):
    writer = gguf.GGUFWriter(str(tmp_path / "a.gguf"), "llama")
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(InputError, match=r"general\.architecture is 'llama'; allowed is 'contr"):
        read_directions(tmp_path / "a.gguf")


def test_other_files_are_refused_in_one_line(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_directions(tmp_path / "missing.gguf")
    with pytest.raises(InputError, match=r"known: \.safetensors, \.gguf; nearest: \.gguf"):
        read_directions(tmp_path / "a.ggf")
    (tmp_path / "a.gguf").write_bytes(b"not this")
    with pytest.raises(InputError, match="this is no GGUF file"):
        read_directions(tmp_path / "a.gguf")
    (tmp_path / "a.safetensors").write_bytes(b"\xff" * 64)
    with pytest.raises(InputError, match="this is no whole safetensors file"):
        read_directions(tmp_path / "a.safetensors")
    with (tmp_path / "large.gguf").open("wb") as file:
        file.truncate(2**28 + 1)  # a hole, which takes no space
    with pytest.raises(InputError, match="268435457 bytes; allowed are 268435456"):
        read_directions(tmp_path / "large.gguf")


def test_a_pickle_is_refused_before_it_is_opened(tmp_path):
    ran = tmp_path / "ran"

    class Harmful:
        def __reduce__(self):
            return ran.touch, ()

    (tmp_path / "a.pt").write_bytes(pickle.dumps(Harmful()))
    with pytest.raises(InputError, match="pickles may run code and are not read"):
        read_directions(tmp_path / "a.pt")
    assert not ran.exists()


def test_every_beginning_of_a_file_is_refused(tmp_path):
    for kind in FORMATS:
        whole = tmp_path / f"a.{kind}"
        write_directions(whole, good())
        data = whole.read_bytes()
        # The last vector of 16 bytes is padded to 32, which a reader can do without.
        for size in range(len(data) - 16 if kind == "gguf" else len(data)):
            whole.write_bytes(data[:size])
            with pytest.raises(InputError):
                read_directions(whole)


def test_changed_bytes_are_read_or_refused_but_never_worse(tmp_path):
    rng = np.random.default_rng(0)
    refused = 0
    for kind in FORMATS:
        path = tmp_path / f"a.{kind}"
        write_directions(path, good())
        data = path.read_bytes()
        for _ in range(600):
            changed = bytearray(data)
            for at in rng.integers(0, len(data), rng.integers(1, 4)):
                changed[at] = rng.integers(0, 256)
            path.write_bytes(changed)
            try:
                assert isinstance(read_directions(path), Directions)
            except InputError:
                refused += 1
    assert 200 < refused < 1200


@pytest.mark.parametrize(
    "rest",
    [
        struct.pack("<QQ", 0, 2**63),  # fields
        struct.pack("<QQ", 2**63, 0),  # tensors
        # A field with an array of 2⁶² texts, and one of 2⁶² numbers.
        struct.pack("<QQQ1sIIQ", 0, 1, 1, b"a", 9, 8, 2**62),
        struct.pack("<QQQ1sIIQ", 0, 1, 1, b"a", 9, 0, 2**62),
        # A text of 2⁶³ bytes.
        struct.pack("<QQQ1sIQ", 0, 1, 1, b"a", 8, 2**63),
    ],
)
def test_counts_that_no_file_can_hold_are_refused_at_once(tmp_path, rest):
    path = tmp_path / "a.gguf"
    path.write_bytes(b"GGUF" + struct.pack("<I", 3) + rest)
    started = time.perf_counter()
    with pytest.raises(InputError):
        read_directions(path)
    assert time.perf_counter() - started < 1


def test_tensors_that_share_their_bytes_are_refused(tmp_path):
    """Else a small file could ask for its bytes ten thousand times."""
    path = tmp_path / "a.gguf"
    write_directions(path, good(width=64))
    data = path.read_bytes()
    second = data.index(b"direction.2") + len(b"direction.2")
    overlapping = bytearray(data[: len(data) - 256])
    overlapping[second + 16 : second + 24] = struct.pack("<Q", 0)
    path.write_bytes(overlapping)
    with pytest.raises(InputError, match="ends too early"):
        read_directions(path)


def test_gguf_needs_an_architecture_and_a_layer_from_1(tmp_path):
    with pytest.raises(InputError, match="GGUF has no place for layer 0"):
        write_directions(tmp_path / "a.gguf", drawn((0, 1)))
    with pytest.raises(InputError, match="GGUF needs model_type"):
        write_directions(tmp_path / "a.gguf", Directions({1: ones()}))
