"""Whole runs of the study in its own folder: what users type, and what comes of it."""

import json
import os
import shutil
import subprocess
import sys
import weakref
from collections import defaultdict
from graphlib import TopologicalSorter
from pathlib import Path

import click
import nbformat
import numpy as np
import pytest
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.pipeline import Pipeline
from nbclient import NotebookClient

from emotion_circuits.datasets.text_evaluator import resident_evaluators
from emotion_circuits.language_models.residency import resident
from emotion_circuits.session import StudySession

SMALL = {
    "dataset": {"max_samples_per_emotion": 5},
    "emotion_vectors": {"n_components": 2, "n_bootstrap": 20, "n_shuffles": 2},
    "alignment": {"n_permutations": 100, "n_bootstrap": 20, "n_random": 5},
    "residual_patching": {
        "max_samples_per_emotion": 3,
        "layers": [1, 3],
        "alphas": [2.0],
        "sequence_length": 4,
        "num_random": 1,
        "num_shuffled": 1,
        "n_bootstrap": 20,
    },
}
PAIR = "tiny_gpt2_vs_tiny_llama"


@pytest.fixture(scope="module")
def project(project_root):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project_root)
        patch.delenv("KEDRO_ENV", raising=False)
        bootstrap_project(project_root)
        yield project_root


@pytest.fixture(scope="module")
def finished(project, tmp_path_factory):
    """Results of one whole run, and how often each model was loaded for it; not to be changed."""
    results = tmp_path_factory.mktemp("results")
    before, evaluators_before = resident.loads.copy(), resident_evaluators.loads.copy()
    run(project, results)
    assert sum((resident_evaluators.loads - evaluators_before).values()) == 1
    assert len(resident_evaluators) == 0
    return results, resident.loads - before


def run(project, results, env="baseline_smoke", parameters=None, **arguments):
    runtime = {"results_root": str(results), **SMALL, **(parameters or {})}
    with StudySession.create(project, env=env, runtime_params=runtime) as session:
        return session.run(**arguments)


