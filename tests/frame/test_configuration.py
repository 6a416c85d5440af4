"""Profiles, and mistakes in them: each is one line, before anything is loaded."""

import json
import shutil
from collections import defaultdict
from graphlib import TopologicalSorter

import click
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.io import DatasetError
from kedro.pipeline import Pipeline

from emotion_circuits.language_models.residency import resident
from emotion_circuits.pipelines.reporting.nodes import write_report
from emotion_circuits.session import StudySession
from studies import PAIR, SMALL, files_of, run


def test_two_profiles_in_one_process_keep_their_paths(project, tmp_path):
    runtime = {"results_root": str(tmp_path), **SMALL}
    first = StudySession.create(project, env="baseline_smoke", runtime_params=runtime)
    context = first.load_context()
    second = StudySession.create(project, env="embedded", runtime_params=runtime)
    second.load_context()
    first.run(pipeline_names=["dataset"])
    second.run(pipeline_names=["dataset"])
    assert (tmp_path / "baseline_smoke" / "dataset" / "statistics.json").is_file()
    statistics = json.loads((tmp_path / "embedded" / "dataset" / "statistics.json").read_text())
    assert statistics["profile"] == "embedded"
    assert context.config_loader["parameters"]["profile"] == "baseline_smoke"
    assert context.config_loader["parameters"]["emotion_vectors"]["n_components"] == 2


def test_each_profile_has_its_own_models(project):
    for env, model in (("baseline", "gpt2_small"), ("baseline_large", "llama3_8b")):
        with StudySession.create(project, env=env) as session:
            session.load_context()
            assert f"{model}.activations" in pipelines["activations"].outputs()
            assert not any("tiny" in name for name in pipelines["activations"].outputs())


@pytest.mark.parametrize(
    "env", ["baseline_smoke", "embedded", "real", "real_smoke", "baseline", "baseline_large"]
)
def test_the_parameters_of_every_profile_are_valid(project, env):
    assert (project / "conf" / env / "globals.yml").is_file()
    with StudySession.create(project, env=env) as session:
        parameters = session.load_context().params
    assert parameters["profile"] == env
    assert parameters["head_patching"].rank_pairs >= 2  # read as settings, not as plain values


def test_kedros_own_session_sees_the_same_study(project, tmp_path):
    """As kedro viz does, which does not know this project's session class."""
    with KedroSession.create(project, env="baseline_smoke") as session:
        catalog = session.load_context().catalog
        assert "{model}.emotion_vectors" in catalog.config_resolver.list_patterns()
        assert catalog.get("tiny_gpt2.language_model").exists()


@pytest.mark.parametrize("env", ["baseline_smoke", "real", "baseline"])
def test_every_entry_of_the_catalog_can_be_made(project, env):
    """As kedro viz makes them all, also those of files that nobody brought."""
    with KedroSession.create(project, env=env) as session:
        catalog = session.load_context().catalog
        for name in catalog:
            assert catalog.get(name) is not None, name
        assert not catalog.get("goemotions_train").exists()
        with pytest.raises(DatasetError, match="goemotions_train is not given"):
            catalog.load("goemotions_train")


def test_layers_are_in_one_order_also_where_a_models_nodes_are_drawn_as_one(project):
    """Otherwise kedro viz shows none of them, and does not say so."""
    with KedroSession.create(project, env="baseline_smoke") as session:
        catalog = session.load_context().catalog

    def layer(name):
        found = getattr(catalog.get(name), "metadata", None) or {}
        return found.get("kedro-viz", {}).get("layer")

    drawn = defaultdict(list)
    for node in pipelines["__default__"].nodes:
        drawn[node.namespace or node.name].append(node)
    before = defaultdict(set)
    for part in map(Pipeline, drawn.values()):
        sources = {layer(name) for name in part.inputs()} - {None}
        for made in {layer(name) for name in part.all_outputs()} - {None}:
            before[made] |= sources - {made}
    order = list(TopologicalSorter(before).static_order())  # raises on a cycle
    assert order[-2:] == ["statistics", "reporting"]


def test_the_report_waits_for_every_other_step_of_the_study(project):
    """Otherwise times of phases, and figures, would be those of an earlier run."""
    with KedroSession.create(project, env="baseline_smoke") as session:
        session.load_context()
    study = pipelines["__default__"]
    (last,) = [node for node in study.nodes if node.func is write_report]
    before = study.to_nodes(last.name).nodes
    assert {node.name for node in study.nodes} == {node.name for node in before}


