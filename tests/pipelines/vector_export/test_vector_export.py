"""Vectors that leave the project act as phase 5 says, and those that come back act the same."""

import hashlib
import importlib.metadata
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from transformers import AutoModelForCausalLM

from emotion_circuits.datasets import DirectionFilesDataset, ImportedVectorsDataset
from emotion_circuits.direction_files import Directions, read_directions, write_directions
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.directions import vectors_at
from emotion_circuits.experiments.imported_directions import warn_of_imported, with_imported
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.interventions import (
    Add,
    Checkpoint,
    Condition,
    Constant,
    Everywhere,
    Intervention,
    Row,
    Site,
    record_rows,
)
from emotion_circuits.language_models.fingerprint import weights_digest
from emotion_circuits.pipelines.residual_patching.nodes import sweep_controls, sweep_emotions
from emotion_circuits.pipelines.vector_export.nodes import choose_layers, export_vectors
from emotion_circuits.pipelines.vector_export.settings import VectorExportSettings
from study_emotions import FOUR

STEERING = {
    "split": "fresh",
    "max_samples_per_emotion": 4,
    "layers": [1, 3],
    "alphas": [2.0],
    "sequence_length": 8,
    "num_random": 1,
    "num_covariance": 1,
    "num_shuffled": 1,
    "n_bootstrap": 20,
}
LAST = Site("resid_post", 4)
SELECTION = pd.DataFrame(
    [
        {"choice": "headline", "emotion": "anger", "layer": 3, "alpha": 4.0},
        {"choice": "last_layers", "emotion": "anger", "layer": 4, "alpha": 1.0},
        {"choice": "headline", "emotion": "gratitude", "layer": 0, "alpha": 2.0},
    ]
)


def export(model, vectors, selection=None, **settings):
    settings = VectorExportSettings(**settings)
    layers = choose_layers(FOUR, settings, selection)
    return export_vectors(model, vectors, layers, FOUR, settings)


def test_layers_are_those_that_phase_5_chose_and_all_where_it_chose_none(model, vectors):
    files, table = export(model, vectors, SELECTION)
    assert files["anger.gguf"].layers == [3]
    assert files["anger.gguf"].metadata["alpha"] == "4"
    assert files["gratitude.safetensors"].layers == [0]
    assert "gratitude.gguf" not in files  # GGUF has no place for layer 0
    assert files["apology.safetensors"].layers == [0, 1, 2, 3, 4]
    assert files["apology.gguf"].layers == [1, 2, 3, 4]
    assert "alpha" not in files["apology.gguf"].metadata
    own = table.set_index(["emotion", "layer"])
    assert own.loc[("anger", 3), ["alpha", "formats"]].tolist() == [4.0, "safetensors gguf"]
    assert own.loc[("gratitude", 0), "formats"] == "safetensors"
    assert len(table) == 1 + 1 + 5


def test_raw_vectors_are_phase_3s_and_unit_vectors_have_length_1(model, vectors):
    layers = vectors["metadata"]["layer_indices"]
    raw, _ = export(model, vectors, layers=[2], emotions=["apology"], formats=["safetensors"])
    unit, table = export(model, vectors, layers="all", scale="unit")
    assert list(raw) == ["apology.safetensors"]
    for layer in layers:
        own = vectors["emotion_vectors"]["apology"][layers.index(layer)]
        scaled = unit["apology.safetensors"].by_layer[layer]
        np.testing.assert_allclose(scaled, own / np.sqrt((own**2).sum()), rtol=1e-6)
        if layer == 2:
            assert raw["apology.safetensors"].by_layer[2].tobytes() == own.astype("f4").tobytes()
    assert np.allclose(table["length"], 1, atol=1e-6)
    assert unit["apology.gguf"].metadata["scale"] == "unit"


