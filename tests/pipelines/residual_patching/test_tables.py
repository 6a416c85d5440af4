"""Tables of a sweep whose effects are known, and of one where nothing happens."""

import copy

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.residual_patching.nodes import report_residual_patching
from planted_sweep import (
    LABELS,
    OWN,
    PLANTED,
    PROMPTS,
    RESIDUAL_NORMS,
    SETTINGS,
    VECTOR_NORM,
    idle_controls,
    planted_sweep,
    spoil,
)
from study_emotions import FOUR


@pytest.fixture(scope="module")
def sweep():
    return planted_sweep()


@pytest.fixture(scope="module")
def controls():
    return idle_controls()


@pytest.fixture(scope="module")
def report(sweep, controls):
    return report_residual_patching(sweep, controls, FOUR, SETTINGS)


@pytest.mark.slow
def test_a_choice_at_the_edge_of_the_strengths_is_said(sweep, controls, caplog):
    report_residual_patching(sweep, controls, FOUR, SETTINGS)
    assert "may lie beyond" not in caplog.text
    lavish = SETTINGS.model_copy(update={"max_fluency_loss": 1.0})
    report_residual_patching(sweep, controls, FOUR, lavish)
    assert "of the strengths, 2, was chosen for gratitude, anger, apology" in caplog.text


def test_prompts_that_choose_have_no_part_in_what_is_reported(sweep, controls, report):
    spoiled = spoil(sweep, "select")
    for emotion in FOUR.names:  # and yet the choice shall stay
        chosen = spoiled["sweep_results"][emotion][2][1.0]["metrics"]
        for prompt in sweep["halves"]["select"]:
            chosen[prompt]["goemotions"] = dict.fromkeys(LABELS, 1.0)
    other = report_residual_patching(spoiled, controls, FOUR, SETTINGS)
    assert other.specificity.equals(report.specificity)
    left = other.selection.drop(columns=["select_mean_diff", "select_fluency_loss"])
    assert left.equals(report.selection[left.columns])


def test_the_tidy_table_has_a_row_per_prompt_condition_and_metric(sweep, report):
    table = report.scores
    n_metrics = 1 + len(LABELS) + 1
    assert len(table) == len(PROMPTS) * (1 + 3 * 4) * n_metrics
    key = ["prompt_index", "emotion", "layer", "alpha", "metric_name"]
    assert not table.duplicated(key).any()
    assert set(table["metric_name"]) >= {"goemotions.remorse", "fluency.nll"}
    for _, row in table.sample(60, random_state=0).iterrows():
        prompt = PROMPTS[row["prompt_index"]]
        is_baseline = row["emotion"] == "baseline"
        found = (
            sweep["baseline"]
            if is_baseline
            else sweep["sweep_results"][row["emotion"]][row["layer"]][row["alpha"]]
        )
        for column, source in (("value", found), ("baseline", sweep["baseline"])):
            metric, label = row["metric_name"].split(".")
            wanted = (
                source["fluency"][prompt]
                if metric == "fluency"
                else source["metrics"][prompt][metric][label]
            )
            assert row[column] == wanted
        assert (prompt in sweep["halves"]["select"]) == (row["half"] == "select")


def test_doses_and_responses_are_the_planted_ones(report):
    table = report.doses.set_index(["half", "emotion", "layer", "alpha", "metric_name"])
    for (layer, alpha), (rise, loss) in PLANTED.items():
        for half in ("select", "confirm"):
            for emotion, label in OWN.items():
                row = table.loc[(half, emotion, layer, alpha, f"goemotions.{label}")]
                assert row["mean_diff"] == pytest.approx(rise, abs=0.03)
                assert row["ci_lower"] < row["mean_diff"] < row["ci_upper"]
                assert row["n"] == 20
            lost = table.loc[(half, "anger", layer, alpha, "fluency.nll")]
            assert lost["mean_diff"] == pytest.approx(loss, abs=0.06)


def test_the_specificity_matrix_is_largest_on_its_diagonal(report):
    own = report.specificity[report.specificity["target_of"] != ""]
    matrix = own.pivot(index="steered", columns="target_of", values="mean_diff")
    for emotion in FOUR.names:
        assert matrix.loc[emotion].idxmax() == matrix[emotion].idxmax() == emotion
        others = matrix.loc[emotion].drop(emotion)
        assert others.abs().max() < 0.03


def test_controls_that_do_nothing_are_told_from_what_was_planted(report):
    for _, row in report.selection.iterrows():
        assert (row["layer"], row["alpha"], row["n"]) == (2, 1.0, 20)
        assert row["cohen_d"] > 5
        for kind, n in (("random", 20), ("covariance", 20), ("shuffled", 20), ("reseeded", 10)):
            assert row[f"{kind}_n"] == n
            assert row[f"{kind}_share_below_half"] == 1
            assert row[f"{kind}_share_mean_diff_below_half"] == 1
            assert row[f"{kind}_mean_diff_q95"] < 0.03
            assert row[f"{kind}_d_q95"] < 1
            assert row[f"{kind}_p"] == pytest.approx(1 / (n + 1))


def test_a_control_that_makes_every_text_alike_has_a_large_d_and_a_small_difference(
    sweep, controls
):
    """Greedy texts may all become one; d then says nothing of how much changed."""
    alike = copy.deepcopy(sweep)
    for metrics in alike["baseline"]["metrics"].values():
        metrics["goemotions"] = dict.fromkeys(LABELS, 0.1)
    collapsed = copy.deepcopy(controls)
    for layers in collapsed["random_results"].values():
        for alphas in layers[2].values():
            for record in alphas[1.0]:
                record["metrics"]["goemotions"] = dict.fromkeys(LABELS, 0.07)
    table = report_residual_patching(alike, collapsed, FOUR, SETTINGS).selection
    assert table["random_d_q95"].isna().all()
    assert (table["random_share_below_half"] == 0).all()
    assert table["random_mean_diff_q95"].to_numpy() == pytest.approx(0.03)
    assert (table["random_share_mean_diff_below_half"] == 1).all()


