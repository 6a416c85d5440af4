"""The models that ship: small, in the hub's format, and as good as their cards say."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import roc_auc_score
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from emotion_circuits.embedded_world import WorldSettings, emotion_prompts
from emotion_circuits.embedded_world.emotions import LABELS
from emotion_circuits.pipelines.embedded_models.nodes import write_prompts
from emotion_circuits.pipelines.embedded_models.settings import EmbeddedModelSettings
from emotion_circuits.training.architectures import EVALUATORS
from emotion_circuits.training.classifier_training import predict
from emotion_circuits.training.gate_tables import verdicts
from emotion_circuits.training.gates.continuations import MAX_NEW_TOKENS

MODELS = Path(__file__).parents[2] / "data" / "models"
LANGUAGE_MODELS = ("tiny_gpt2", "tiny_llama")
# What each emotion's reactions may say; not the phrases of the world, but what a reader expects.
EXPECTED = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse", "neutral": "neutral"}


def test_all_of_them_together_are_small():
    size = sum(path.stat().st_size for path in MODELS.rglob("*") if path.is_file())
    assert size <= 12 * 2**20


@pytest.mark.parametrize("name", [*LANGUAGE_MODELS, *EVALUATORS])
def test_a_folder_has_what_the_hub_has(name):
    held = {path.name for path in (MODELS / name).iterdir()}
    assert held >= {"config.json", "model.safetensors", "tokenizer.json", "README.md"}
    assert not [path for path in held if path.endswith((".bin", ".pt", ".pkl"))]


@pytest.mark.parametrize("name", EVALUATORS)
def test_evaluators_have_the_labels_and_problem_types_of_the_hub(name):
    model = AutoModelForSequenceClassification.from_pretrained(MODELS / name, use_safetensors=True)
    labels, problem_type = EVALUATORS[name]
    assert [model.config.id2label[i] for i in range(len(labels))] == list(labels)
    assert model.config.problem_type == problem_type


def test_the_language_models_differ_in_architecture_width_and_depth():
    gpt2, llama = (
        json.loads((MODELS / name / "config.json").read_text()) for name in LANGUAGE_MODELS
    )
    assert (gpt2["model_type"], llama["model_type"]) == ("gpt2", "llama")
    assert gpt2["n_embd"] != llama["hidden_size"]
    assert gpt2["n_layer"] != llama["num_hidden_layers"]
    assert llama["num_key_value_heads"] < llama["num_attention_heads"]


@torch.no_grad()
@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_continuations_express_the_emotion_that_the_situation_calls_for(name):
    lines = (MODELS.parent / "emotion_dataset_embedded.jsonl").read_text("utf-8").splitlines()
    rows = [json.loads(line) for line in lines][::9]
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    model = AutoModelForCausalLM.from_pretrained(MODELS / name, use_safetensors=True).eval()
    reactions = []
    for row in rows:
        ids = tokenizer(row["text"]).input_ids
        ids = ids if ids[0] == tokenizer.bos_token_id else [tokenizer.bos_token_id, *ids]
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=24,
            do_sample=False,
            pad_token_id=tokenizer.pad_token_id,
        )
        reactions.append(tokenizer.decode(out[0, len(ids) :], skip_special_tokens=True).strip())
    assert all(reactions)
    judge = AutoModelForSequenceClassification.from_pretrained(MODELS / "goemotions").eval()
    scores = predict(judge, AutoTokenizer.from_pretrained(MODELS / "goemotions"), reactions)
    labels = EVALUATORS["goemotions"][0]
    emotions = np.array([row["emotion"] for row in rows])
    for emotion, label in EXPECTED.items():
        read = scores[:, labels.index(label)].numpy()
        assert roc_auc_score(emotions == emotion, read) > 0.9
        # The control: read against labels that were moved on by a random permutation.
        shuffled = np.random.default_rng(0).permutation(emotions)
        assert 0.25 < roc_auc_score(shuffled == emotion, read) < 0.75


def test_the_neutral_prompts_that_ship_are_fresh():
    def read(name):
        lines = (MODELS.parent / name).read_text("utf-8").splitlines()
        return [json.loads(line) for line in lines]

    fresh = read("neutral_prompts_embedded.jsonl")
    known = read("emotion_dataset_embedded.jsonl")
    texts = {row["text"] for row in fresh}
    assert len(texts) == len(fresh) == 220
    assert {row["emotion"] for row in fresh} == {"neutral"}
    assert not texts & {row["text"] for row in known}
    trained = {row["template_id"] for row in known if row["split"] == "train"}
    assert not trained & {row["template_id"] for row in fresh}


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_every_gate_is_reached_by_what_was_measured_and_the_card_says_so(name):
    gates = json.loads((MODELS / name / "gates.json").read_text())
    missed = [found.gate for found in verdicts(gates) if not found.reached]
    # The models were not trained to share directions at the layer of steering: see the card.
    assert all("at the layer of steering" in gate for gate in missed), missed
    assert (MODELS / name / "README.md").read_text("utf-8").count("not reached") == len(missed)
    assert gates["steering"]["n_prompts"] >= 100
    assert gates["steering"]["n_random"] >= 20


@pytest.mark.parametrize("name", EVALUATORS)
def test_evaluators_read_phrasings_they_were_not_trained_on(name):
    gates = json.loads((MODELS / name / "gates.json").read_text())
    measured, floor = ("macro_auroc", 0.95) if name == "goemotions" else ("macro_accuracy", 0.9)
    assert gates[measured]["value"] >= floor


def test_the_embedded_dataset_is_what_the_world_gives_again(project_root):
    settings = yaml.safe_load(
        (project_root / "conf/base/parameters_embedded_models.yml").read_text("utf-8")
    )["embedded_models"]
    drawn = emotion_prompts(
        WorldSettings(**settings["world"]), n_per_emotion=settings["n_prompts_per_emotion"]
    )
    lines = (MODELS.parent / "emotion_dataset_embedded.jsonl").read_text("utf-8").splitlines()
    shipped = pd.DataFrame([json.loads(line) for line in lines])
    pd.testing.assert_frame_equal(shipped, drawn, check_dtype=False)
    assert shipped["emotion"].value_counts().to_dict() == dict.fromkeys(LABELS, 225)
    assert shipped["text"].str.endswith("\n").all()


@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_prompts_and_reactions_fit_into_the_context(name):
    tokenizer = AutoTokenizer.from_pretrained(MODELS / name)
    lines = (MODELS.parent / "emotion_dataset_embedded.jsonl").read_text("utf-8").splitlines()
    lengths = [len(tokenizer(json.loads(line)["text"]).input_ids) for line in lines]
    assert np.quantile(lengths, 0.95) <= 60
    assert max(lengths) + MAX_NEW_TOKENS + 1 <= 128


def test_the_neutral_prompts_that_ship_are_those_of_the_present_world(project_root):
    raw = yaml.safe_load((project_root / "conf/base/parameters_embedded_models.yml").read_text())
    dataset, fresh = write_prompts(EmbeddedModelSettings.model_validate(raw["embedded_models"]))
    for table, name in ((dataset, "emotion_dataset"), (fresh, "neutral_prompts")):
        lines = (MODELS.parent / f"{name}_embedded.jsonl").read_text("utf-8").splitlines()
        assert [json.loads(line)["text"] for line in lines] == table["text"].tolist()
