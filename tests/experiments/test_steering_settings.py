"""Settings of steering: what is impossible is one line, what is possible means what it says."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.steering_settings import SteeringSettings


@pytest.mark.parametrize(
    ("raw", "line"),
    [
        ({"alphas": []}, "alphas is"),
        ({"alphas": [1.0, 1.0]}, "alphas is .*: the same value stands twice"),
        ({"alphas": [float("nan")]}, "alphas.0 is nan"),
        ({"rows": 0}, "rows is 0: allowed are auto and whole numbers from 1"),
        ({"window": 0}, "window is 0"),
        ({"schedule": "list"}, "schedule list needs strengths"),
        ({"strengths": [1.0]}, "no other schedule has them"),
        ({"operator": "ad"}, "operator is 'ad'"),
        ({"layers_up_to": 0}, "layers_up_to is 0: .*greater than 0"),
        ({"layers_up_to": 1.2}, "layers_up_to is 1.2: .*less than or equal to 1"),
        ({"num_covariance": -1}, "num_covariance is -1"),
        ({"num_randm": 1}, "'num_randm' is unknown; .*nearest: num_random"),
    ],
)
def test_an_impossible_setting_is_one_line(raw, line):
    with pytest.raises(InputError, match=line) as caught:
        SteeringSettings.model_validate(raw)
    assert "\n" not in str(caught.value)
