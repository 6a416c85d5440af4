"""Tables of a sweep whose effects are known, and of one where nothing happens."""

import copy

import numpy as np
import pytest
from emotion_circuits.emotions import EMOTIONS
from emotion_circuits.pipelines.residual_patching.prompts import split_halves
from emotion_circuits.pipelines.residual_patching.results import values_of
from emotion_circuits.pipelines.residual_patching.selection import choose_conditions
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.residual_patching.nodes import report_residual_patching

OWN = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
LABELS = ("gratitude", "anger", "remorse", "neutral")
PROMPTS = [f"prompt {number}" for number in range(40)]
# By emotion, layer and strength: rise of the own score, and nats lost.
PLANTED = {(0, 1.0): (0.05, 0.0), (0, 2.0): (0.1, 0.1), (2, 1.0): (0.4, 0.3), (2, 2.0): (0.5, 0.9)}
SETTINGS = ResidualPatchingSettings(n_bootstrap=200, alphas=[1.0, 2.0])


def metrics_of(own, rise, rng):
    goemotions = {label: 0.1 + float(rng.normal(0, 0.02)) for label in LABELS}
    if own:
        goemotions[own] += rise
    return {"sentiment": {"positive": 0.5 + float(rng.normal(0, 0.02))}, "goemotions": goemotions}


def cell(own, rise, loss, rng):
    return {
        "texts": dict.fromkeys(PROMPTS, f"{own} {rise}"),
        "metrics": {prompt: metrics_of(own, rise, rng) for prompt in PROMPTS},
        "fluency": {prompt: 1.0 + loss + float(rng.normal(0, 0.05)) for prompt in PROMPTS},
        "token_ids": {prompt: [1] for prompt in PROMPTS},
    }


def records(own, rise, rng):
    made = cell(own, rise, 0.0, rng)
    return [
        {
            "prompt": prompt,
            "text": made["texts"][prompt],
            "metrics": made["metrics"][prompt],
            "fluency": made["fluency"][prompt],
        }
        for prompt in PROMPTS
    ]


@pytest.fixture(scope="module")
def sweep():
    rng = np.random.default_rng(0)
    results = {
        emotion: {
            layer: {a: cell(OWN[emotion], *PLANTED[layer, a], rng) for a in (1.0, 2.0)}
            for layer in (0, 2)
        }
        for emotion in EMOTIONS
    }
    return {
        "model": "planted",
        "prompts": PROMPTS,
        "baseline": cell(None, 0.0, 0.0, rng),
        "sweep_results": results,
        "halves": split_halves(PROMPTS, 0)._asdict(),
    }


@pytest.fixture(scope="module")
def controls():
    rng = np.random.default_rng(1)
    kinds = {
        f"{kind}_results": {
            emotion: {2: {i: {a: records(None, 0, rng) for a in (1.0, 2.0)} for i in range(20)}}
            for emotion in EMOTIONS
        }
        for kind in ("random", "shuffled")
    }
    return kinds | {"reseeded_results": [records(None, 0, rng) for _ in range(10)]}


@pytest.fixture(scope="module")
def report(sweep, controls):
    return report_residual_patching(sweep, controls, SETTINGS)


def test_the_strongest_condition_within_the_fluency_limit_is_chosen(sweep):
    for choice in choose_conditions(sweep, SETTINGS).values():
        assert (choice.layer, choice.alpha) == (2, 1.0)
        assert choice.mean_diff == pytest.approx(0.4, abs=0.03)
        assert choice.within_fluency
    lavish = ResidualPatchingSettings(max_fluency_loss=1.0)
    assert choose_conditions(sweep, lavish)["anger"].alpha == 2.0
    strict = choose_conditions(sweep, ResidualPatchingSettings(max_fluency_loss=-1.0))["anger"]
    assert not strict.within_fluency
    assert (strict.layer, strict.alpha) == (0, 1.0)


def test_a_choice_at_the_edge_of_the_strengths_is_said(sweep, controls, caplog):
    report_residual_patching(sweep, controls, SETTINGS)
    assert "may lie beyond" not in caplog.text
    lavish = SETTINGS.model_copy(update={"max_fluency_loss": 1.0})
    report_residual_patching(sweep, controls, lavish)
    assert "of the strengths, 2, was chosen for gratitude, anger, apology" in caplog.text


