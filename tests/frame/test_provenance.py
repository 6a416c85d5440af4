"""Each result says how it was made; results of different parameters are not mixed silently."""

import hashlib
import json
import logging
import pickle
import re
import shutil

import click
import pandas as pd
import pytest
from kedro.framework.project import pipelines
from kedro.validation.type_extractor import TypeExtractor
from plotly.graph_objects import Figure
from safetensors.torch import load_file, save_file

import emotion_circuits
from emotion_circuits.datasets import ResultsFolderDataset
from emotion_circuits.datasets import language_model as dataset_module
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_settings import HeadSettings
from emotion_circuits.language_models.residency import resident
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.provenance.file_digests import FileDigests
from emotion_circuits.provenance.plan import Wishes
from emotion_circuits.provenance.record import RecordFolder
from studies import MODELS, SMALL, catalog_of, files_of, files_of_study, phase_5_files, run

PROFILE = "baseline_smoke"
STEERING = SMALL["residual_patching"]
OTHER_ALPHA = {"residual_patching": STEERING | {"alphas": [3.0]}}
OTHER_CAP = {"dataset": {"max_samples_per_emotion": 4}}
SWEEP = "tiny_gpt2.residual_sweep"
# The whole study without its report, which names the times of all runs and is written in each.
PHASES = [
    *("dataset", "activations", "emotion_vectors", "alignment", "residual_patching"),
    *("transfer_steering", "head_screening", "head_patching", "statistics"),
]


@pytest.fixture
def said(caplog):
    caplog.set_level(logging.INFO, logger="emotion_circuits")
    return caplog


def times_of(folder):
    return {name: (folder / name).stat().st_mtime_ns for name in files_of(folder)}


def records_of(results):
    return {
        record.dataset: record for record in RecordFolder(results / PROFILE / "provenance").all()
    }


def stopped(project, results, **arguments):
    """Run, and return the line that ends the run before it changes a file."""
    before = times_of(results)
    with pytest.raises(click.ClickException) as caught:
        run(project, results, **arguments)
    assert times_of(results) == before
    return caught.value.message


# Records


def test_every_result_has_a_record_of_its_own_file(finished):
    records = records_of(finished.results)
    recorded = {file for record in records.values() for file in record.files}
    made_in_each_run = {"timing/phase_timings.jsonl"} | {
        name
        for name in files_of_study()
        if name.startswith("reports/") and not name.endswith("_continuations.json")
    }
    assert recorded == files_of_study() - made_in_each_run
    for record in records.values():
        for file, digest in record.files.items():
            content = (finished.results / PROFILE / file).read_bytes()
            assert hashlib.sha256(content).hexdigest() == digest


def test_a_record_follows_from_its_parts_and_from_the_records_before_it(finished):
    records = records_of(finished.results)
    inputs = 0
    for record in records.values():
        parts = [record.node, record.dataset, record.version]
        text = json.dumps([*parts, dict(record.parameters), dict(record.inputs)], sort_keys=True)
        assert hashlib.sha256(text.encode()).hexdigest() == record.digest
        for name, digest in record.inputs.items():
            if name in records:
                inputs += 1
                assert digest == records[name].digest
                assert record.conditions.items() >= records[name].conditions.items()
    assert inputs > 100


def test_a_late_record_names_data_models_and_parameters_of_all_phases(finished, project):
    record = records_of(finished.results)["effect_sizes"]
    conditions = record.conditions
    for name, value in {
        "dataset.max_samples_per_emotion": 5,
        "residual_patching.alphas": [2.0],
        "statistics.n_permutations": 100,
        "profile": PROFILE,
    }.items():
        assert conditions[name] == value
    for model in MODELS:
        weights = (project / f"data/models/{model}/model.safetensors").read_bytes()
        digest = hashlib.sha256(weights).hexdigest()
        assert conditions[f"{model}.language_model.model.safetensors"] == digest
    data = (project / "data/emotion_dataset_embedded.jsonl").read_bytes()
    assert conditions["prompt_source.file"] == hashlib.sha256(data).hexdigest()
    assert "tiny_gpt2.circuit_comparisons" not in conditions


