"""Phase 7 on files of the other phases: what was planted comes out, what was not does not."""

import json

import click
import numpy as np
import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from effect_estimates import QUICK, estimate, own_metric
from emotion_circuits.pipelines.statistics.nodes import (
    analyze_power,
    summarize_k_sweeps,
)
from emotion_circuits.pipelines.statistics.settings import StatisticsSettings
from emotion_circuits.session import StudySession
from phase_results import (
    EMOTIONS,
    PLANTED_D,
    head_ablation,
    head_scores,
    k_sweep,
    random_sweep,
    residual_sweep,
)
from study_emotions import FOUR

MODELS = ("tiny_gpt2", "tiny_llama")
FILES = {
    "effect_sizes.csv",
    "power_analysis.csv",
    "power_analysis.json",
    "claims.json",
    "power.json",
    "k_sweep_raw.csv",
    "k_selection.csv",
    "overlap_places.csv",
}


@pytest.fixture(scope="module")
def project(project_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project_root)
        patch.delenv("KEDRO_ENV", raising=False)
        bootstrap_project(project_root)
        yield project_root


def open_session(project, results, **settings):
    runtime = {"results_root": str(results), "statistics": {**QUICK, **settings}}
    return StudySession.create(project, env="baseline_smoke", runtime_params=runtime)


def run(project, results, *, fresh=False, **settings):
    with open_session(project, results, **settings) as session:
        session.run(pipeline_names=["statistics"], wanted={"fresh": fresh})
    return results / "baseline_smoke" / "statistics"


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    """All results of both models, written by the catalog, and the statistics of them."""
    results = tmp_path_factory.mktemp("results")
    with open_session(project, results) as session:
        catalog = session.load_context().catalog
        for place, model in enumerate(MODELS):
            catalog.save(f"{model}.residual_sweep", residual_sweep(model, seed=10 * place))
            catalog.save(f"{model}.random_sweep", random_sweep(model, seed=10 * place + 1))
            catalog.save(f"{model}.head_ablation", head_ablation(model, seed=10 * place + 2))
            catalog.save(f"{model}.head_scores", head_scores(model, seed=10 * place + 3))
        catalog.save("tiny_gpt2_vs_tiny_llama.k_sweep", k_sweep(*MODELS))
    return run(project, results)


@pytest.fixture(scope="module")
def effects(finished):
    return pd.read_csv(finished / "effect_sizes.csv")


def test_every_file_of_the_contract_is_written(finished):
    assert {path.name for path in finished.iterdir()} == FILES


def test_all_phases_of_all_models_are_there(effects):
    phases = {"residual", "random", "head", "head_screening"}
    assert set(effects["phase"]) == phases
    seen = set(zip(effects["phase"], effects["comparison"], strict=True))
    assert seen == {
        ("residual", "patched_vs_neutral"),
        ("random", "emotion_vs_random"),
        ("head", "patched_vs_neutral"),
        ("head_screening", "screened_vs_baseline"),
    }
    assert (effects.groupby("phase")["model_name"].nunique() == 2).all()
    # 3 emotions × 2 layers × 3 strengths × 5 metrics.
    assert (effects["phase"] == "residual").sum() == 2 * 90
    assert effects["paired"].all()


def test_planted_steering_is_found_and_nothing_else(effects):
    residual = effects[effects["phase"] == "residual"]
    strong = own_metric(residual[(residual["layer"] == 2) & (residual["alpha"] == 4)])
    assert len(strong) == 2 * len(EMOTIONS)
    # The error of d at 60 texts is about 0.19.
    assert strong["cohen_d"].between(PLANTED_D - 0.5, PLANTED_D + 0.5).all()
    assert strong["significant_bonferroni"].all()
    assert (strong["p_value_max_t"] <= 0.05).all()
    nothing = residual.drop(strong.index)
    assert nothing["significant_bonferroni"].sum() == 0
    tested = nothing["p_value"].dropna()
    assert (tested <= 0.05).mean() <= 0.12