def spoil(sweep, half):
    """Turn the scores of one half upside down."""
    spoiled = copy.deepcopy(sweep)
    for layers in spoiled["sweep_results"].values():
        for layer, alphas in layers.items():
            for alpha, of_alpha in alphas.items():
                for prompt in spoiled["halves"][half]:
                    for label in LABELS:
                        value = 0.9 if (layer, alpha) == (0, 1.0) else 0.0
                        of_alpha["metrics"][prompt]["goemotions"][label] = value
    return spoiled


def test_prompts_that_report_have_no_say_in_the_choice(sweep):
    assert choose_conditions(spoil(sweep, "confirm"), SETTINGS) == choose_conditions(
        sweep, SETTINGS
    )
    assert choose_conditions(spoil(sweep, "select"), SETTINGS)["anger"].layer == 0


def test_prompts_that_choose_have_no_part_in_what_is_reported(sweep, controls, report):
    spoiled = spoil(sweep, "select")
    for emotion in EMOTIONS:  # and yet the choice shall stay
        chosen = spoiled["sweep_results"][emotion][2][1.0]["metrics"]
        for prompt in sweep["halves"]["select"]:
            chosen[prompt]["goemotions"] = dict.fromkeys(LABELS, 1.0)
    other = report_residual_patching(spoiled, controls, SETTINGS)
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
    for emotion in EMOTIONS:
        assert matrix.loc[emotion].idxmax() == matrix[emotion].idxmax() == emotion
        others = matrix.loc[emotion].drop(emotion)
        assert others.abs().max() < 0.03


def test_controls_that_do_nothing_are_told_from_what_was_planted(report):
    for _, row in report.selection.iterrows():
        assert (row["layer"], row["alpha"], row["n"]) == (2, 1.0, 20)
        assert row["cohen_d"] > 5
        for kind, n in (("random", 20), ("shuffled", 20), ("reseeded", 10)):
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
    table = report_residual_patching(alike, collapsed, SETTINGS).selection
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
    none = {"random_results": {}, "shuffled_results": {}, "reseeded_results": []}
    report = report_residual_patching(sweep, none, SETTINGS)
    assert (report.selection["random_n"] == 0).all()
    assert report.selection["random_p"].isna().all()
    assert not len(report.controls)
    assert report.dose_figure.data


def test_figures_draw_each_layer_and_each_target(report):
    names = [trace.name for trace in report.dose_figure.data]
    assert names.count("layer 0") == names.count("layer 2") == 6
    assert names.count("random directions, middle 95 %") == 3
    line = next(t for t in report.dose_figure.data if t.name == "layer 2")
    assert list(line.x) == [1.0, 2.0]
    assert line.y[0] == pytest.approx(0.4, abs=0.03)
    (heat,) = report.specificity_figure.data
    assert list(heat.x)[:3] == ["goemotions.gratitude", "goemotions.anger", "goemotions.remorse"]
    assert heat.z[1][1] == pytest.approx(0.4, abs=0.03)
    assert "anger (layer 2, α 1)" in list(heat.y)


def test_controls_at_one_strength_are_a_bar(sweep, controls):
    one = copy.deepcopy(controls)
    for layers in one["random_results"].values():
        for alphas in layers[2].values():
            del alphas[2.0]
    figure = report_residual_patching(sweep, one, SETTINGS).dose_figure
    band = next(trace for trace in figure.data if trace.name == "random directions, middle 95 %")
    assert set(band.x) == {1.0}
    assert band.line.width > 0
    assert -0.02 < min(band.y) < max(band.y) < 0.02


def test_a_target_metric_that_no_evaluator_gives_is_refused(sweep):
    targets = SETTINGS.target_metrics | {"anger": "goemotions/angr"}
    settings = ResidualPatchingSettings(target_metrics=targets)
    with pytest.raises(InputError, match=r"'goemotions/angr' is unknown; .*: goemotions/anger"):
        choose_conditions(sweep, settings)


def test_scores_are_read_by_their_names(sweep):
    rows = [{"metrics": {"a": {"b/c": 1.0, "d": 2.0}}, "fluency": 3.0}]
    assert values_of(rows, ["a/d", "fluency/nll", "a/b/c"]).tolist() == [[2.0, 3.0, 1.0]]
    assert values_of([], ["a/d"]).shape == (0, 1)