@pytest.mark.slow
def test_the_same_run_elsewhere_has_the_same_records_and_another_seed_has_others(
    project, finished, tmp_path
):
    only = {"pipeline_names": ["emotion_vectors"], "namespaces": ["tiny_gpt2"]}
    run(project, tmp_path / "same", **only)
    seed = {"emotion_vectors": SMALL["emotion_vectors"] | {"seed": 1}}
    run(project, tmp_path / "other", parameters=seed, **only)
    first, same, other = map(records_of, (finished.results, tmp_path / "same", tmp_path / "other"))
    assert len(same) == 2 + 1 + 6
    for name, record in same.items():
        assert record.digest == first[name].digest
        is_of_phase_3 = record.node not in ("build_prompts", "tiny_gpt2.capture_activations")
        assert (record.digest != other[name].digest) is is_of_phase_3


def test_records_are_a_table_in_the_catalog(project, finished):
    table = catalog_of(project, finished.results).load("provenance").set_index("dataset")
    assert table.loc[SWEEP, "node"] == "tiny_gpt2.sweep_emotions"
    assert set(table["version"]) == {emotion_circuits.__version__}


def test_records_are_no_results_to_compare(finished):
    """Those of two profiles differ where their results do not."""
    folder = ResultsFolderDataset(name="candidate", filepath=finished.results / PROFILE)
    assert set(folder.load()) == files_of_study() - {"timing/phase_timings.jsonl"}


# What is kept


def test_a_finished_study_is_kept_without_loading_anything(project, copied, said, monkeypatch):
    monkeypatch.setattr(dataset_module, "load_language_model", None)
    before, loads = times_of(copied), resident.loads.copy()
    outputs = run(project, copied, pipeline_names=PHASES)
    assert times_of(copied) == before
    assert resident.loads == loads
    n_results = len(records_of(copied)) - len(MODELS)  # the report's continuations
    assert f"All {n_results} results are there, of the same parameters, models and" in said.text
    assert isinstance(outputs["power_figure"].load(), Figure)


def test_parameters_of_speed_change_nothing(project, copied):
    before = times_of(copied)
    speed = {"rows": 3, "batch_size": 7, "device": "cpu"}
    groups = {name: SMALL[name] | speed for name in ("residual_patching", "head_screening")}
    groups["activations"] = {"batch_size": 3, "device": "cpu"}
    groups["statistics"] = SMALL["statistics"] | {"n_jobs": 2}
    run(project, copied, parameters=groups, pipeline_names=PHASES)
    assert times_of(copied) == before


def test_each_parameter_of_speed_says_so_and_none_of_training_does(project, finished):
    """By the names that such parameters have, in the settings of all phases."""
    catalog_of(project, finished.results)
    classes = set(TypeExtractor(dict(pipelines)).extract_types_from_pipelines().values())
    settings = [kind for kind in classes if issubclass(kind, PhaseSettings)]
    assert any(issubclass(kind, HeadSettings) for kind in settings)
    places = {"output", "output_dir"}
    for kind in settings:
        trains = "embedded_models" in kind.__module__ or "real_evaluators" in kind.__module__
        marked = {
            name for name, field in kind.model_fields.items() if field.json_schema_extra is not None
        }
        named = marked & {"batch_size", "rows", "device", "n_jobs"}
        wanted = {"batch_size", "rows", "device", "n_jobs"} & set(kind.model_fields)
        assert named == (set() if trains else wanted), kind
        assert marked - named <= places, kind


def test_fresh_makes_all_chosen_results_anew(project, copied):
    before = times_of(copied / PROFILE)
    run(project, copied, pipeline_names=["emotion_vectors"], parameters={"fresh": True})
    after = times_of(copied / PROFILE)
    changed = {name for name in before if after[name] != before[name]}
    assert {name.split("/")[0] for name in changed} == {
        *("emotion_vectors", "emotion_subspaces", "timing"),
    }
    assert len(changed) == 2 * 6 + 1