def test_strength_zero_and_constant_labels_have_no_effect_size(effects):
    residual = effects[effects["phase"] == "residual"]
    unsteered = residual[residual["alpha"] == 0]
    assert unsteered["cohen_d"].isna().all()
    assert set(unsteered["reason"]) == {"all differences are zero"}
    constant = residual[residual["metric_name"] == "sentiment.negative"]
    assert constant["p_value"].isna().all()
    assert not constant["significant_fdr"].any()


def test_emotions_are_paired_with_the_mean_of_random_directions(effects):
    random = effects[effects["phase"] == "random"]
    planted = own_metric(random[random["layer"] == 2])
    assert (planted["n_effective"] == 60).all()
    assert (planted["n_random"] == 5).all()
    # The mean of five draws adds a fifth of a draw's variance: 1.5 / √1.2 = 1.37.
    assert planted["cohen_d"].between(1.0, 1.9).all()
    assert (planted["p_value_prompts"] < 1e-6).all()
    # Five directions have four degrees of freedom: enough to find it, not to correct it away.
    assert (planted["p_value"] < 0.05).all()
    assert (planted["p_value_rank"] == 1 / 6).all()
    nothing = random.drop(planted.index)
    assert nothing["significant_bonferroni"].sum() == 0


def test_heads_are_named_and_their_effect_is_found(effects):
    head = effects[(effects["phase"] == "head") & (effects["metric_name"] == "goemotions.anger")]
    assert head["head_spec"].tolist() == ["1:0 3:1"] * 2
    assert head["layer"].isna().all()
    assert head["cohen_d"].between(-1.5, -0.6).all()
    assert head["significant_bonferroni"].all()


def test_screening_finds_the_planted_head_from_summaries(effects):
    screening = effects[effects["phase"] == "head_screening"]
    assert len(screening) == 2 * 16
    found = screening[screening["significant_bonferroni"]]
    assert found["head_spec"].tolist() == ["1:2", "1:2"]
    assert found["cohen_d"].between(-1.7, -0.8).all()
    assert set(screening["ci_method"]) == {"noncentral_t"}


def test_the_power_table_is_the_effects_with_power(finished, effects):
    power = pd.read_csv(finished / "power_analysis.csv")
    shared = list(effects.columns)
    pd.testing.assert_frame_equal(power[shared], effects, check_exact=True)
    assert list(power.columns[:31])[-1] == "power"
    known = power.dropna(subset=["power"])
    # Significance and power at the effect that was seen are two faces of one number.
    assert (known.loc[known["p_value"] < 0.04, "power"] > 0.5).all()
    assert (known.loc[known["p_value"] > 0.06, "power"] < 0.5).all()
    over_texts = power[power["phase"] != "random"]
    assert over_texts["minimal_detectable_effect"].round(3).unique() == [0.368]


def test_requirements_are_json_without_nan(finished):
    def refuse(name):
        raise AssertionError(name)

    text = (finished / "power_analysis.json").read_text()
    report = json.loads(text, parse_constant=refuse)
    assert {"profile", "alpha", "target_power", "requirements", "post_hoc_power_csv"} <= set(report)
    needed = {
        requirement["target_effect_size"]: requirement["required_n_effective"]
        for requirement in report["requirements"]
    }
    assert needed == {0.2: 199, 0.3: 90, 0.5: 34}
    fields = "profile phase model_name metric_name paired target_effect_size target_power alpha"
    assert set(fields.split()) < set(report["requirements"][0])


def test_k_sweeps_are_listed_and_averaged(finished):
    raw = pd.read_csv(finished / "k_sweep_raw.csv")
    assert len(raw) == 2 * 3 * 2
    chosen = pd.read_csv(finished / "k_selection.csv")
    assert chosen["mean_overlap"].tolist() == [0.4] * 6
    assert chosen["n_layers"].tolist() == [2] * 6


