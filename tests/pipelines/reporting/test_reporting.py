"""The report is the study's last step, and takes what is there."""

import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.pipelines.reporting import create_pipeline
from emotion_circuits.pipelines.reporting.nodes import choose_continuations
from phase_results import residual_sweep
from study_emotions import FOUR
from study_results import selection, study

MODELS, PAIRS = ("one", "two"), (("one", "two"),)


def run_on(values, parameters=None):
    """Run the pipeline on results in memory; those without a value are None."""
    pipeline = create_pipeline(MODELS, PAIRS)
    given = {
        "params:profile": "p",
        "params:emotions": FOUR,
        "parameters": parameters or {"alignment": {"k": 3.0}},
        "model_table": {name: {"source": f"data/{name}"} for name in MODELS},
    }
    names = pipeline.inputs()
    catalog = DataCatalog(
        {name: MemoryDataset((given | values).get(name), copy_mode="assign") for name in names}
    )
    outputs = SequentialRunner().run(pipeline, catalog)
    return {name: outputs[name].load() for name in ("headline", "study_page", "report_files")}


def test_results_of_each_model_and_pair_reach_the_page():
    values = {k: v for k, v in study().values.items() if "continuations" not in k}
    report = run_on(values)
    assert list(report["headline"]["model"]) == ["one"] * 3 + ["two"] * 3
    assert report["headline"]["d"].tolist() == [1.2] * 6
    assert "one&#39;s vectors, mapped, read emotions in two" in report["study_page"]
    assert "figures/one_vs_two_transfer.svg" in report["report_files"]
    assert "alignment.k" in report["study_page"]
    assert "data/one" in report["study_page"]


def test_without_any_result_the_page_says_what_to_run():
    report = run_on({})
    assert "kedro run --pipelines=residual_patching --env=p" in report["study_page"]
    assert report["headline"]["d"].isna().all()


def test_whether_parameters_were_validated_does_not_show():
    """Kedro validates those of the requested phases only."""
    raw = {"method": "cca", "penalties": [1, 2.5], "rank": None}
    plain = run_on({}, {"alignment": raw})
    validated = run_on({}, {"alignment": AlignmentSettings(**raw)})
    assert plain["study_page"] == validated["study_page"]


def test_continuations_are_the_first_prompts_of_the_reporting_half():
    sweep = residual_sweep("one", n=10)
    sweep["halves"] = {"select": sweep["prompts"][:5], "confirm": sweep["prompts"][5:]}
    chosen = selection(FOUR, layer=2, alpha=4.0)
    shown = choose_continuations(FOUR, sweep, None, chosen, None)
    prompts = [item["prompt"] for item in shown["items"]]
    assert prompts == sweep["prompts"][5:7] * 3
    for item in shown["items"]:
        unsteered, steered = item["texts"]
        assert not unsteered["is_patched"]
        assert steered["is_patched"]
        texts = sweep["sweep_results"][item["emotion"]][2][4.0]["texts"]
        assert steered["text"] == texts[item["prompt"]]


def test_a_patch_that_ends_early_marks_no_text():
    sweep = residual_sweep("one", n=10)
    sweep["metadata"] = {"schedule": "list", "strengths": [1.0, 0.5]}
    shown = choose_continuations(FOUR, sweep, None, selection(FOUR, layer=2, alpha=4.0), None)
    assert not any(text["is_patched"] for item in shown["items"] for text in item["texts"])
    assert "first 2 generated tokens" in shown["patch"]


def test_without_a_sweep_there_are_no_continuations():
    assert choose_continuations(FOUR, None, None, None, None) == {}


def test_a_selection_of_another_sweep_is_refused_in_one_line():
    with pytest.raises(InputError, match=r"no texts for 9\.0.* run --pipelines=residual_patching"):
        choose_continuations(
            FOUR, residual_sweep("one", n=4), None, selection(FOUR, layer=2, alpha=9.0), None
        )