@pytest.mark.slow
def test_another_parameter_makes_anew_what_depends_on_it_and_nothing_else(project, copied, said):
    before = times_of(copied / PROFILE)
    run(project, copied, parameters=OTHER_ALPHA)
    after = times_of(copied / PROFILE)
    kept = {name for name in before if after[name] == before[name]}
    untouched = ("dataset", "activations", "emotion_vectors", "emotion_subspaces", "screening")
    assert {name for name in before if name.startswith(untouched)} <= kept
    assert not any(name.startswith(("patching/residual", "patching_random")) for name in kept)
    assert "statistics/effect_sizes.csv" not in kept
    assert "results are there, of the same parameters" in said.text


# What is not mixed


def leave_as_a_kill_in_the_controls(results):
    """Phase 5 as a kill leaves it after the sweep of the emotions was saved."""
    for name in phase_5_files("tiny_gpt2") - {"patching/residual/tiny_gpt2_residual_sweep.pkl"}:
        (results / PROFILE / name).unlink()
    for path in (results / PROFILE / "provenance").glob("tiny_gpt2.residual_*"):
        if path.stem != SWEEP:
            path.unlink()


def test_strengths_that_change_between_a_kill_and_its_resume_are_not_mixed(project, copied):
    leave_as_a_kill_in_the_controls(copied)
    only = {"pipeline_names": ["residual_patching"], "namespaces": ["tiny_gpt2"]}
    line = stopped(project, copied, parameters=OTHER_ALPHA, only_missing_outputs=True, **only)
    assert line.startswith(SWEEP)
    assert "tiny_gpt2_residual_sweep.pkl) was made otherwise: " in line
    assert "residual_patching.alphas was [2.0] and is [3.0]" in line
    assert "leave out --only-missing-outputs" in line
    assert "--params=accept_mixed=true" in line
    line = stopped(project, copied, parameters=OTHER_ALPHA, node_names=["tiny_gpt2.sweep_controls"])
    assert "residual_patching.alphas was [2.0] and is [3.0]" in line
    assert "run --pipelines=residual_patching first" in line

    run(project, copied, parameters=OTHER_ALPHA, **only)
    folder = copied / PROFILE
    sweep = pickle.loads((folder / "patching/residual/tiny_gpt2_residual_sweep.pkl").read_bytes())
    controls = pickle.loads((folder / "patching_random/tiny_gpt2_random_sweep.pkl").read_bytes())
    assert sweep["alpha_values"] == controls["alpha_values"] == [3.0]


def test_a_kill_without_a_change_costs_only_what_was_not_done(project, finished, copied, said):
    leave_as_a_kill_in_the_controls(copied)
    only = {"pipeline_names": ["residual_patching"], "namespaces": ["tiny_gpt2"]}
    sweep = copied / PROFILE / "patching/residual/tiny_gpt2_residual_sweep.pkl"
    written = sweep.stat().st_mtime_ns
    run(project, copied, **only)
    assert sweep.stat().st_mtime_ns == written
    assert re.search(r" 1 of \d+ results are there, of the same parameters", said.text)
    for name in phase_5_files("tiny_gpt2") - {"patching_random/tiny_gpt2_random_sweep.pkl"}:
        whole = finished.results / PROFILE / name
        assert (copied / PROFILE / name).read_bytes() == whole.read_bytes(), name


def test_a_changed_cap_of_the_dataset_stops_a_later_phase(project, copied, said):
    only = {"pipeline_names": ["emotion_vectors"], "parameters": OTHER_CAP}
    line = stopped(project, copied, **only)
    assert "dataset.max_samples_per_emotion was 5 and is 4" in line
    assert "run --pipelines=dataset,activations first" in line
    before = times_of(copied)
    run(project, copied, **{**only, "parameters": OTHER_CAP | {"accept_mixed": True}})
    assert times_of(copied) == before  # the vectors are those of the activations that are there
    assert "dataset.max_samples_per_emotion was 5 and is 4; used as it is" in said.text
    run(project, copied, pipeline_names=["dataset", "activations", "emotion_vectors"],
        parameters=OTHER_CAP)  # fmt: skip
    catalog = catalog_of(project, copied)
    assert len(catalog.load("prompts")) == 16
    assert len(catalog.load("tiny_gpt2.activations")["prompts"]) == 16


