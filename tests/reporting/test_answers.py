"""The short answer says what its numbers say, and nothing of too few texts."""

import io

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_circuits.reporting.answers import headline_table, headlines, verdict
from emotion_circuits.reporting.answers.cells import BRIEF_HEADERS, HEADERS, brief_cells, cells
from emotion_circuits.reporting.answers.headline import Headline, read_headlines
from emotion_circuits.reporting.answers.numbers import interval, number, p_value
from emotion_circuits.reporting.answers.words import sentence, too_few_prompts
from study_results import EMOTIONS, MODELS, selection, study, with_values


def line(**values):
    usual = {
        "n": 40,
        "change": 0.4,
        "change_lower": 0.2,
        "change_upper": 0.6,
        "d": 1.2,
        "cost": 0.2,
        "within_fluency": 1,
        "p_random": 1 / 21,
        "n_random": 20,
        "p_covariance": 1 / 21,
        "n_covariance": 20,
    }
    return Headline("m", "anger", **(usual | values))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "moves"),
        ({"change": np.nan}, "steering was not run"),
        ({"n": 3}, "too few texts to conclude"),
        ({"change_lower": np.nan}, "too few texts to conclude"),
        ({"change_lower": -0.1}, "not shown to move"),
        ({"change_lower": -0.6, "change_upper": -0.1}, "moves the other way"),
        ({"n_random": 2, "p_random": 1 / 3}, "too few random directions to conclude"),
        ({"p_random": np.nan, "p_covariance": np.nan}, "too few random directions to conclude"),
        ({"p_covariance": 0.2}, "does not move beyond random directions"),
        ({"p_random": 0.2}, "does not move beyond random directions"),
        ({"within_fluency": 0}, "moves only at a cost above the limit"),
    ],
)
def test_the_verdict_follows_from_interval_cost_and_controls(values, words):
    assert verdict(line(**values)) == words


def test_without_an_effect_few_emotions_are_said_to_move():
    """An emotion's direction is one more random direction: 5 % reach rank p ≤ 0.05 at most."""
    rng = np.random.default_rng(0)
    said = []
    for _ in range(2000):
        texts = rng.normal(rng.normal(0, 0.2), 1, 60)  # directions differ in what they do
        others = rng.normal(0, 0.2, (2, 20)) + rng.normal(0, 1 / np.sqrt(60), (2, 20))
        ranks = (1 + (others >= texts.mean()).sum(axis=1)) / 21
        half = stats.t.ppf(0.975, 59) * texts.std(ddof=1) / np.sqrt(60)
        found = line(
            n=60,
            change=texts.mean(),
            change_lower=texts.mean() - half,
            change_upper=texts.mean() + half,
            p_random=ranks[0],
            p_covariance=ranks[1],
        )
        said.append(verdict(found) == "moves")
    assert np.mean(said) <= 0.05
    assert np.mean(said) > 0.001  # the simulation is of directions that do something


def test_headlines_hold_the_numbers_of_the_tables():
    found = headlines(study())
    assert [(one.model, one.emotion) for one in found] == [
        (model, emotion) for model in MODELS for emotion in EMOTIONS.names
    ]
    first, results = found[0], study()
    table = results.get("probe_scores", "one")
    own = table[(table["contrast"] == "gratitude_vs_neutral") & (table["layer"] == 2)]
    assert first.probe_auroc == own[own["probe"] == "residual"]["auroc"].item()
    assert first.probe_words == 0.55
    assert (first.layer, first.alpha, first.d, first.cost) == (2, 1.5, 1.2, 0.25)
    assert first.p_claim == 0.01
    assert np.isnan(first.faithfulness)  # circuits were not run


def test_the_headlines_layer_is_not_picked_by_what_its_probe_reads():
    results = study(left_out=("one.residual_selection",))
    assert headlines(results)[0].probe_layer == 3  # the last one, whatever reads best


def test_a_written_table_gives_the_same_headlines():
    found = headlines(study())
    text = headline_table(found).to_csv(index=False)
    again = read_headlines(pd.read_csv(io.StringIO(text)))
    assert [cells(one) for one in again] == [cells(one) for one in found]
    assert len(cells(found[0])) == len(HEADERS)
    assert len(brief_cells(found[0])) == len(BRIEF_HEADERS)


def test_a_selection_of_an_older_version_without_choices_gives_no_steering():
    table = selection(EMOTIONS).drop(columns="choice")
    found = headlines(with_values(study(), **{"one.residual_selection": table}))
    assert np.isnan(found[0].d)


@pytest.mark.parametrize(("n", "says"), [(5, "five"), (19, "19"), (20, ""), (None, "")])
def test_a_few_prompts_are_no_findings(n, says):
    found = too_few_prompts(n)
    assert (f"With {says} prompts per emotion nothing can be concluded" in found) == bool(says)
    assert bool(found) == bool(says)


def test_a_sentence_names_effect_cost_and_control():
    said = sentence(line())
    assert said.startswith("m, anger: moves; d 1.20 for 0.20 nats per token; p 0.048 among 20")


def test_numbers_are_short_and_say_when_they_are_missing():
    assert number(-0.004) == "0.00"
    assert number(-1.234) == "−1.23"
    assert number(float("inf")) == "–"
    assert interval(0.1, None) == "[0.10, ∞]"
    assert interval(None, float("nan")) == ""
    assert (p_value(0.0004), p_value(1 / 21), p_value(0.25)) == ("< 0.001", "0.048", "0.25")
