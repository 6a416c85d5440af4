"""Parquet files and tables of the package datasets give the same table as other formats."""

import importlib.util
import json

import pandas as pd
import pyarrow
import pytest
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from pyarrow import parquet

from datasets import ClassLabel, Dataset, DatasetDict, Features, List, Value
from emotion_circuits.datasets import PromptSourceDataset, dataset_tables
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.dataset.nodes import build_prompts
from emotion_circuits.pipelines.dataset.settings import DatasetSettings
from emotion_circuits.session import StudySession
from study_emotions import FOUR

NAMES = ["joy", *FOUR.labels]
ROWS = [
    {"text": f"{word} text {number}", "emotion": label, "lang": None if number else "en"}
    for label, word in zip(FOUR.labels, ("Thanks,", "Furious", "Sorry,", "Plain"), strict=True)
    for number in range(10)
]
CODED = Features({"text": Value("string"), "emotion": ClassLabel(names=NAMES)})


def build(path, columns=None, **options):
    source = PromptSourceDataset(filepath=str(path), **options).load()
    settings = DatasetSettings(columns=columns or {})
    return build_prompts(source, "profile", FOUR, settings)[0]


@pytest.fixture
def wanted(tmp_path):
    path = tmp_path / "wanted.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return build(path)


def coded(rows=ROWS):
    lines = [{"text": row["text"], "emotion": NAMES.index(row["emotion"])} for row in rows]
    return Dataset.from_list(lines, features=CODED)


def test_parquet_gives_the_same_table(tmp_path, wanted):
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), tmp_path / "a.parquet")
    pd.testing.assert_frame_equal(build(tmp_path / "a.parquet"), wanted)
    pd.DataFrame(ROWS).rename(columns={"text": "comment"}).to_parquet(tmp_path / "b.parquet")
    pd.testing.assert_frame_equal(build(tmp_path / "b.parquet", {"text": "comment"}), wanted)


def test_numbers_of_labels_become_their_names(tmp_path, wanted):
    coded().to_parquet(tmp_path / "a.parquet")
    assert parquet.read_table(tmp_path / "a.parquet")["emotion"][0].as_py() == 1
    pd.testing.assert_frame_equal(build(tmp_path / "a.parquet"), wanted)


def test_a_folder_of_save_to_disk_gives_the_same_table(tmp_path, wanted):
    coded().save_to_disk(tmp_path / "one")
    pd.testing.assert_frame_equal(build(tmp_path / "one"), wanted)
    both = DatasetDict({"train": coded(), "validation": coded(ROWS[:3])})
    both.save_to_disk(tmp_path / "two")
    options = {"source_split": "train"}
    pd.testing.assert_frame_equal(build(tmp_path / "two", **options), wanted)
    with pytest.raises(DatasetError, match=r"source_split is not given; known: train, validation"):
        build(tmp_path / "two")
    with pytest.raises(DatasetError, match=r"source_split 'trian' is not in .*; nearest: train"):
        build(tmp_path / "two", source_split="trian")


def test_lists_of_labels_are_read_as_goemotions_are(tmp_path, wanted):
    names = ["admiration", "gratitude", "anger", "remorse", "neutral"]
    of = dict(zip(FOUR.labels, (1, 2, 3, 4), strict=True))
    lines = [{"text": row["text"], "labels": [of[row["emotion"]]]} for row in ROWS]
    lines += [{"text": "Two", "labels": [1, 2]}, {"text": "None", "labels": []}]
    lines += [{"text": "Wow", "labels": [0]}, lines[0]]
    features = Features({"text": Value("string"), "labels": List(ClassLabel(names=names))})
    Dataset.from_list(lines, features=features).save_to_disk(tmp_path / "many")
    pd.testing.assert_frame_equal(build(tmp_path / "many"), wanted)


def test_a_broken_or_missing_table_is_one_line(tmp_path):
    (tmp_path / "a.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(DatasetError, match="this is no whole Parquet file"):
        build(tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match="there is no file"):
        build(tmp_path / "missing.parquet")
    coded().save_to_disk(tmp_path / "one")
    (tmp_path / "one" / "state.json").write_text("{}")
    with pytest.raises(DatasetError, match="cannot be read as a folder of save_to_disk or from"):
        build(tmp_path / "one")
    with pytest.raises(DatasetError, match="nobody/nothing: cannot be read"):
        build("nobody/nothing", format="datasets")
    Dataset.from_list([{"text": "a", "emotion": -1}], features=CODED).to_parquet(
        tmp_path / "b.parquet"
    )
    with pytest.raises(InputError, match=r"b\.parquet, record 1: label '' is unknown"):
        build(tmp_path / "b.parquet")


@pytest.mark.parametrize("package", dataset_tables.PACKAGES)
def test_without_a_package_the_extra_is_named(tmp_path, monkeypatch, package):
    coded().to_parquet(tmp_path / "a.parquet")
    coded().save_to_disk(tmp_path / "one")
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    for name in ("a.parquet", "one"):
        with pytest.raises(DatasetError, match=rf"the package {package}; install .*\[data\]"):
            build(tmp_path / name)


def test_the_catalog_hands_the_parameters_on(project_root, tmp_path, monkeypatch):
    DatasetDict({"train": coded(), "rest": coded(ROWS[:3])}).save_to_disk(tmp_path / "two")
    bootstrap_project(project_root)
    monkeypatch.chdir(project_root)
    runtime = {"dataset": {"input": str(tmp_path / "two"), "source_split": "rest"}}
    with StudySession.create(project_root, env="embedded", runtime_params=runtime) as session:
        catalog = session.load_context().catalog
        assert catalog.exists("prompt_source")
        assert len(catalog.load("prompt_source").records) == 3
    runtime = {"dataset": {"input": "nobody/nothing", "format": "datasets"}}
    with StudySession.create(project_root, env="embedded", runtime_params=runtime) as session:
        catalog = session.load_context().catalog
        with pytest.raises(DatasetError, match=r"[^/]nobody/nothing: cannot be read"):
            catalog.load("prompt_source")