@pytest.mark.slow
def test_what_was_mixed_on_purpose_says_so(project, copied):
    seed = {"emotion_vectors": SMALL["emotion_vectors"] | {"seed": 1}}
    changed = OTHER_CAP | seed | {"accept_mixed": True}
    run(project, copied, pipeline_names=["emotion_vectors"], parameters=changed)
    record = records_of(copied)["tiny_gpt2.probe_scores"]
    assert record.conditions["dataset.max_samples_per_emotion"] == 5
    assert record.conditions["emotion_vectors.seed"] == 1
    line = stopped(project, copied, pipeline_names=["alignment"], parameters=OTHER_CAP | seed)
    assert "dataset.max_samples_per_emotion was 5 and is 4" in line


def test_a_phase_that_takes_what_is_there_does_not_take_a_mixture(project, copied):
    line = stopped(project, copied, pipeline_names=["statistics"], parameters=OTHER_ALPHA)
    assert "residual_patching.alphas was [2.0] and is [3.0]" in line


@pytest.mark.slow
def test_an_optional_input_that_appears_makes_the_table_anew(project, copied):
    hidden = copied / PROFILE / "screening"
    hidden.rename(copied / "screening")
    run(project, copied, pipeline_names=["statistics"])
    table = copied / PROFILE / "statistics" / "effect_sizes.csv"
    assert "head_screening" not in set(pd.read_csv(table)["phase"])
    (copied / "screening").rename(hidden)
    run(project, copied, pipeline_names=["statistics"])
    assert "head_screening" in set(pd.read_csv(table)["phase"])


@pytest.mark.slow
def test_other_weights_of_a_model_are_noticed(project, tmp_path):
    """One number of the weights changes, and nothing else of the file's name, size or model."""
    folder = tmp_path / "model"
    shutil.copytree(project / "data/models/tiny_gpt2", folder)
    source = tmp_path / "conf"
    shutil.copytree(project / "conf", source)
    path = source / PROFILE / "globals.yml"
    path.write_text(path.read_text().replace("data/models/tiny_gpt2", str(folder)))
    only = {"namespaces": ["tiny_gpt2"], "conf_source": str(source)}
    activations = tmp_path / PROFILE / "activations" / "tiny_gpt2.pkl"
    run(project, tmp_path, pipeline_names=["activations"], **only)
    (folder / "README.md").write_text("A card changes no result.")
    written = activations.stat().st_mtime_ns
    run(project, tmp_path, pipeline_names=["activations"], **only)
    assert activations.stat().st_mtime_ns == written

    weights = load_file(folder / "model.safetensors")
    next(iter(weights.values())).view(-1)[0] += 0.5
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    line = stopped(project, tmp_path, pipeline_names=["emotion_vectors"], **only)
    assert "tiny_gpt2.language_model.model.safetensors was" in line
    run(project, tmp_path, pipeline_names=["activations", "emotion_vectors"], **only)
    assert activations.stat().st_mtime_ns > written


def test_results_are_used_where_their_models_are_not(project, copied, tmp_path):
    """As when results of a large machine are copied to a small one."""
    source = tmp_path / "conf"
    shutil.copytree(project / "conf", source)
    path = source / PROFILE / "globals.yml"
    path.write_text(path.read_text().replace("data/models/tiny_gpt2", "data/models/tiny_gpt9"))
    renamed = records_of(copied)["effect_sizes"].conditions
    assert renamed["tiny_gpt2.language_model.source"] == "data/models/tiny_gpt2"
    before = times_of(copied)
    run(project, copied, pipeline_names=["statistics"], conf_source=str(source))
    assert times_of(copied) == before
    line = stopped(
        project,
        copied,
        pipeline_names=["statistics"],
        conf_source=str(source),
        parameters=OTHER_ALPHA,
    )
    assert "residual_patching.alphas was [2.0] and is [3.0]" in line


# Results that nothing is known of


