"""Layers are matched by how deep they lie."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.geometry.layers import check_layer_pairs, match_layers


@pytest.mark.parametrize(
    ("a", "b", "wanted"),
    [
        (4, 4, [0, 1, 2, 3]),
        (4, 5, [0, 1, 3, 4]),
        (5, 4, [0, 1, 1, 2, 3]),  # the middle of five lies between two of four: the earlier
        (12, 3, [0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2]),
        (1, 4, [0]),
        (3, 1, [0, 0, 0]),
    ],
)
def test_first_meets_first_last_meets_last_and_the_rest_by_depth(a, b, wanted):
    found = match_layers(range(a), range(b), n_layers_a=a, n_layers_b=b)
    assert found == list(zip(range(a), wanted, strict=True))


def test_depth_is_that_of_the_model_not_of_the_layers_captured():
    assert match_layers([6], [5, 11], n_layers_a=12, n_layers_b=12) == [(6, 5)]
    assert match_layers([10], [0, 23], n_layers_a=12, n_layers_b=24) == [(10, 23)]


def test_the_order_of_captured_layers_does_not_matter():
    for order in ([0, 1, 2, 3], [3, 2, 1, 0]):
        assert match_layers([2], order, n_layers_a=5, n_layers_b=4) == [(2, 1)]


def test_layers_named_by_hand_are_checked():
    assert check_layer_pairs([(0, 1), (2, 1)], [0, 2], [1]) == [(0, 1), (2, 1)]
    with pytest.raises(InputError, match="layer '9' is not in the second model's vectors"):
        check_layer_pairs([(0, 9)], [0], [1])
    with pytest.raises(InputError, match="layer 0 of the first model 2 times"):
        check_layer_pairs([(0, 1), (0, 2)], [0], [1, 2])
    with pytest.raises(InputError, match="name at least one pair"):
        check_layer_pairs([], [0], [1])