def test_the_same_seed_gives_the_same_files(project, finished):
    before = {name: (finished / name).read_bytes() for name in FILES}
    written = {name: (finished / name).stat().st_mtime_ns for name in FILES}
    run(project, finished.parents[1], fresh=True, n_jobs=2)
    assert {name: (finished / name).read_bytes() for name in FILES} == before
    assert all((finished / name).stat().st_mtime_ns > written[name] for name in FILES)


def test_missing_phases_are_said_once_and_nothing_is_computed_for_them(project, tmp_path, caplog):
    with open_session(project, tmp_path) as session:
        catalog = session.load_context().catalog
        catalog.save("tiny_gpt2.residual_sweep", residual_sweep("tiny_gpt2", n=8))
    with caplog.at_level("INFO"):
        folder = run(project, tmp_path)
    said = [record.message for record in caplog.records if "have no results" in record.message]
    assert said == [
        "Statistics are without phases that have no results: residual (tiny_llama); "
        "random (tiny_gpt2, tiny_llama); head (tiny_gpt2, tiny_llama); "
        "head_screening (tiny_gpt2, tiny_llama)"
    ]
    warned = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert warned == [
        "Nothing records how tiny_gpt2.residual_sweep came about, or files were changed since; "
        "used as they are"
    ]
    table = pd.read_csv(folder / "effect_sizes.csv")
    assert set(table["phase"]) == {"residual"}
    assert set(table["model_name"]) == {"tiny_gpt2"}
    assert not (tmp_path / "baseline_smoke" / "activations").exists()
    assert not (tmp_path / "baseline_smoke" / "dataset").exists()


@pytest.mark.parametrize(
    ("mode", "files"),
    [
        ("effect", {"effect_sizes.csv", "claims.json"}),
        (
            "power",
            {
                *("effect_sizes.csv", "claims.json", "power.json"),
                *("power_analysis.csv", "power_analysis.json"),
            },
        ),
        ("k", {"k_sweep_raw.csv", "k_selection.csv", "overlap_places.csv"}),
    ],
)
def test_each_mode_writes_its_files_even_where_no_phase_has_run(project, tmp_path, mode, files):
    folder = run(project, tmp_path, mode=mode)
    assert {path.name for path in folder.iterdir()} == files


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"mode": "kk"}, "mode is 'kk'"),
        ({"n_jobs": 0}, "n_jobs is 0"),
        ({"alpha": 1.5}, "alpha is 1.5"),
        ({"power_target": 0.01}, "power_target is 0.01"),
        ({"effect_targets": [0.0]}, "effect_targets"),
        ({"correction_family": ["phse"]}, "correction_family"),
        ({"n_bootstraps": 5}, "nearest: n_bootstrap"),
        (
            {"models": ["tiny_gtp2"]},
            "model 'tiny_gtp2' is not in the profile; .* nearest: tiny_gpt2",
        ),
        ({"models": ["tiny_gtp2"], "mode": "k"}, "model 'tiny_gtp2' is not in the profile"),
        ({"phases": ["heads"]}, "phases"),
        ({"cluster_by": "template"}, "run --pipelines=dataset first"),
    ],
)
def test_a_mistake_is_one_line(project, tmp_path, settings, line):
    with pytest.raises(click.ClickException, match=line) as caught:
        run(project, tmp_path, **settings)
    assert "\n" not in caught.value.message


def test_a_result_of_another_format_is_one_line(project, tmp_path):
    with open_session(project, tmp_path) as session:
        catalog = session.load_context().catalog
        catalog.save("tiny_gpt2.residual_sweep", {"sweep_results": {}})
    with pytest.raises(click.ClickException, match=r"tiny_gpt2\.residual_sweep has not the format"):
        run(project, tmp_path)


