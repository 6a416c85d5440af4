"""The training pipeline at a size that takes seconds: everything is made, judged and saved."""

import pytest
import yaml
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from emotion_circuits.datasets.pretrained_folder import PretrainedFolderDataset
from emotion_circuits.pipelines.embedded_models.pipeline import create_pipeline
from emotion_circuits.pipelines.embedded_models.settings import EmbeddedModelSettings

MODELS = ("tiny_gpt2", "tiny_llama", "sentiment", "politeness", "goemotions")
TRAINING = {"n_texts": 64, "n_epochs": 1, "batch_size": 16, "validate_every": 2}


@pytest.fixture(scope="module")
def micro(project_root):
    settings = yaml.safe_load(
        (project_root / "conf/base/parameters_embedded_models.yml").read_text("utf-8")
    )["embedded_models"]
    shape = {"n_layers": 1, "d_model": 16, "n_heads": 2, "d_mlp": 32}
    settings |= {
        "device": "cpu",
        "vocab_size": 800,
        "n_validation": 32,
        "n_prompts_per_emotion": 3,
        "n_fresh_prompts": 3,
        "n_gate_texts": 24,
        "n_gate_prompts": 12,
        "n_gate_directions": 2,
    }
    for name in ("tiny_gpt2", "tiny_llama", "evaluators"):
        settings[name] |= {"shape": shape, "training": TRAINING}
    return EmbeddedModelSettings.model_validate(settings)


@pytest.fixture(scope="module")
def made(micro, tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    catalog = DataCatalog(
        {
            "params:embedded_models": MemoryDataset(micro),
            **{
                f"trained_{name}": PretrainedFolderDataset(
                    filepath=str(folder / name),
                    kind="causal_lm" if "tiny" in name else "sequence_classification",
                )
                for name in MODELS
            },
            "embedded_prompts": MemoryDataset(),
            "embedded_fresh_prompts": MemoryDataset(),
            **{f"{kind}_{name}": MemoryDataset() for kind in ("gates", "card") for name in MODELS},
        }
    )
    SequentialRunner().run(create_pipeline(), catalog)
    return folder, catalog


@pytest.mark.parametrize("name", MODELS)
def test_saved_folders_load_by_the_auto_classes(made, name):
    folder, catalog = made
    auto = AutoModelForCausalLM if "tiny" in name else AutoModelForSequenceClassification
    model = auto.from_pretrained(folder / name, use_safetensors=True)
    assert len(AutoTokenizer.from_pretrained(folder / name)) == model.config.vocab_size
    record = catalog.load(f"trained_{name}").record
    assert record["curve"]
    assert name in catalog.load(f"card_{name}")
    assert catalog.load(f"gates_{name}")


def test_an_untrained_model_does_not_pass_its_gates(made):
    # The gates must be able to fail: after a few steps nothing is expressed yet.
    _, catalog = made
    expressed = catalog.load("gates_tiny_gpt2")["expressed_emotion"]
    shares = [cell["share"] for cell in expressed.values()]
    assert min(shares) < 0.8


def test_prompts_are_drawn_for_every_label(made):
    _, catalog = made
    prompts = catalog.load("embedded_prompts")
    assert prompts["emotion"].value_counts().to_dict() == dict.fromkeys(
        ("gratitude", "anger", "apology", "neutral"), 3
    )


def test_fresh_prompts_are_neutral_and_none_of_the_datasets(made):
    _, catalog = made
    fresh = catalog.load("embedded_fresh_prompts")
    assert fresh["emotion"].tolist() == ["neutral"] * 3
    assert not set(fresh["text"]) & set(catalog.load("embedded_prompts")["text"])