def files_of(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def phase_3_files(model):
    return {
        f"emotion_vectors/{model}_vectors_token_based.pkl",
        f"emotion_vectors/{model}_norms.csv",
        f"emotion_vectors/{model}_cosines.csv",
        f"emotion_vectors/{model}_probes.csv",
        f"emotion_vectors/{model}_probe_auroc.json",
        f"emotion_subspaces/{model}_subspaces.pkl",
    }


def phase_5_files(model):
    return {
        *(
            f"patching/residual/{model}_{name}"
            for name in (
                "residual_sweep.pkl",
                "residual_metrics.csv",
                "dose_response.csv",
                "dose_response.json",
                "specificity.csv",
                "specificity.json",
                "selection.csv",
            )
        ),
        f"patching_random/{model}_random_sweep.pkl",
        f"patching_random/{model}_controls.csv",
    }


def phase_6_files(model):
    return {
        f"screening/head_scores_{model}.json",
        f"screening/head_scores_{model}.csv",
        f"screening/{model}_head_agreement.csv",
        f"patching/head_patching/{model}_head_ablation.pkl",
        f"patching/head_patching/{model}_head_patching.pkl",
        f"patching/head_patching/{model}_head_metrics.csv",
        f"patching/head_patching/{model}_head_summary.csv",
    }


def phase_4_files():
    return {
        f"alignment/{PAIR}_token_based_full.pkl",
        f"alignment/k_sweep_{PAIR}.pkl",
        f"alignment/{PAIR}_overlaps.csv",
        f"alignment/{PAIR}_overlaps.json",
        f"alignment/{PAIR}_maps.csv",
        f"alignment/{PAIR}_transfer.csv",
        f"alignment/{PAIR}_transfer_matrix.csv",
        f"alignment/{PAIR}_transfer_steering.csv",
        f"alignment/{PAIR}_mapped_vectors.pkl",
    }


def test_a_full_run_writes_every_file_and_loads_each_model_once(finished):
    results, loaded = finished
    assert sorted(spec.name for spec in loaded.elements()) == ["tiny_gpt2", "tiny_llama"]
    assert len(resident) == 0
    expected = {"dataset/emotion_dataset.jsonl", "dataset/statistics.json"}
    for model in ("tiny_gpt2", "tiny_llama"):
        expected |= {f"activations/{model}.pkl"} | phase_3_files(model)
        expected |= phase_5_files(model) | phase_6_files(model)
    expected |= phase_4_files()
    expected |= {
        f"statistics/{name}"
        for name in (
            *("effect_sizes.csv", "power_analysis.csv", "power_analysis.json"),
            *("k_sweep_raw.csv", "k_selection.csv"),
        )
    }
    assert files_of(results / "baseline_smoke") == expected | {"timing/phase_timings.jsonl"}


def test_one_model_leaves_memory_before_the_next_is_loaded(project, tmp_path, monkeypatch):
    from emotion_circuits.datasets import language_model as dataset_module

    load = dataset_module.load_language_model
    alive: list[weakref.ref] = []
    others_alive = []

    def watched(spec):
        others_alive.append(sum(reference() is not None for reference in alive))
        model = load(spec)
        alive.append(weakref.ref(model.hf_model))
        return model

    monkeypatch.setattr(dataset_module, "load_language_model", watched)
    run(project, tmp_path)
    assert others_alive == [0, 0]
    assert [reference() for reference in alive] == [None, None]


def test_a_phase_alone_computes_what_it_needs_first(project, tmp_path, caplog):
    with caplog.at_level("INFO"):
        run(project, tmp_path, pipeline_names=["emotion_vectors"])
    said = [record.message for record in caplog.records if "computed first" in record.message]
    assert said == ["Missing inputs are computed first: dataset, activations"]
    assert phase_3_files("tiny_llama") <= files_of(tmp_path / "baseline_smoke")


def test_a_pair_alone_computes_what_its_models_need_first(project, tmp_path):
    run(project, tmp_path, pipeline_names=["alignment"], namespaces=[PAIR])
    made = files_of(tmp_path / "baseline_smoke")
    assert phase_4_files() - made == {f"alignment/{PAIR}_transfer_steering.csv"}


def test_what_is_there_is_not_computed_again(project, tmp_path):
    run(project, tmp_path, pipeline_names=["activations"])
    activations = tmp_path / "baseline_smoke" / "activations" / "tiny_gpt2.pkl"
    written = activations.stat().st_mtime_ns
    run(project, tmp_path, pipeline_names=["emotion_vectors"])
    assert activations.stat().st_mtime_ns == written


def test_results_older_than_what_they_were_made_from_are_named(project, tmp_path, caplog):
    run(project, tmp_path, pipeline_names=["emotion_vectors"], namespaces=["tiny_gpt2"])
    again = {"pipeline_names": ["emotion_vectors"], "namespaces": ["tiny_gpt2"]}
    with caplog.at_level("WARNING", logger="emotion_circuits"):
        run(project, tmp_path, **again)
        assert "older" not in caplog.text
        run(project, tmp_path, pipeline_names=["dataset"])
        run(project, tmp_path, **again)
    assert "tiny_gpt2.activations is older than prompts, which it was made from" in caplog.text


def test_one_model_can_be_run_alone(project, tmp_path):
    run(project, tmp_path, namespaces=["tiny_llama"])
    found = files_of(tmp_path / "baseline_smoke")
    assert phase_3_files("tiny_llama") <= found
    assert not any("tiny_gpt2" in name for name in found)


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


def test_kedros_own_session_sees_the_same_study(project, tmp_path):
    """As kedro viz does, which does not know this project's session class."""
    with KedroSession.create(project, env="baseline_smoke") as session:
        catalog = session.load_context().catalog
        assert "{model}.emotion_vectors" in catalog.config_resolver.list_patterns()
        assert catalog.get("tiny_gpt2.language_model").exists()


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
    assert order[-1] == "statistics"


def test_timings_tell_phase_model_and_memory(finished):
    results, _ = finished
    lines = (results / "baseline_smoke" / "timing" / "phase_timings.jsonl").read_text()
    events = [json.loads(line) for line in lines.splitlines()]
    phases = [(event["phase"], event["model"]) for event in events]
    phases.remove(("statistics", None))
    # A phase's last node may wait while another phase runs; one model comes after the other.
    of_models = [
        (phase, model)
        for model in ("tiny_gpt2", "tiny_llama")
        for phase in (
            *("activations", "emotion_vectors", "head_patching", "head_screening"),
            "residual_patching",
        )
    ]
    assert phases[0] == ("dataset", None)
    assert sorted(phases[1:6]) == of_models[:5]
    assert sorted(phases[6:11]) == of_models[5:]
    assert sorted(phases[11:]) == [("alignment", PAIR), ("transfer_steering", PAIR)]
    for event in events:
        patched = SMALL["residual_patching"]["max_samples_per_emotion"]
        assert event["samples"] == (patched if event["phase"] == "transfer_steering" else 20)
        assert event["elapsed_seconds"] > 0
        assert event["metadata"]["peak_rss_mib"] > 50
        assert event["device"] == "cpu"


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
            {"alignment": {"layer_matching": [[0, 7]]}},
            {},
            r"layer '7' is not in the second model's vectors; known: 0, 1, 2, 3, 4, 5",
        ),
        ({"activations": {"layers": [9]}}, {}, r"layer 9 is out of range .*0 to 4"),
        ({"dataset": {"input": "none.csv"}}, {}, r"there is no file .*none.csv"),
    ],
)
def test_a_mistake_is_one_line(project, tmp_path, parameters, arguments, line):
    with pytest.raises(click.ClickException, match=line) as caught:
        run(project, tmp_path, parameters=parameters, **arguments)
    assert "\n" not in caught.value.message


