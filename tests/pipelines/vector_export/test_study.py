"""The export as users run it, and its files as the next run's imported vectors."""

import pandas as pd
import pytest
from kedro.framework.startup import bootstrap_project

from emotion_circuits.direction_files import read_directions
from emotion_circuits.session import StudySession
from studies import SMALL


@pytest.fixture(scope="module")
def folder(project_root, tmp_path_factory):
    results = tmp_path_factory.mktemp("results")
    bootstrap_project(project_root)
    runtime = {"results_root": str(results), **SMALL}
    with (
        pytest.MonkeyPatch.context() as patch,
        StudySession.create(project_root, env="baseline_smoke", runtime_params=runtime) as session,
    ):
        patch.chdir(project_root)
        session.run(pipeline_names=["vector_export"], namespaces=["tiny_gpt2"])
    return results / "baseline_smoke" / "vectors"


def test_vectors_are_exported_from_nothing_and_without_phase_5(folder):
    names = {path.name for path in folder.iterdir()}
    emotions = ("gratitude", "anger", "apology")
    files = {f"tiny_gpt2_{e}.{kind}" for e in emotions for kind in ("gguf", "safetensors")}
    lists = {"tiny_gpt2_exports.csv", "tiny_gpt2_files.json", "tiny_gpt2_layers.json"}
    assert names == files | lists
    table = pd.read_csv(folder / "tiny_gpt2_exports.csv")
    assert len(table) == 3 * 5
    assert table["alpha"].isna().all()
    assert read_directions(folder / "tiny_gpt2_anger.gguf").layers == [1, 2, 3, 4]


def test_the_next_run_reads_them_for_the_model_that_is_named(folder, project_root):
    path = str(folder / "tiny_gpt2_anger.gguf")
    runtime = {"imported_vectors": {"tiny_gpt2": {"anger": path}}}
    bootstrap_project(project_root)
    with StudySession.create(project_root, env="embedded", runtime_params=runtime) as session:
        catalog = session.load_context().catalog
        read = catalog.load("tiny_gpt2.imported_vectors")
        assert list(read) == ["anger"]
        assert read["anger"].metadata["emotion"] == "anger"
        assert catalog.load("tiny_llama.imported_vectors") == {}
    with StudySession.create(project_root, env="embedded") as session:
        assert session.load_context().catalog.load("tiny_gpt2.imported_vectors") == {}