def test_the_metadata_say_where_a_vector_comes_from(model, vectors):
    files, _ = export(model, vectors)
    metadata = files["anger.safetensors"].metadata
    expected = {
        "model": "tiny_gpt2",
        "source": model.spec.source,
        "model_type": "gpt2",
        "hook_point": "resid_post",
        "emotion": "anger",
        "neutral": "neutral",
        "method": "mean_difference",
        "position_strategy": "last_token",
        "texts": "all",
        "scale": "raw",
        "n_layers": "5",
        "d_model": str(model.d_model),
        "package": f"emotion-circuits {importlib.metadata.version('emotion-circuits')}",
    }
    assert expected.items() <= metadata.items()
    assert "revision" not in metadata  # a folder has none


def test_the_digest_of_weights_is_that_of_their_bytes_and_of_no_others(model, models):
    plain = AutoModelForCausalLM.from_pretrained(models / "tiny_gpt2")
    text = b""
    for name in sorted(plain.state_dict()):
        values = plain.state_dict()[name].numpy()
        text += f"{name} torch.float32 {values.shape}\n".encode() + values.tobytes()
    assert weights_digest(model) == hashlib.sha256(text).hexdigest()
    with torch.no_grad():
        plain.lm_head.weight[0, 0] += 1
    assert weights_digest(replace(model, plain_model=plain)) != weights_digest(model)


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_hook_on_the_block_that_a_file_names_steers_as_phase_5_does(
    model, models, vectors, prompts, tmp_path, kind
):
    """A plain hook on block n, as steering-vectors, repeng and llama.cpp add direction n."""
    files, _ = export(model, vectors, layers=[1, 3])
    write_directions(tmp_path / f"anger.{kind}", files[f"anger.{kind}"])
    direction = torch.tensor(read_directions(tmp_path / f"anger.{kind}").by_layer[3])
    ids = tuple(model.encode(prompts["text"].iloc[0]))
    blocks = AutoModelForCausalLM.from_pretrained(models / "tiny_gpt2").eval()
    own = vectors["emotion_vectors"]["anger"][3]
    change = Intervention(
        Site("resid_post", 3), Add(torch.tensor(own)), Everywhere(), Constant(1.0)
    )
    condition = Condition("anger", (change,))
    ((_, recorded),) = record_rows(model, [Row(ids, condition)], [LAST])
    steered = recorded.activations[LAST][0]

    def hooked(block):
        kept = {}

        def add(_module, _inputs, output):
            if isinstance(output, tuple):
                return (output[0] + direction, *output[1:])
            return output + direction

        def keep(_module, _inputs, output):
            kept["last"] = output[0] if isinstance(output, tuple) else output

        modules = blocks.transformer.h
        handles = [
            modules[block].register_forward_hook(add),
            modules[-1].register_forward_hook(keep),
        ]
        with torch.no_grad():
            blocks(torch.tensor([list(ids)]))
        for handle in handles:
            handle.remove()
        return kept["last"][0]

    torch.testing.assert_close(hooked(3), steered, atol=1e-4, rtol=1e-4)
    for other in (2, 4):
        assert (hooked(other) - steered).abs().max() > 0.1


@pytest.fixture(scope="module")
def study(model, evaluator, vectors, subspaces, activations, prompts, fresh, tmp_path_factory):
    """Both sweeps of phase 5, with and without imported directions."""

    def sweep(imported=None, **settings):
        chosen = SteeringSettings(**(STEERING | settings))
        checkpoint = Checkpoint(tmp_path_factory.mktemp("sweep") / "rows")
        shared = (model, evaluator, vectors, subspaces)
        table = prompts, fresh, checkpoint, "baseline_smoke"
        steered = sweep_emotions(*shared, *table, FOUR, chosen, imported)
        rest = activations, steered, checkpoint, FOUR, chosen, imported
        return steered, sweep_controls(*shared, *rest)

    return sweep


def imported_from(folder, model, files):
    """Write directions and read them as the catalog does."""
    table = {}
    for name, directions in files.items():
        write_directions(folder / name, directions)
        table[name.split(".")[0]] = str(folder / name)
    models = {"tiny_gpt2": {}, "other": {}}
    files = {"tiny_gpt2": table}
    return ImportedVectorsDataset(model=model.name, models=models, files=files).load()