def test_an_unknown_profile_is_one_line(project, tmp_path):
    with pytest.raises(click.ClickException, match=r"'embeded' is not in .*nearest: embedded"):
        run(project, tmp_path, env="embeded")


def test_a_pickle_with_a_foreign_class_is_refused_by_name(project, tmp_path):
    import pickle

    run(project, tmp_path, pipeline_names=["activations"])
    path = tmp_path / "baseline_smoke" / "activations" / "tiny_gpt2.pkl"
    path.write_bytes(pickle.dumps({"model_name": Path("x")}))
    with pytest.raises(click.ClickException, match=r"tiny_gpt2\.pkl: pickle names pathlib\."):
        run(project, tmp_path, pipeline_names=["emotion_vectors"])


def test_a_killed_run_leaves_no_half_file_and_is_resumed(project, tmp_path):
    """SIGKILL at the moment the first activations are being written."""
    script = """
import os, signal, pickle
from kedro.framework.startup import bootstrap_project
from nbclient import NotebookClient
from emotion_circuits.session import StudySession
bootstrap_project({project!r})
dump = pickle.dump
def torn(data, file, **options):
    file.write(pickle.dumps(data)[:1000]); file.flush()
    os.kill(os.getpid(), signal.SIGKILL)
pickle.dump = torn
parameters = {parameters!r}
with StudySession.create({project!r}, env="baseline_smoke", runtime_params=parameters) as session:
    session.run(pipeline_names=["activations"])
"""
    parameters = {"results_root": str(tmp_path), **SMALL}
    filled = script.format(project=str(project), parameters=parameters)
    finished = subprocess.run([sys.executable, "-c", filled], check=False, capture_output=True)
    assert finished.returncode == -9
    assert not (tmp_path / "baseline_smoke" / "activations" / "tiny_gpt2.pkl").exists()
    run(project, tmp_path, pipeline_names=["activations"], only_missing_outputs=True)
    assert (tmp_path / "baseline_smoke" / "activations" / "tiny_llama.pkl").is_file()


def test_the_same_run_gives_the_same_numbers(project, tmp_path):
    for name in ("a", "b"):
        run(project, tmp_path / name, namespaces=["tiny_gpt2"])
    for path in ("emotion_vectors/tiny_gpt2_probes.csv", "emotion_vectors/tiny_gpt2_norms.csv"):
        first, second = ((tmp_path / name / "baseline_smoke" / path).read_bytes() for name in "ab")
        assert first == second


def test_results_follow_the_file_contract(project, finished):
    with StudySession.create(
        project, env="baseline_smoke", runtime_params={"results_root": str(finished[0])}
    ) as session:
        catalog = session.load_context().catalog
        activations = catalog.load("tiny_gpt2.activations")
        vectors = catalog.load("tiny_gpt2.emotion_vectors")
        subspaces = catalog.load("tiny_gpt2.emotion_subspaces")
    batch, layers, seq, d_model = activations["resid_post"].shape
    assert activations["resid_pre"].shape == (batch, layers, seq, d_model)
    assert activations["token_ids"].shape == activations["attention_mask"].shape == (batch, seq)
    assert batch == len(activations["prompts"]) == len(activations["labels"]) == 20
    assert activations["layer_indices"] == [0, 1, 2, 3, 4]
    assert "source" in activations["metadata"]
    assert list(vectors["emotion_vectors"]) == ["gratitude", "anger", "apology"]
    assert vectors["emotion_vectors"]["anger"].shape == (layers, d_model)
    assert isinstance(vectors["emotion_vectors"]["anger"], np.ndarray)
    assert vectors["metadata"]["position_strategy"] == "mean_over_tokens"
    assert list(subspaces["subspaces"]) == ["gratitude", "anger", "apology", "neutral"]
    entry = subspaces["subspaces"]["apology"][3]
    assert entry["components"].shape == (2, d_model)
    assert entry["explained_variance_ratio"].sum() < 1


