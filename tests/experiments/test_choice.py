"""What is chosen on one half of the prompts is the strongest that leaves the text whole."""

import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.experiments import choose_conditions
from emotion_circuits.experiments.choice import (
    choose_by_depth,
    headline_layers,
)
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


def by_depth(sweep, n_layers, layers_up_to=0.8):
    outcomes = read_residual_sweep(sweep)
    return choose_by_depth(
        outcomes,
        FOUR.target_metrics,
        n_layers=n_layers,
        layers_up_to=layers_up_to,
        max_fluency_loss=0.5,
    )


def test_the_headline_leaves_out_the_last_layers_and_a_comparison_has_them(sweep):
    """Effects are largest at layer 2, which is the last of three."""
    choices = by_depth(sweep, n_layers=3)
    for emotion in FOUR.names:
        headline, compared = (choices[name][emotion] for name in ("headline", "last_layers"))
        assert (headline.layer, headline.alpha) == (0, 2.0)
        assert (compared.layer, compared.alpha) == (2, 1.0)
        assert headline.mean_diff < compared.mean_diff
    # The control: with all layers, what was chosen is the largest effect, and nothing is left.
    everything = by_depth(sweep, n_layers=3, layers_up_to=1.0)
    assert everything["headline"] == choose(sweep)
    assert everything["last_layers"] == {}


@pytest.mark.parametrize(
    ("n_layers", "layers_up_to", "n_allowed"),
    [
        (5, 0.8, 4),
        (6, 0.8, 4),
        (12, 0.8, 9),
        (5, 1.0, 5),
        (10, 0.7, 7),
        (100, 0.29, 29),
        (1, 0.8, 1),
    ],
)
def test_layers_of_the_headline_are_the_first_share_of_all(n_layers, layers_up_to, n_allowed):
    assert list(headline_layers(n_layers, layers_up_to)) == list(range(n_allowed))
    # The same in whole hundredths, which do not round.
    assert n_allowed == max(1, round(layers_up_to * 100) * n_layers // 100)


def test_a_sweep_of_the_last_layers_alone_is_one_line(sweep):
    late = {**sweep, "sweep_results": {e: {2: of[2]} for e, of in sweep["sweep_results"].items()}}
    line = (
        r"layers_up_to is 0.8: of 3 layers the headline may choose 0 to 1, and steered are only 2; "
        r"steer one of these too, or set layers_up_to to 1 or more"
    )
    with pytest.raises(InputError, match=line):
        by_depth(late, n_layers=3)
