"""Evaluators are loaded once a process, whatever language models do, and leave when a run ends."""

import gc
import weakref

import pytest
from kedro.framework.hooks.manager import _create_hook_manager
from kedro.io import DataCatalog, DatasetError
from kedro.pipeline import Node, Pipeline

from emotion_circuits.datasets import LanguageModelDataset, TextEvaluatorDataset
from emotion_circuits.datasets.text_evaluator import resident_evaluators
from emotion_circuits.errors import InputError
from emotion_circuits.hooks import ModelResidencyHook
from emotion_circuits.language_models.residency import resident
from emotion_circuits.runners import ModelMajorRunner
from emotion_circuits.study_check import StudyCheckHook


@pytest.fixture
def models(project_root, monkeypatch):
    monkeypatch.chdir(project_root / "notebooks")
    return {name: {"source": f"data/models/{name}"} for name in ("tiny_gpt2", "tiny_llama")}


def evaluators(*names):
    return {name: {"source": f"data/models/{name}"} for name in names}


def score(model, evaluator, seen):
    seen.append((model.name, weakref.ref(evaluator)))
    return evaluator.evaluate_batch([model.name])["sentiment/neutral"].tolist()


def study(models, table, seen):
    """Two models, two nodes each, in one run with the project's hooks."""
    catalog = DataCatalog(
        {
            "text_evaluator": TextEvaluatorDataset(evaluators=table),
            **{
                f"{name}.language_model": LanguageModelDataset(name=name, models=models)
                for name in models
            },
        }
    )
    nodes = [
        Node(
            lambda model, evaluator: score(model, evaluator, seen),
            [f"{name}.language_model", "text_evaluator"],
            f"{name}.{number}",
            name=f"{name}.score_{number}",
            namespace=name,
        )
        for name in models
        for number in "ab"
    ]
    return Pipeline(nodes), catalog


def run(pipeline, catalog):
    hooks = _create_hook_manager()
    hooks.register(StudyCheckHook())
    hooks.register(ModelResidencyHook())
    hooks.hook.before_pipeline_run(run_params={}, pipeline=pipeline, catalog=catalog)
    ModelMajorRunner().run(pipeline, catalog, hooks)
    hooks.hook.after_pipeline_run(run_params={}, run_result={}, pipeline=pipeline, catalog=catalog)


def test_evaluators_are_loaded_once_while_language_models_come_and_go(models):
    before, models_before = resident_evaluators.loads.copy(), resident.loads.copy()
    seen = []
    run(*study(models, evaluators("sentiment", "politeness"), seen))
    assert sum((resident_evaluators.loads - before).values()) == 1
    assert sum((resident.loads - models_before).values()) == 2
    assert [name for name, _ in seen] == ["tiny_gpt2"] * 2 + ["tiny_llama"] * 2
    gc.collect()
    assert [alive() for _, alive in seen] == [None] * 4
    assert len(resident_evaluators) == len(resident) == 0


def test_an_evaluator_in_memory_does_not_make_a_language_model_leave(models):
    language_model = LanguageModelDataset(name="tiny_gpt2", models=models)
    evaluator = TextEvaluatorDataset(evaluators=evaluators("sentiment"))
    first = language_model.load()
    scorer = evaluator.load()
    assert language_model.load() is first
    assert evaluator.load() is scorer
    language_model.release()
    assert evaluator.load() is scorer
    evaluator.release()
    assert evaluator.load() is not scorer
    evaluator.release()


def test_a_missing_evaluator_stops_the_run_before_anything_is_loaded(models):
    before, models_before = resident_evaluators.loads.copy(), resident.loads.copy()
    table = evaluators("sentiment") | {"tone": {"source": "data/models/tone"}}
    seen = []
    with pytest.raises(InputError, match=r"evaluator 'tone': there is no folder"):
        run(*study(models, table, seen))
    assert not seen
    assert not resident_evaluators.loads - before
    assert not resident.loads - models_before


def test_a_profile_without_evaluators_is_one_line(models):
    dataset = TextEvaluatorDataset(evaluators=None)
    assert not dataset.exists()
    dataset.release()
    with pytest.raises(InputError, match=r"profile has no evaluators; add 'evaluators:'"):
        dataset.check()


def test_evaluators_are_never_written(models):
    with pytest.raises(DatasetError, match="read-only"):
        TextEvaluatorDataset(evaluators=evaluators("sentiment")).save(1)