def test_pair_results_follow_the_file_contract(project, finished):
    with StudySession.create(
        project, env="baseline_smoke", runtime_params={"results_root": str(finished[0])}
    ) as session:
        catalog = session.load_context().catalog
        full, sweep = catalog.load(f"{PAIR}.alignment"), catalog.load(f"{PAIR}.k_sweep")
        mapped = catalog.load(f"{PAIR}.mapped_vectors")
    expected = {"layer", "k", "emotion", "overlap_before", "overlap_after"}
    assert all(expected <= set(row) for row in full["results"])
    assert {row["layer"] for row in full["results"]} == {0, 1, 2, 3, 4}
    assert full["metadata"]["profile"] == "baseline_smoke"
    assert (full["metadata"]["model_a"], full["metadata"]["model_b"]) == tuple(PAIR.split("_vs_"))
    assert (sweep["model_a"], sweep["model_b"]) == ("tiny_gpt2", "tiny_llama")
    # One held-out pair an emotion: one dimension.
    cell = sweep["sweep_results"][3]["apology"]
    assert list(cell) == [1]
    assert {"overlap_cos_squared", "mean_principal_angle"} <= set(cell[1])
    assert mapped["emotion_vectors"]["anger"].shape == (5, 96)


def test_the_command_line_works_and_errors_end_with_one_line(project, tmp_path):
    kedro = Path(sys.executable).parent / "kedro"
    environment = {**os.environ, "DO_NOT_TRACK": "1"}
    parameters = f"results_root={tmp_path},dataset.max_samples_per_emotion=5"
    command = [str(kedro), "run", "--env=baseline_smoke", f"--params={parameters}"]
    good = subprocess.run(
        [*command, "--pipelines=dataset"], capture_output=True, text=True, env=environment
    )
    assert good.returncode == 0, good.stderr
    bad = subprocess.run(
        [*command, "--namespaces=tiny_gtp2"], capture_output=True, text=True, env=environment
    )
    assert bad.returncode == 1
    last = bad.stderr.strip().splitlines()[-1]
    assert last.startswith("Error: model 'tiny_gtp2' is not in profile 'baseline_smoke'")
    assert "Traceback" not in bad.stderr
    listed = subprocess.run(
        [str(kedro), "registry", "list"], capture_output=True, text=True, env=environment
    )
    assert "emotion_vectors" in listed.stdout


def test_the_notebook_lines_work(project, finished):
    script = f"""
from IPython.testing.globalipapp import start_ipython
shell = start_ipython()
shell.run_line_magic("load_ext", "kedro.ipython")
shell.run_line_magic(
    "reload_kedro", "--env=baseline_smoke --params=results_root={finished[0]}"
)
vectors = shell.user_ns["catalog"].load("tiny_gpt2.emotion_vectors")
assert set(vectors["emotion_vectors"]) == {{"gratitude", "anger", "apology"}}
model = shell.user_ns["catalog"].load("tiny_gpt2.language_model")
assert model.n_layers == 5
"""
    finished = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=project / "notebooks"
    )
    assert finished.returncode == 0, finished.stderr[-2000:]


def test_a_model_folder_without_safetensors_is_one_line(project, tmp_path):
    broken = tmp_path / "conf"
    shutil.copytree(project / "conf", broken)
    model = tmp_path / "model"
    shutil.copytree(project / "data" / "models" / "tiny_gpt2", model)
    (model / "model.safetensors").unlink()
    table = broken / "baseline_smoke" / "globals.yml"
    table.write_text(table.read_text().replace("data/models/tiny_gpt2", str(model)))
    runtime = {"results_root": str(tmp_path), **SMALL}
    with (
        StudySession.create(
            project, env="baseline_smoke", conf_source=str(broken), runtime_params=runtime
        ) as session,
        pytest.raises(click.ClickException, match=r"'tiny_gpt2': folder .* has no \*\.safetensors"),
    ):
        session.run()


