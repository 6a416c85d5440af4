"""GGUF files, zip files and packages load as the folders they hold, or are refused in one line."""

import importlib.metadata
import zipfile

import pytest
import torch

from architectures import save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.language_models.sources import PACKAGE, resolve_source
from gguf_files import CHAT, write_llama_gguf


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("EMOTION_CIRCUITS_CACHE", str(folder))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_architecture("llama", tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def gguf_file(folder, tmp_path_factory):
    return write_llama_gguf(folder, tmp_path_factory.mktemp("gguf") / "tiny.F32.gguf")


def load(source):
    return load_language_model(ModelSpec(name="m", source=str(source), device="cpu"))


def test_a_gguf_file_is_the_model_it_was_made_from(folder, gguf_file):
    ours, theirs = load(gguf_file), load(folder)
    texts = ["Dana repaired my lamp, and I looked at her chair.", "café 12"]
    for text in texts:
        ids = ours.encode(text)
        assert ids == theirs.encode(text)
        with torch.no_grad():
            logits = [m.plain_model(torch.tensor([ids])).logits for m in (ours, theirs)]
        torch.testing.assert_close(*logits, atol=1e-5, rtol=1e-5)
    assert ours.tokenizer.chat_template == CHAT


def test_a_chat_is_in_the_models_own_template_and_the_answer_follows(gguf_file):
    model = load(gguf_file)
    ids = model.encode_chat("Be angry.", "Dana repaired", system="You are Dana.")
    begun = "<system>You are Dana.<user>Be angry."
    tokenizer = model.tokenizer
    wanted = [
        tokenizer(text, add_special_tokens=False).input_ids for text in (begun, "Dana repaired")
    ]
    assert ids == wanted[0] + wanted[1]
    plain = model.encode_chat("Be angry.", "")
    assert plain == tokenizer("<user>Be angry.", add_special_tokens=False).input_ids


def test_a_model_without_a_chat_template_is_one_line(folder):
    with pytest.raises(InputError, match="model 'm' has no chat template; set chat to false"):
        load(folder).encode_chat("Be angry.", "Dana")


def test_a_file_is_unpacked_once_and_a_changed_one_anew(folder, gguf_file, cache, tmp_path):
    first = resolve_source("model 'm'", str(gguf_file))
    again = resolve_source("model 'm'", str(gguf_file))
    assert first == again
    assert len(list(cache.iterdir())) == 1
    other = write_llama_gguf(folder, tmp_path / "other.gguf", chat=False)
    assert resolve_source("model 'm'", str(other)) != first


def test_a_gguf_file_without_a_weight_is_refused_by_its_name(folder, tmp_path):
    name = "model.layers.0.mlp.up_proj.weight"
    path = write_llama_gguf(folder, tmp_path / "torn.gguf", leave_out=name)
    with pytest.raises(InputError, match=rf"lack the weights {name}"):
        load(path)


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"", "cannot be read"),
        (b"GGUF" + b"\x00" * 40, "cannot be read"),
        (b"no", "cannot be read"),
    ],
)
def test_a_broken_gguf_file_is_one_line_and_leaves_nothing(tmp_path, cache, content, line):
    path = tmp_path / "broken.gguf"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be read") as caught:
        load(path)
    assert "\n" not in str(caught.value)
    assert "'broken.gguf'" in str(caught.value)
    assert not list(cache.iterdir())


def test_a_missing_file_and_a_missing_reader_are_one_line(gguf_file, monkeypatch):
    with pytest.raises(InputError, match=r"model 'm': there is no file 'nowhere\.gguf'"):
        load("nowhere.gguf")
    version = importlib.metadata.version

    def without(name):
        if name == "gguf":
            raise importlib.metadata.PackageNotFoundError(name)
        return version(name)

    monkeypatch.setattr(importlib.metadata, "version", without)
    with pytest.raises(InputError, match=r"package gguf; install emotion-circuits\[real\]"):
        load(gguf_file)


@pytest.fixture
def package(folder, gguf_file, tmp_path, monkeypatch):
    """An installed package whose code must never run."""
    site = tmp_path / "site"
    (site / "tiny_weights").mkdir(parents=True)
    (site / "tiny_weights" / "__init__.py").write_text("raise SystemExit('imported')\n")
    (site / "tiny_weights" / "tiny.gguf").write_bytes(gguf_file.read_bytes())
    with zipfile.ZipFile(site / "tiny_weights" / "model.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
        archive.writestr("evil.py", "raise SystemExit")
        archive.writestr("../outside.json", "{}")
    (site / "tiny_weights" / "plain").mkdir()
    for path in folder.iterdir():
        (site / "tiny_weights" / "plain" / path.name).write_bytes(path.read_bytes())
    info = site / "tiny_weights-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
    files = [path for path in site.rglob("*") if path.is_file()]
    record = "".join(f"{path.relative_to(site).as_posix()},,\n" for path in files)
    (info / "RECORD").write_text(record)
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.mark.parametrize("inside", ["tiny.gguf", "model.zip", "plain"])
def test_a_package_gives_its_model_and_none_of_its_code(package, folder, cache, inside):
    model = load(f"{PACKAGE}tiny-weights/tiny_weights/{inside}")
    assert model.encode("I am") == load(folder).encode("I am")
    assert not list(cache.rglob("*.py"))
    assert not (cache.parent / "outside.json").exists()
    assert not (cache / "outside.json").exists()


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("tiny-wheights/tiny.gguf", r"package 'tiny-wheights' is not installed"),
        ("tiny-weights/tiny_weights/tinny.gguf", r"nearest: tiny_weights/tiny\.gguf"),
        ("tiny-weights", r"known: .*tiny_weights/model\.zip"),
    ],
)
def test_what_a_package_does_not_have_is_one_line(package, source, line):
    with pytest.raises(InputError, match=line) as caught:
        load(PACKAGE + source)
    assert "\n" not in str(caught.value)
    assert "model 'm'" in str(caught.value)


def test_a_broken_zip_file_is_one_line(tmp_path):
    path = tmp_path / "model.zip"
    path.write_bytes(b"PK no")
    with pytest.raises(InputError, match=r"zip file 'model\.zip' cannot be read"):
        load(path)


def test_hub_ids_and_folders_are_left_as_they_are(folder):
    assert resolve_source("model 'm'", "openai-community/gpt2") == "openai-community/gpt2"
    assert resolve_source("model 'm'", str(folder)) == str(folder)
