"""Devices: the best one by default, and nested data moved as a whole."""

from collections import OrderedDict, namedtuple

import pytest
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.language_models import (
    get_default_device,
    get_default_device_str,
    move_to_device,
    resolve_device,
)

Pair = namedtuple("Pair", "left right")


@pytest.mark.parametrize(
    ("mps", "cuda", "expected"),
    [(True, True, "mps"), (False, True, "cuda"), (False, False, "cpu")],
)
def test_mps_goes_before_cuda_and_cuda_before_cpu(monkeypatch, mps, cuda, expected):
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    assert get_default_device_str() == expected
    assert get_default_device() == torch.device(expected)
    assert resolve_device("auto") == torch.device(expected)


def test_nested_data_keeps_its_types_and_moves_every_tensor():
    # The meta device is on every machine, and is not the CPU.
    data = {
        "list": [torch.ones(2), "text"],
        "pair": Pair(torch.ones(1), 3),
        "tuple": (torch.ones(1), None),
        "ordered": OrderedDict(a=torch.ones(1)),
    }
    moved = move_to_device(data, "meta")
    assert moved["list"][0].is_meta
    assert moved["list"][1] == "text"
    assert isinstance(moved["pair"], Pair)
    assert moved["pair"].left.is_meta
    assert moved["pair"].right == 3
    assert moved["tuple"][0].is_meta
    assert isinstance(moved["ordered"], OrderedDict)
    assert moved["ordered"]["a"].is_meta
    assert not data["list"][0].is_meta


@pytest.mark.parametrize("nonsense", ["gpu", "cuda:x", "", "meta"])
def test_a_name_that_is_no_device_is_refused(nonsense):
    with pytest.raises(InputError, match="allowed are auto, cpu"):
        resolve_device(nonsense)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_model_runs_on_cuda_and_agrees_with_the_cpu(tmp_path):
    from architectures import CORPUS, save_architecture
    from emotion_circuits.interventions import capture_residual
    from emotion_circuits.language_models import ModelSpec, encode_prompts, load_language_model

    folder = save_architecture("llama", tmp_path)
    streams = []
    for device in ("cpu", "cuda"):
        model = load_language_model(ModelSpec(name="m", source=str(folder), device=device))
        encoded = encode_prompts(model, CORPUS)
        streams.append(capture_residual(model, encoded, layers=[0, 1])["resid_post"])
    torch.testing.assert_close(streams[0], streams[1], atol=1e-3, rtol=1e-3)
