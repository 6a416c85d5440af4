"""Conditions that steer say where, what, when and how much."""

import numpy as np

from emotion_circuits.experiments import Steering
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import Add, Constant, Listed, Onward, ProjectOut, Site, Window


def test_conditions_say_where_what_when_and_how_much():
    settings = SteeringSettings(
        alphas=[2.0, -1.0], window=3, new_tokens_only=True, schedule="list", strengths=[1.0, 0.5]
    )
    directions = [np.eye(4)[0], np.eye(4)[1]]
    steering = settings.steering()
    table = list(steering.conditions("random", "anger", 2, directions, settings.alphas))
    names = ("kind", "emotion", "layer", "draw", "alpha")
    assert [tuple(where[name] for name in names) for _, where in table] == [
        ("random", "anger", 2, 0, 2.0),
        ("random", "anger", 2, 0, -1.0),
        ("random", "anger", 2, 1, 2.0),
        ("random", "anger", 2, 1, -1.0),
    ]
    assert len({condition.name for condition, _ in table}) == 4
    (last,) = table[-1][0].interventions
    assert last.site == Site("resid_post", 2)
    assert last.positions == Window(3, new_tokens_only=True)
    assert last.strength == Listed((-1.0, -0.5))
    assert isinstance(last.operator, Add)
    assert last.operator.direction.tolist() == [0, 1, 0, 0]


def test_projecting_out_removes_the_vectors_line():
    steering = SteeringSettings(operator="project_out", alphas=[1.0]).steering()
    ((condition, _),) = steering.conditions("emotion", "anger", 0, [np.ones(4)], [1.0])
    (intervention,) = condition.interventions
    assert isinstance(intervention.operator, ProjectOut)
    np.testing.assert_allclose(intervention.operator.subspace.abs(), 0.5, rtol=1e-6)


def test_without_settings_a_direction_is_added_after_the_layer_from_the_prompts_end_on():
    ((condition, _),) = Steering().conditions("emotion", "joy", 1, [np.ones(4)], [2.0])
    (intervention,) = condition.interventions
    assert intervention.site == Site("resid_post", 1)
    assert (intervention.positions, intervention.strength) == (Onward(), Constant(2.0))
