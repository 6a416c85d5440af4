"""Layers by number and by depth."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.layer_choice import layer_numbers
from emotion_circuits.pipelines.activations.settings import ActivationSettings


@pytest.mark.parametrize(
    ("choice", "n_layers", "wanted"),
    [
        ("all", 3, [0, 1, 2]),
        ([4, 0], 5, [4, 0]),
        ([0.2, 0.35, 0.5, 0.65], 30, [6, 10, 14, 19]),
        ([0.5], 5, [2]),
        ([0.01, 0.99], 12, [0, 11]),
        ([1, 0.5, 0.5], 3, [1]),
        ([7], 3, [7]),
    ],
)
def test_layers(choice, n_layers, wanted):
    read = ActivationSettings(layers=choice).layers
    assert read == choice
    assert layer_numbers(read, n_layers) == wanted


@pytest.mark.parametrize("choice", [[1.5], [-1], [-0.5], "some"])
def test_other_layers_are_refused(choice):
    with pytest.raises(InputError, match="layers"):
        ActivationSettings(layers=choice)