@pytest.mark.slow
def test_a_result_without_a_record_is_used_and_named(project, copied, said):
    for path in (copied / PROFILE / "provenance").glob("*.activations.json"):
        path.unlink()
    before = times_of(copied / PROFILE)
    run(project, copied, pipeline_names=["emotion_vectors"])
    assert (
        "Nothing records how tiny_gpt2.activations, tiny_llama.activations came about, or files "
        "were changed since; used as they are"
    ) in said.text
    after = times_of(copied / PROFILE)
    assert after["activations/tiny_gpt2.pkl"] == before["activations/tiny_gpt2.pkl"]
    assert (
        after["emotion_vectors/tiny_gpt2_norms.csv"] > before["emotion_vectors/tiny_gpt2_norms.csv"]
    )
    said.clear()
    run(project, copied, pipeline_names=["emotion_vectors"])
    assert times_of(copied / PROFILE) == after
    run(project, copied, pipeline_names=["activations"])  # its own results are made anew
    assert (
        times_of(copied / PROFILE)["activations/tiny_gpt2.pkl"] > after["activations/tiny_gpt2.pkl"]
    )


@pytest.mark.parametrize("content", ["", "{", "[1]", '{"digest": 1}', "[" * 5000, "\xff"])
def test_a_broken_record_is_none(finished, tmp_path, content):
    whole = finished.results / PROFILE / "provenance" / "prompts.json"
    path = tmp_path / "prompts.json"
    path.write_bytes(whole.read_bytes())
    assert RecordFolder(tmp_path).read("prompts") is not None
    path.write_text(content, encoding="latin-1")
    assert RecordFolder(tmp_path).read("prompts") is None
    assert list(RecordFolder(tmp_path).all()) == []


def test_a_file_that_was_changed_by_hand_is_made_anew(project, copied):
    norms = copied / PROFILE / "emotion_vectors" / "tiny_gpt2_norms.csv"
    whole = norms.read_bytes()
    norms.write_bytes(whole.replace(b"anger", b"ANGER"))
    run(project, copied, pipeline_names=["emotion_vectors"])
    assert norms.read_bytes() == whole


def test_a_file_is_read_again_only_if_it_changed(tmp_path):
    path = tmp_path / "file"
    path.write_text("first")
    digests = FileDigests(tmp_path)
    assert digests(path) == hashlib.sha256(b"first").hexdigest()
    digests.save()
    opened = []
    again = FileDigests(tmp_path)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hashlib, "file_digest", lambda *_: opened.append(1))
        assert again(path) == hashlib.sha256(b"first").hexdigest()
    assert opened == []
    path.write_text("other")
    assert again(path) == hashlib.sha256(b"other").hexdigest()


# Mistakes, and the end of a run


@pytest.mark.parametrize(
    ("parameters", "only_missing", "line"),
    [
        ({"fresh": "maybe"}, False, "fresh is 'maybe'; allowed are true and false"),
        ({"accept_mixed": 1}, False, "accept_mixed is 1; allowed are true and false"),
        ({"fresh": True}, True, "fresh makes all results anew"),
    ],
)
def test_a_mistaken_wish_is_one_line(parameters, only_missing, line):
    with pytest.raises(InputError, match=line):
        Wishes.read(parameters, only_missing=only_missing)


def test_a_misspelt_wish_is_one_line(project, tmp_path):
    with pytest.raises(
        click.ClickException, match=r"parameter 'frsh' is unknown; .*nearest: fresh"
    ):
        run(project, tmp_path, pipeline_names=["dataset"], parameters={"frsh": True})


def test_an_interrupted_run_ends_with_one_line_and_goes_on(project, tmp_path, monkeypatch):
    def interrupted(spec):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dataset_module, "load_language_model", interrupted)
        with pytest.raises(click.ClickException, match="the same command goes on") as caught:
            run(project, tmp_path, pipeline_names=["activations"])
    assert caught.value.exit_code == 130
    assert files_of(tmp_path / PROFILE) == {
        *("dataset/emotion_dataset.jsonl", "dataset/statistics.json"),
        "timing/phase_timings.jsonl",
    }
    before = times_of(tmp_path / PROFILE)
    run(project, tmp_path, pipeline_names=["activations"])
    after = times_of(tmp_path / PROFILE)
    assert after["dataset/statistics.json"] == before["dataset/statistics.json"]
    assert "activations/tiny_llama.pkl" in after
