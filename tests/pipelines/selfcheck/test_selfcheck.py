"""The selfcheck on small models: it passes on true ones and fails where the truth is wrong."""

import json

import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines import (
    activations,
    emotion_vectors,
    head_screening,
)
from emotion_circuits.pipelines.selfcheck.examination import Examination
from emotion_circuits.pipelines.selfcheck.nodes import judge_recovery, summarize
from emotion_circuits.pipelines.selfcheck.phases import Phases
from emotion_circuits.pipelines.selfcheck.settings import SelfcheckSettings
from emotion_circuits.pipelines.selfcheck.subjects import subjects
from emotion_circuits.planted import TRUTH_FILE, PlantedShape, PlantedTruth, build_planted
from emotion_circuits.planted.recovery import check_screening, check_table
from emotion_circuits.session import StudySession

SMALL = {"n_layers": 3, "n_heads": 6}
QUICK = {"n_pairs": 6, "sequence_length": 2, "n_bootstrap": 200}


@pytest.fixture(scope="module")
def phases():
    modules = {
        "activations": activations,
        "emotion_vectors": emotion_vectors,
        "head_screening": head_screening,
    }
    return Phases({name: module.create_pipeline() for name, module in modules.items()})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("planted") / "model"
    build_planted(PlantedShape(**SMALL), seed=1).save(path)
    return path


@pytest.mark.slow
def test_the_command_writes_the_table_and_ends_well(project_root, monkeypatch, tmp_path):
    monkeypatch.chdir(project_root)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    bootstrap_project(project_root)
    parameters = {"shapes": [SMALL], "n_seeds": 1, "n_unplanted": 1, **QUICK}
    runtime = {"results_root": str(tmp_path), "selfcheck": parameters}
    with StudySession.create(project_root, env="baseline_smoke", runtime_params=runtime) as session:
        session.run(pipeline_names=["selfcheck"])
    table = pd.read_csv(tmp_path / "baseline_smoke" / "selfcheck" / "recovered.csv")
    assert table["passed"].all()
    assert table["model"].unique().tolist() == ["planted_gpt2_3x6_0", "unplanted"]
    assert {
        *("direction_cosine", "screening_auroc", "planted_heads_share", "redundant_alone"),
        *("other_heads_share", "steered_share", "mapped_cosine", "models_with_findings"),
        *("circuit_recall", "edge_recall", "roles_recovered", "circuit_faithfulness"),
        *("circuit_model_distance", "random_faithfulness", "models_with_circuits"),
        *("edge_circuit_faithfulness", "random_edge_faithfulness", "without_edges_remaining"),
    } <= set(table["check"])


@pytest.fixture(scope="module")
def examination(phases, folder):
    settings = SelfcheckSettings(models=str(folder), **QUICK)
    return Examination(next(subjects(settings)), phases, settings)


@pytest.mark.slow
def test_a_folder_reaches_the_bars_by_its_truth_and_misses_them_by_another(examination, folder):
    right = check_table([*examination.directions(), *examination.screening()])
    assert right["passed"].all()
    assert {"direction_cosine", "screening_auroc"} <= set(right["check"])
    # Each express head changes names with a head without a part.
    truth = PlantedTruth.read(folder)
    named = {node.node for node in truth.nodes}
    free = [f"a{layer}.h{head}" for layer in range(3) for head in range(6)]
    free = [name for name in free if name not in named]
    nodes = tuple(
        node.model_copy(update={"node": free.pop()}) if node.role == "express" else node
        for node in truth.nodes
    )
    wrong = truth.model_copy(update={"nodes": nodes})
    table = check_table(check_screening(wrong, examination.data["head_score_table"], bar=0.95))
    failed = table[~table["passed"]]
    for emotion in truth.emotions:
        assert failed["subject"].str.fullmatch(f"{emotion}, logit_drop_mean").any()
        assert not failed["subject"].str.fullmatch(f"{emotion}, cue_attention_last").any()
    with pytest.raises(InputError, match=r"bars are missed, by 1 of 1 models; the first is"):
        judge_recovery(table.assign(model="wrong"))


def test_the_summary_has_the_worst_of_each_kind():
    table = pd.DataFrame(
        {
            "model": ["a", "b", "a"],
            "check": ["cosine", "cosine", "other"],
            "subject": "",
            "recovered": [0.9, 1.0, 0.3],
            "bar": [0.95, 0.95, 0.2],
            "at_least": [True, True, False],
            "passed": [False, True, False],
        }
    )
    summary = summarize(table).set_index("check")
    assert summary.loc["cosine", ["comparisons", "passed", "worst"]].tolist() == [2, 1, 0.9]
    assert summary.loc["other", ["worst", "bar"]].tolist() == [0.3, "<= 0.2"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_layers": 4}, "planted.json has n_layers 4; the model has 3"),
        ({"prompts": "none.jsonl"}, r"none\.jsonl is missing"),
        ({"cue_tokens": {"gratitude": [1], "anger": [999], "apology": [2]}}, "hold 999"),
    ],
)
def test_a_truth_that_does_not_fit_the_model_is_one_line(folder, tmp_path, change, message):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    fields = json.loads((folder / TRUTH_FILE).read_text()) | change
    (tmp_path / TRUTH_FILE).write_text(json.dumps(fields))
    with pytest.raises(InputError, match=message) as caught:
        next(subjects(SelfcheckSettings(models=[str(tmp_path)])))
    assert "\n" not in str(caught.value)


def test_a_missing_folder_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"has no planted\.json"):
        next(subjects(SelfcheckSettings(models=str(tmp_path / "none"))))