def test_a_control_against_controls_is_no_exception(report):
    """Random against random: its interval excludes zero about as often as it should."""
    table = report.controls[report.controls["kind"] == "random"]
    excludes_zero = (table["ci_lower"] > 0) | (table["ci_upper"] < 0)
    # All of them share one baseline of 20 prompts, so that the share varies more than it would.
    assert excludes_zero.mean() < 0.2
    assert abs(table["mean_diff"]).max() < 0.05


def test_without_controls_there_are_tables_all_the_same(sweep):
    none = {"random_results": {}, "emotion_results": {}}
    none |= {"shuffled_results": {}, "reseeded_results": []}
    report = report_residual_patching(sweep, none, FOUR, SETTINGS)
    assert (report.selection["random_n"] == 0).all()
    assert report.selection["random_p"].isna().all()
    assert not len(report.controls)
    assert report.dose_figure.data


@pytest.fixture(scope="module")
def late(controls):
    """A sweep of three layers: layer 2, with the largest effects, is among the last."""
    return report_residual_patching(planted_sweep(n_layers=3), controls, FOUR, SETTINGS)


def test_the_headline_is_of_early_layers_and_the_last_ones_stand_beside_it(late):
    table = late.selection.set_index(["choice", "emotion"])
    assert list(table.index) == [(c, e) for c in ("headline", "last_layers") for e in FOUR.names]
    for emotion in FOUR.names:
        headline, compared = table.loc[("headline", emotion)], table.loc[("last_layers", emotion)]
        assert (headline["layer"], headline["alpha"]) == (0, 2.0)
        assert headline["mean_diff"] == pytest.approx(PLANTED[0, 2.0][0], abs=0.03)
        assert (compared["layer"], compared["alpha"]) == (2, 1.0)
        assert compared["mean_diff"] == pytest.approx(PLANTED[2, 1.0][0], abs=0.03)
        # The planted controls are at layer 2 alone.
        assert headline["random_n"] == headline["covariance_n"] == 0
        assert compared["random_p"] == compared["covariance_p"] == pytest.approx(1 / 21)
    chosen = late.specificity.groupby("choice")["layer"].unique()
    assert list(chosen["headline"]) == [0]
    assert list(chosen["last_layers"]) == [2]


def test_the_two_kinds_of_random_directions_have_a_rank_each(sweep, controls):
    """Directions of the covariance that do as much as the emotion do not touch the other rank."""
    moving = copy.deepcopy(controls)
    for emotion, layers in moving["covariance_results"].items():
        for alphas in layers[2].values():
            for record in alphas[1.0]:
                record["metrics"]["goemotions"][OWN[emotion]] += 0.9
    table = report_residual_patching(sweep, moving, FOUR, SETTINGS).selection
    assert table["random_p"].to_numpy() == pytest.approx(1 / 21)
    assert (table["covariance_p"] == 1).all()
    assert (table["covariance_share_below_half"] == 0).all()


def test_cost_dose_and_the_wrong_way_stand_beside_every_effect(sweep, report):
    for table in (report.doses, report.specificity, report.controls, report.selection):
        assert {"fluency_loss", "relative_dose", "share_wrong_way"} <= set(table.columns)
    for row in report.doses.to_dict("records"):
        assert row["fluency_loss"] == pytest.approx(
            PLANTED[row["layer"], row["alpha"]][1], abs=0.06
        )
        assert row["fluency_loss_lower"] <= row["fluency_loss"] <= row["fluency_loss_upper"]
        dose = row["alpha"] * VECTOR_NORM / RESIDUAL_NORMS[row["layer"]]
        assert row["relative_dose"] == pytest.approx(dose)
        own = f"goemotions.{OWN[row['emotion']]}"
        if row["metric_name"] != own:
            assert np.isnan(row["share_wrong_way"])
            continue
        cell = sweep["sweep_results"][row["emotion"]][row["layer"]][row["alpha"]]["metrics"]
        before, prompts = sweep["baseline"]["metrics"], sweep["halves"][row["half"]]
        label = OWN[row["emotion"]]
        falls = [cell[p]["goemotions"][label] < before[p]["goemotions"][label] for p in prompts]
        assert row["share_wrong_way"] == np.mean(falls)
    weak = report.doses[(report.doses["layer"] == 0) & (report.doses["alpha"] == 1.0)]
    assert weak["share_wrong_way"].max() > 0  # there is something to count
    drawn = report.controls[report.controls["kind"] != "reseeded"]
    doses = drawn["alpha"] * VECTOR_NORM / RESIDUAL_NORMS[2]
    pd.testing.assert_series_equal(drawn["relative_dose"], doses, check_names=False)
    assert report.controls.loc[report.controls["kind"] == "reseeded", "relative_dose"].isna().all()
    # Of controls that do nothing, about half of the prompts move either way.
    assert drawn["share_wrong_way"].mean() == pytest.approx(0.5, abs=0.1)


def test_a_sweep_that_does_not_name_its_depth_is_one_line(sweep, controls):
    with pytest.raises(InputError, match=r"planted\.residual_sweep .* how many layers"):
        report_residual_patching({**sweep, "metadata": {}}, controls, FOUR, SETTINGS)