def test_prompts_listed_three_times_are_no_more_evidence():
    once, thrice = (
        estimate(**{"head_ablation m": head_ablation("m", n=12, times=times)}) for times in (1, 3)
    )
    assert (thrice["n_repeats_averaged"] == 2 * 24).all()
    pd.testing.assert_frame_equal(
        once.drop(columns="n_repeats_averaged"), thrice.drop(columns="n_repeats_averaged")
    )


@pytest.mark.slow
def test_random_directions_against_each_other_are_found_at_the_rate_of_alpha():
    """One random direction is put in the emotion's place, in every layer and emotion."""
    tables = []
    for seed in range(200):
        result = random_sweep("m", n=25, num_random=6, seed=seed)
        for emotion, layers in result["random_results"].items():
            for layer, draws in layers.items():
                result["emotion_results"][emotion][layer] = draws.pop(0)
        tables.append(own_metric(estimate(**{"random_sweep m": result})))
    table = pd.concat(tables)
    assert len(table) == 1200
    assert 0.03 <= (table["p_value"] <= 0.05).mean() <= 0.07
    assert 0.03 <= (table["p_value_prompts"] <= 0.05).mean() <= 0.07
    # One of the six is in the emotion's place, so five are left.
    assert (table["p_value_rank"] <= 1 / 6 + 1e-9).mean() == pytest.approx(1 / 6, abs=0.03)
    assert 0.93 <= ((table["ci_lower"] <= 0) & (table["ci_upper"] >= 0)).mean() <= 0.97


def test_the_family_can_be_everything():
    results = {
        "head_ablation m": head_ablation("m", n=8),
        "head_scores m": head_scores("m", n=8),
    }
    one = estimate(StatisticsSettings(**QUICK, correction_family="all"), **results)
    assert one["family_size"].unique().tolist() == [len(one)]
    two = estimate(**results)
    assert sorted(two["family_size"].unique()) == [5, 16]


def test_a_model_without_a_pair_has_no_k():
    settings = StatisticsSettings(models=("m",))
    raw, chosen, places = summarize_k_sweeps("p", FOUR, settings, **{"selection m": None})
    assert len(raw) == len(chosen) == len(places) == 0


def test_nodes_take_nothing_for_an_answer():
    empty = estimate(**{"residual_sweep m": None})
    power, report = analyze_power(empty, "p", StatisticsSettings())
    assert len(empty) == len(power) == 0
    assert report["requirements"] == []
    nothing = {"a and b": None, "selection a": None}
    tables = summarize_k_sweeps("p", FOUR, StatisticsSettings(), **nothing)
    assert [len(table) for table in tables] == [0, 0, 0]


def test_overlaps_are_placed_at_the_layer_that_phase_5_chose():
    given = k_sweep(*MODELS)
    for emotions in given["sweep_results"].values():
        for leaves in emotions.values():
            for leaf in leaves.values():
                leaf["overlap_null"] = np.linspace(0, 0.3, 50)
    layer = max(given["sweep_results"])
    # A second choice of an emotion, of the last layers, stands after the headline.
    selection = pd.DataFrame({"emotion": ["anger", "anger"], "layer": [layer, 0]})
    results = {"a and b": given, f"selection {MODELS[0]}": selection}
    *_, places = summarize_k_sweeps("p", FOUR, StatisticsSettings(), **results)
    first = places[places["emotion"] == "anger"].iloc[0]
    assert (first["where"], first["layer"]) == ("layer_of_steering", layer)
    assert (places["where"] == "best_layer").sum() == 3


def test_unpaired_requirements_name_both_groups():
    settings = StatisticsSettings(**QUICK, paired=False)
    table = estimate(settings, **{"head_ablation m": head_ablation("m", n=8)})
    _, report = analyze_power(table, "p", settings)
    first = next(row for row in report["requirements"] if row["target_effect_size"] == 0.5)
    assert first["ratio"] == 1.0
    assert (first["required_n_control"], first["required_n_treatment"]) == (64, 64)
    assert "required_n_effective" not in first