@pytest.mark.parametrize("kind", ["safetensors", "gguf"])
def test_a_studys_own_vectors_come_back_with_the_same_texts(study, model, vectors, tmp_path, kind):
    files, _ = export(model, vectors, layers=[1, 3], formats=[kind])
    imported = imported_from(tmp_path, model, files)
    assert list(imported) == list(FOUR.names)
    own, own_random = study()
    again, again_random = study(imported)
    assert again["sweep_results"] == own["sweep_results"]
    for controls in ("random_results", "covariance_results", "shuffled_results"):
        assert again_random[controls].keys() == own_random[controls].keys()
    assert "imported_vectors" not in own["metadata"]
    described = again["metadata"]["imported_vectors"]["anger"]
    content = (tmp_path / f"anger.{kind}").read_bytes()
    assert described["file_sha256"] == hashlib.sha256(content).hexdigest()
    assert described["layers"] == [1, 3]


def test_an_imported_direction_replaces_its_emotions_and_no_others(study, model, vectors, tmp_path):
    other = Directions(
        {3: np.asarray(vectors["emotion_vectors"]["gratitude"][3], dtype=np.float32)},
        {"model_type": "gpt2"},
    )
    imported = imported_from(tmp_path, model, {"anger.safetensors": other})
    own, _ = study()
    swapped, random = study(imported, layers="all", alphas=[2.0])
    results = swapped["sweep_results"]
    assert list(results["anger"]) == [3]  # the layers of the file
    assert list(results["gratitude"]) == [0, 1, 2, 3, 4]
    assert results["anger"][3][2.0]["texts"] == own["sweep_results"]["gratitude"][3][2.0]["texts"]
    assert results["anger"][3][2.0]["texts"] != own["sweep_results"]["anger"][3][2.0]["texts"]
    assert results["apology"][3] == own["sweep_results"]["apology"][3]
    length = float(np.linalg.norm(other.by_layer[3]))
    drawn = random["controls"]["random"]["anger"][3][0]
    assert random["vector_norms"]["anger"] == {3: pytest.approx(length)}
    assert drawn  # the controls of an imported direction have its length
    assert own["vector_norms"]["anger"][3] != pytest.approx(length)


def test_other_phases_say_that_they_take_the_choices_of_imported_directions(
    study, model, vectors, caplog
):
    read = Directions({3: np.ones(model.d_model, "f4")}, {"model_type": "gpt2"})
    swapped, _ = study({"anger": read}, layers="all")
    warn_of_imported(swapped)
    assert "tiny_gpt2 was steered with imported directions of anger" in caplog.text
    caplog.clear()
    own, _ = study()
    warn_of_imported(own)
    assert "imported" not in caplog.text


def directions(width=64, layer=1, **metadata):
    return Directions({layer: np.ones(width, dtype=np.float32)}, metadata)


@pytest.mark.parametrize(
    ("emotion", "read", "message"),
    [
        ("anger", directions(width=63), "direction of anger has width 63; model 'tiny_gpt2' has"),
        ("anger", directions(model_type="llama"), "for a model of type 'llama'; 'tiny_gpt2' is"),
        ("anger", directions(layer=5), "has layer 5; layers of 'tiny_gpt2' are 0 to 4"),
        ("anger", directions(hook_point="resid_pre"), "is for 'resid_pre'; allowed is 'resid_po"),
        ("angre", directions(), "emotion of imported_vectors 'angre' is unknown; known: grat"),
    ],
)
def test_directions_that_do_not_fit_are_refused_in_one_line(model, vectors, emotion, read, message):
    if read.d_model == 64:
        by_layer = {layer: np.ones(model.d_model, "f4") for layer in read.layers}
        read = replace(read, by_layer=by_layer)
    with pytest.raises(InputError) as caught:
        with_imported(vectors, {emotion: read}, model, FOUR)
    assert message in str(caught.value)


