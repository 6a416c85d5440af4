"""What is chosen on one half of the prompts is the strongest that leaves the text whole."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.experiments import choose_conditions
from emotion_circuits.experiments.contract import read_residual_sweep
from planted_sweep import planted_sweep, spoil
from study_emotions import FOUR


@pytest.fixture(scope="module")
def sweep():
    return planted_sweep()


def choose(sweep, targets=FOUR.target_metrics, max_fluency_loss=0.5):
    outcomes = read_residual_sweep(sweep)
    return choose_conditions(outcomes, targets, max_fluency_loss=max_fluency_loss)


def test_the_strongest_condition_within_the_fluency_limit_is_chosen(sweep):
    for choice in choose(sweep).values():
        assert (choice.layer, choice.alpha) == (2, 1.0)
        assert choice.mean_diff == pytest.approx(0.4, abs=0.03)
        assert choice.within_fluency
    assert choose(sweep, max_fluency_loss=1.0)["anger"].alpha == 2.0
    strict = choose(sweep, max_fluency_loss=-1.0)["anger"]
    assert not strict.within_fluency
    assert (strict.layer, strict.alpha) == (0, 1.0)


def test_prompts_that_report_have_no_say_in_the_choice(sweep):
    assert choose(spoil(sweep, "confirm")) == choose(sweep)
    assert choose(spoil(sweep, "select"))["anger"].layer == 0


def test_a_target_metric_that_no_evaluator_gives_is_refused(sweep):
    targets = FOUR.target_metrics | {"anger": "goemotions/angr"}
    with pytest.raises(InputError, match=r"'goemotions/angr' is unknown; .*: goemotions/anger"):
        choose(sweep, targets)


def test_a_sweep_of_nothing_is_one_line(sweep):
    with pytest.raises(InputError, match=r"no condition was run; give layers and alphas"):
        choose({**sweep, "sweep_results": {}})