@pytest.mark.parametrize(
    ("parameters", "arguments", "line"),
    [
        (
            {"emotion_vectors": {"n_componets": 3}},
            {},
            r"'n_componets' is unknown; known: .*nearest: n_components",
        ),
        ({"activations": {"batch_size": 0}}, {}, r"batch_size is 0: .*greater than or equal to 1"),
        ({"activatons": {"batch_size": 2}}, {}, r"'activatons' is unknown; .*nearest: activations"),
        ({}, {"namespaces": ["tiny_gtp2"]}, r"'tiny_gtp2' is not in profile 'baseline_smoke'"),
        ({}, {"namespaces": [f"{PAIR}2"]}, rf"^pair .* is not in profile .* nearest: {PAIR}$"),
        (
            {},
            {"pipeline_names": ["emotion_vectors"], "namespaces": [PAIR]},
            rf"'{PAIR}' has no part in the pipelines .* known: tiny_gpt2, tiny_llama$",
        ),
        ({}, {"pipeline_names": ["activation"]}, r"'activation' is unknown; .*: activations"),
        ({"alignment": {"method": "svd"}}, {}, r"method is 'svd': .*'ridge'"),
        (
            {"activations": {"layers": [9]}},
            {"pipeline_names": ["activations"]},
            r"layer 9 is out of range .*0 to 4",
        ),
        ({"dataset": {"input": "none.csv"}}, {}, r"there is no file .*none.csv"),
        ({"emotions": {"names": ["joy", "joy"]}}, {}, r"an emotion stands twice in the list"),
        (
            {"emotions": {"target_metrics": {"anger": "goemotions/angr"}}},
            {},
            r"target metric 'goemotions/angr' is not in the evaluators; .*: goemotions/anger$",
        ),
    ],
)
def test_a_mistake_is_one_line(project, tmp_path, parameters, arguments, line):
    with pytest.raises(click.ClickException, match=line) as caught:
        run(project, tmp_path, parameters=parameters, **arguments)
    assert "\n" not in caught.value.message


def test_a_layer_that_the_other_model_lacks_is_one_line(project, copied):
    wrong = {"alignment": {"layer_matching": [[0, 7]]}}
    line = r"layer '7' is not in the second model's vectors; known: 0, 1, 2, 3, 4, 5"
    with pytest.raises(click.ClickException, match=line) as caught:
        run(project, copied, parameters=wrong, pipeline_names=["alignment"])
    assert "\n" not in caught.value.message


def test_an_unknown_profile_is_one_line(project, tmp_path):
    with pytest.raises(click.ClickException, match=r"'embeded' is not in .*nearest: embedded"):
        run(project, tmp_path, env="embeded")


def profile_with(project, folder, former, new):
    """Copy the configuration with one line of the smoke profile's tables changed."""
    shutil.copytree(project / "conf", folder)
    table = folder / "baseline_smoke" / "globals.yml"
    assert former in table.read_text()
    table.write_text(table.read_text().replace(former, new))
    return str(folder)


@pytest.mark.parametrize(
    ("file", "text", "line"),
    [
        (
            "globals.yml",
            "models:\n  a: [1\nb: {",
            r"Invalid YAML .*globals\.yml, unable",
        ),
        ("globals.yml", "- a\n- b\n", "configuration of profile 'baseline_smoke': "),
        ("globals.yml", "x: ${nope:3}\n", "Unsupported interpolation type nope"),
        ("globals.yml", "a: " + "[" * 2000 + "]" * 2000, "configuration of profile"),
        ("globals.yml", "modles: {}\n", r"'modles' is not in globals\.yml of .* nearest: models"),
        ("globals.yml", "models: [tiny_gpt2]\n", "models of profile .* allowed is a table"),
        ("parameters.yml", "\t x: 1", r"Invalid YAML .*parameters\.yml"),
        ("parameters.yml", "dataset: {seed: 1, seed: 2}", "configuration of profile .*seed"),
    ],
    ids=range(8),
)
def test_a_broken_profile_is_one_line(project, tmp_path, file, text, line):
    shutil.copytree(project / "conf", tmp_path / "conf")
    (tmp_path / "conf" / "baseline_smoke" / file).write_text(text)
    with pytest.raises(click.ClickException, match=line) as caught:
        run(project, tmp_path / "results", conf_source=str(tmp_path / "conf"))
    assert "\n" not in caught.value.message


@pytest.mark.parametrize("limit", ["0", "many", "-1", "1.5", "true", "null"])
def test_a_number_of_resident_models_that_makes_no_sense_is_one_line(project, tmp_path, limit):
    source = profile_with(project, tmp_path / "conf", "max_resident: 1", f"max_resident: {limit}")
    with pytest.raises(click.ClickException, match=r"max_resident is .* whole number from 1"):
        run(project, tmp_path / "results", conf_source=source, pipeline_names=["dataset"])


def test_a_model_cannot_ask_for_remote_code(project, tmp_path):
    new = "data/models/tiny_gpt2\n    trust_remote_code: true"
    source = profile_with(project, tmp_path / "conf", "data/models/tiny_gpt2", new)
    with pytest.raises(click.ClickException, match="'trust_remote_code' is unknown"):
        run(project, tmp_path / "results", conf_source=source, pipeline_names=["activations"])


def test_a_model_folder_without_safetensors_is_one_line(project, tmp_path):
    model = tmp_path / "model"
    shutil.copytree(project / "data" / "models" / "tiny_gpt2", model)
    (model / "model.safetensors").unlink()
    source = profile_with(project, tmp_path / "conf", "data/models/tiny_gpt2", str(model))
    with pytest.raises(click.ClickException, match=r"'tiny_gpt2': folder .* has no \*\.safetensor"):
        run(project, tmp_path / "results", conf_source=source)


def test_a_missing_evaluator_stops_the_run_by_its_name_before_anything_runs(project, tmp_path):
    source = profile_with(project, tmp_path / "conf", "data/models/politeness", "data/models/no")
    before, only = resident.loads.copy(), {"pipeline_names": ["residual_patching"]}
    with pytest.raises(click.ClickException, match=r"evaluator 'politeness': there is no folder"):
        run(project, tmp_path / "results", conf_source=source, **only)
    assert not resident.loads - before
    assert not files_of(tmp_path / "results")