def test_a_layer_that_the_file_lacks_is_refused(model, vectors):
    read = Directions({2: np.ones(model.d_model, "f4")}, {"model_type": "gpt2"})
    changed = with_imported(vectors, {"anger": read}, model, FOUR)
    with pytest.raises(InputError, match="layer '1' is not in the imported direction of anger; k"):
        vectors_at(changed, [1, 2], "resid_post")
    at_resid_pre = {**vectors, "metadata": {**vectors["metadata"], "hook_pos": "resid_pre"}}
    with pytest.raises(InputError, match=r"set emotion_vectors\.hook_point to resid_post"):
        with_imported(at_resid_pre, {"anger": read}, model, FOUR)
    with pytest.raises(InputError, match="were measured at 'resid_pre'"):
        export(model, at_resid_pre)


def test_names_of_architectures_may_be_written_as_llama_cpp_does(model, vectors):
    for hint in ("gpt2", "GPT-2"):
        read = Directions({2: np.ones(model.d_model, "f4")}, {"model_type": hint})
        changed = with_imported(vectors, {"anger": read}, model, FOUR)
        assert list(vectors_at(changed, "all", "resid_post"))[5:7] == [("anger", 2), ("apology", 0)]
    assert with_imported(vectors, {}, model, FOUR) is vectors


def test_a_direction_of_the_last_layers_alone_is_refused_before_texts_are_made(study, model):
    read = Directions({4: np.ones(model.d_model, "f4")}, {"model_type": "gpt2"})
    with pytest.raises(InputError, match="of 5 layers the headline may choose 0 to 3"):
        study({"anger": read}, layers="all")


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"tiny_gtp2": {}}, "model of imported_vectors 'tiny_gtp2' is unknown; known: tiny_gpt2"),
        ({"tiny_gpt2": "a.gguf"}, "allowed is a table of models, emotions and files"),
        ({"tiny_gpt2": {"anger": "a.gguf"}}, "there is no file"),
    ],
)
def test_a_table_of_files_that_cannot_be_read_is_refused(files, message):
    dataset = ImportedVectorsDataset(model="tiny_gpt2", models={"tiny_gpt2": {}}, files=files)
    with pytest.raises(DatasetError, match=message) as caught:
        dataset.load()
    assert isinstance(caught.value.__cause__, InputError)


def test_an_emotion_of_another_study_is_not_exported(model, vectors):
    with pytest.raises(InputError, match=r"emotion 'angr' is not in the study; .* nearest: anger"):
        export(model, vectors, emotions=["angr"])
    with pytest.raises(InputError, match="layer '9' is not in the emotion vectors"):
        export(model, vectors, layers=[9])
    with pytest.raises(InputError, match="formats"):
        VectorExportSettings(formats=["ggml"])


def test_the_files_exist_together_or_not_at_all(tmp_path):
    dataset = DirectionFilesDataset(folder=tmp_path, model="m")
    with pytest.raises(DatasetError, match="run --pipelines=vector_export"):
        dataset.load()
    first = directions(layer=1, model_type="gpt2")
    dataset.save({"anger.gguf": first, "anger.safetensors": first})
    assert dataset.exists()
    assert list(dataset.load()) == ["anger.gguf", "anger.safetensors"]
    assert dataset.load()["anger.gguf"].metadata == {"model_type": "gpt2"}
    dataset.save({"joy.gguf": first})
    assert {path.name for path in tmp_path.iterdir()} == {"m_joy.gguf", "m_files.json"}
    with pytest.raises(DatasetError, match="no place for layer 0"):
        dataset.save({"joy.gguf": directions(layer=0, model_type="gpt2")})
    assert not dataset.exists()
    (tmp_path / "m_files.json").write_text('["../joy.gguf"]')
    with pytest.raises(DatasetError, match=r"allowed is a list of names such as anger\.gguf"):
        dataset.load()