@pytest.mark.parametrize(
    "notebook",
    sorted(Path(__file__).parents[2].glob("notebooks/*.ipynb")),
    ids=lambda path: path.stem,
)
def test_notebooks_run_from_top_to_bottom(project, finished, notebook):
    results, _ = finished
    cells = nbformat.read(notebook, as_version=4)
    cells.cells[1].source += f"\n%reload_kedro --params results_root={results}"
    client = NotebookClient(cells, timeout=120, resources={"metadata": {"path": project}})
    client.execute()
    printed = [output for cell in cells.cells for output in cell.get("outputs", [])]
    assert any(output.output_type == "execute_result" for output in printed)


def profile_with(project, folder, former, new):
    """Copy the configuration with one line of the smoke profile's tables changed."""
    shutil.copytree(project / "conf", folder)
    table = folder / "baseline_smoke" / "globals.yml"
    assert former in table.read_text()
    table.write_text(table.read_text().replace(former, new))
    return str(folder)


def test_a_missing_evaluator_stops_the_run_by_its_name_before_anything_runs(project, tmp_path):
    source = profile_with(project, tmp_path / "conf", "data/models/politeness", "data/models/no")
    before = resident.loads.copy()
    runtime = {"results_root": str(tmp_path / "results"), **SMALL}
    with (
        StudySession.create(
            project, env="baseline_smoke", conf_source=source, runtime_params=runtime
        ) as session,
        pytest.raises(click.ClickException, match=r"evaluator 'politeness': there is no folder"),
    ):
        session.run(pipeline_names=["residual_patching"])
    assert not resident.loads - before
    assert not files_of(tmp_path / "results")


def test_a_sweep_that_was_killed_goes_on_to_the_same_result(project, tmp_path):
    """SIGKILL when two batches of the sweep were saved; the next run redoes no finished row."""
    script = """
import os, signal
from kedro.framework.startup import bootstrap_project
from emotion_circuits.interventions import Checkpoint
from emotion_circuits.session import StudySession
bootstrap_project({project!r})
begin, add, saved = Checkpoint.open, Checkpoint.add, []
def save_every_batch(self, model):
    self.every_seconds = 0.0
    return begin(self, model)
Checkpoint.open = save_every_batch
def add_and_die(self, digests, results):
    add(self, digests, results)
    saved.append(len(digests))
    if len(saved) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
Checkpoint.add = add_and_die
parameters = {parameters!r}
with StudySession.create({project!r}, env="baseline_smoke", runtime_params=parameters) as session:
    session.run(pipeline_names=["residual_patching"], namespaces=["tiny_gpt2"])
"""
    from emotion_circuits.interventions.engine import run as engine

    patching = SMALL["residual_patching"] | {"rows": 4}
    parameters = {**SMALL, "residual_patching": patching, "results_root": str(tmp_path / "killed")}
    filled = script.format(project=str(project), parameters=parameters)
    done = subprocess.run([sys.executable, "-c", filled], check=False, capture_output=True)
    assert done.returncode == -9, done.stderr.decode()[-2000:]
    folder = tmp_path / "killed" / "baseline_smoke" / "patching" / "residual"
    assert [path.name for path in folder.iterdir()] == [".tiny_gpt2_residual_sweep.checkpoint"]
    saved = len((folder / ".tiny_gpt2_residual_sweep.checkpoint").read_text().splitlines()) - 1
    assert 0 < saved < 3 * 7

    generated = []
    generate = engine.generate_batch
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            engine,
            "generate_batch",
            lambda model, rows, *given, **options: (
                generated.append(len(rows)) or generate(model, rows, *given, **options)
            ),
        )
        only = {"pipeline_names": ["residual_patching"], "namespaces": ["tiny_gpt2"]}
        run(project, tmp_path / "killed", parameters={"residual_patching": patching}, **only)
    n_controls = 3 * 2 * 3  # emotions, one random and one shuffled each, prompts
    assert sum(generated) == 3 * 7 - saved + n_controls
    run(project, tmp_path / "whole", parameters={"residual_patching": patching}, **only)
    names = phase_5_files("tiny_gpt2")
    killed, whole = (tmp_path / name / "baseline_smoke" for name in ("killed", "whole"))
    for name in names:
        assert (killed / name).read_bytes() == (whole / name).read_bytes(), name
    assert not list(killed.rglob("*.checkpoint"))
