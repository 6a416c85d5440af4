"""Scores are the classifiers' own probabilities, one text at a time or many, or there are none."""

import json
import logging
import shutil

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForSequenceClassification,
    AutoTokenizer,
    BertConfig,
    BertForSequenceClassification,
    RobertaModel,
)

from architectures import CORPUS
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import (
    EvaluatorSpec,
    TextEvaluator,
    evaluator,
    nest_scores,
    tabulate_scores,
)
from emotion_circuits.training.tokenizers import train_tokenizer

TEXTS = [
    "Thank you so much, Dana.",
    "I am furious about my lamp.",
    "",
    "I am sorry.",
    "The bus comes at noon, and there is tea on the table in the kitchen.",
    "I am sorry.",
    "Café, 12 books?!",
]


@pytest.fixture(scope="module")
def table(project_root):
    folder = project_root / "data" / "models"
    return {
        name: {"source": str(folder / name)} for name in ("sentiment", "politeness", "goemotions")
    }


@pytest.fixture(scope="module")
def loaded(table):
    return TextEvaluator("cpu", table)


@torch.no_grad()
def logits_of(source, text):
    """The plain way: one text, one model, nothing padded."""
    model = AutoModelForSequenceClassification.from_pretrained(source).eval()
    return model(**AutoTokenizer.from_pretrained(source)(text, return_tensors="pt")).logits[0]


def test_scores_are_those_of_one_text_at_a_time(loaded, table):
    scores = loaded.evaluate_batch(TEXTS, 3)
    for name, row in table.items():
        labels = [key.split("/", 1)[1] for key in loaded.scorers[name].keys]
        for place, text in enumerate(TEXTS):
            logits = logits_of(row["source"], text).double().numpy()
            odds = np.exp(logits)
            wanted = odds / (1 + odds) if name == "goemotions" else odds / odds.sum()
            seen = [scores[f"{name}/{label}"][place] for label in labels]
            np.testing.assert_allclose(seen, wanted, atol=1e-6)  # float32 logits, padded


def test_only_exclusive_labels_sum_to_one(loaded):
    scores = loaded.evaluate_batch(TEXTS)
    sums = {
        name: np.sum([scores[key] for key in scorer.keys], axis=0)
        for name, scorer in loaded.scorers.items()
    }
    np.testing.assert_allclose(sums["sentiment"], 1, atol=1e-6)
    np.testing.assert_allclose(sums["politeness"], 1, atol=1e-6)
    assert (np.abs(sums["goemotions"] - 1) > 1e-3).all()


def test_keys_name_the_metric_and_the_models_own_label(loaded):
    keys = loaded.keys
    assert keys == tuple(loaded.evaluate_batch(["a"]))
    assert len(keys) == 3 + 4 + 28
    assert {"sentiment/positive", "politeness/somewhat polite", "goemotions/remorse"} <= set(keys)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("I am so grateful to you, thank you.", "goemotions/gratitude"),
        ("I am furious, how dare you.", "goemotions/anger"),
        ("I am so sorry, forgive me.", "goemotions/remorse"),
    ],
)
def test_a_label_is_highest_on_the_text_that_says_it(loaded, text, key):
    others = ["I am so grateful to you, thank you.", "I am furious, how dare you.",
              "I am so sorry, forgive me."]  # fmt: skip
    scores = dict(zip(others, loaded.evaluate_batch(others)[key], strict=True))
    assert max(scores, key=scores.get) == text
    assert scores[text] > 0.5


def test_order_changes_nothing_and_batch_size_no_more_than_rounding(loaded):
    texts = [f"{text} {number}" for text in TEXTS for number in range(6)]
    whole = loaded.evaluate_batch(texts, 64)
    order = np.random.default_rng(0).permutation(len(texts))
    shuffled = loaded.evaluate_batch([texts[row] for row in order], 64)
    for key, values in whole.items():
        np.testing.assert_array_equal(shuffled[key], values[order])
        for batch_size in (1, 7):
            np.testing.assert_allclose(
                loaded.evaluate_batch(texts, batch_size)[key], values, atol=1e-6
            )


def test_each_distinct_text_is_scored_once(loaded):
    model = loaded.scorers["goemotions"].model
    rows = []
    hook = model.register_forward_hook(lambda _, args, out: rows.append(len(out.logits)))
    scores = loaded.evaluate_batch(TEXTS * 5, 2)
    hook.remove()
    assert sum(rows) == len(set(TEXTS))
    assert max(rows) == 2
    assert all(len(values) == 5 * len(TEXTS) for values in scores.values())


def test_no_text_gives_no_score(loaded):
    assert {len(values) for values in loaded.evaluate_batch([]).values()} == {0}


def test_an_empty_text_is_scored_as_one_and_counted(loaded, caplog):
    with caplog.at_level(logging.INFO):
        loaded.evaluate_batch(["", "  ", "I am sorry.", ""])
    assert "Scored 4 texts (3 distinct, 3 empty)" in caplog.messages


def test_a_text_that_is_too_long_is_cut_and_said_so(loaded, table, caplog):
    long = "I am sorry about your lamp. " * 60
    scores = loaded.evaluate_batch([long, "I am sorry."])
    assert "1 by sentiment" in caplog.text
    tokenizer = AutoTokenizer.from_pretrained(table["sentiment"]["source"])
    model = AutoModelForSequenceClassification.from_pretrained(table["sentiment"]["source"]).eval()
    ids = tokenizer(long).input_ids
    cut = torch.tensor([[*ids[:127], ids[-1]]])  # RoBERTa's 131 positions hold 128 tokens
    with torch.no_grad():
        wanted = model(input_ids=cut).logits[0].softmax(-1)
    np.testing.assert_allclose(scores["sentiment/negative"][0], wanted[0], atol=1e-6)


def save_bert(folder, **config):
    """Save a micro classifier of another architecture, with token types and no problem type."""
    tokenizer = train_tokenizer(CORPUS, vocab_size=300, add_bos=True, add_eos=True)
    torch.manual_seed(0)
    model = BertForSequenceClassification(
        BertConfig(
            vocab_size=300,
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=24,
            max_position_embeddings=32,
            pad_token_id=tokenizer.pad_token_id,
            id2label={0: "calm", 1: "loud"},
            label2id={"calm": 0, "loud": 1},
            **config,
        )
    )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return {"source": str(folder)}


def test_a_model_that_does_not_say_what_its_scores_mean_is_refused(tmp_path):
    row = save_bert(tmp_path / "bert")
    with pytest.raises(InputError, match=r"evaluator 'tone': .* does not say whether several") as e:
        TextEvaluator("cpu", {"tone": row})
    assert "\n" not in str(e.value)
    single = {"problem_type": "single_label_classification"}
    scores = TextEvaluator("cpu", {"tone": row | single}).evaluate_batch(["I broke it."])
    assert scores["tone/calm"] + scores["tone/loud"] == pytest.approx(1)
    several = {"problem_type": "multi_label_classification"}
    scores = TextEvaluator("cpu", {"tone": row | several}).evaluate_batch(["I broke it."])
    logits = logits_of(row["source"], "I broke it.")
    assert scores["tone/loud"][0] == pytest.approx(float(logits[1].sigmoid()))


def test_a_profile_cannot_contradict_the_models_own_config(tmp_path):
    row = save_bert(tmp_path / "bert", problem_type="multi_label_classification")
    with pytest.raises(InputError, match=r"'tone': .* its row in the profile says 'single_label"):
        TextEvaluator("cpu", {"tone": row | {"problem_type": "single_label_classification"}})


def test_a_regression_is_refused(tmp_path):
    row = save_bert(tmp_path / "bert", problem_type="regression")
    with pytest.raises(InputError, match=r"'tone': .* has problem_type 'regression'; allowed"):
        TextEvaluator("cpu", {"tone": row})


def test_a_model_without_a_trained_head_is_refused(project_root, tmp_path):
    """transformers would put a random one in its place, and every effect would be noise."""
    source = project_root / "data" / "models" / "sentiment"
    folder = tmp_path / "encoder"
    shutil.copytree(source, folder)
    RobertaModel.from_pretrained(source, add_pooling_layer=False).save_pretrained(folder)
    config = json.loads((source / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config))
    assert not any("classifier" in name for name in load_file(folder / "model.safetensors"))
    with pytest.raises(InputError, match=r"'sentiment': .* lack the weights classifier\.dense"):
        TextEvaluator("cpu", {"sentiment": {"source": str(folder)}})


def test_a_torn_weight_file_is_one_line(project_root, tmp_path):
    folder = tmp_path / "torn"
    shutil.copytree(project_root / "data" / "models" / "sentiment", folder)
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(InputError, match=r"evaluator 'sentiment': .* cannot be loaded") as caught:
        TextEvaluator("cpu", {"sentiment": {"source": str(folder)}})
    assert "\n" not in str(caught.value)


def test_pickled_weights_are_refused(project_root, tmp_path):
    folder = tmp_path / "pickled"
    shutil.copytree(project_root / "data" / "models" / "sentiment", folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match=r"'sentiment': folder .* has no \*\.safetensors"):
        TextEvaluator("cpu", {"sentiment": {"source": str(folder)}})


@pytest.mark.parametrize(
    ("source", "line"),
    [
        ("/nowhere/polite", "evaluator 'politeness': there is no folder '/nowhere/polite'"),
        ("polite", "evaluator 'politeness': there is no folder 'polite'"),
        ("nobody/polite", "evaluator 'politeness': 'nobody/polite' .* cannot be loaded"),
    ],
)
def test_a_missing_evaluator_is_named_before_any_is_loaded(table, monkeypatch, source, line):
    loaded = []
    load = evaluator.load_scorers
    monkeypatch.setattr(
        evaluator, "load_scorers", lambda *given: loaded.append(given) or load(*given)
    )
    with pytest.raises(InputError, match=line) as caught:
        TextEvaluator("cpu", {"sentiment": table["sentiment"], "politeness": {"source": source}})
    assert "\n" not in str(caught.value)
    assert loaded == []


@pytest.mark.parametrize(
    ("table", "line"),
    [
        ({}, "has no evaluators"),
        (None, "has no evaluators"),
        ({"a": {"sorce": "x"}}, r"evaluator 'a': .*'sorce' is unknown; .*nearest: source"),
        ({"a/b": {"source": "x"}}, r"evaluator 'a/b': name is 'a/b'"),
        ({"a": {"source": "x/y", "problem_type": "one"}}, r"evaluator 'a': problem_type is 'one'"),
    ],
)
def test_a_wrong_table_is_one_line(table, line):
    with pytest.raises(InputError, match=line):
        EvaluatorSpec.from_table(table)


def test_a_batch_size_of_zero_is_refused(loaded):
    with pytest.raises(InputError, match="batch_size is 0; allowed"):
        loaded.evaluate_batch(["a"], 0)


def test_nested_form_and_table_hold_the_same_numbers(loaded):
    scores = loaded.evaluate_batch(TEXTS)
    nested, table = nest_scores(scores), tabulate_scores(TEXTS, scores)
    assert [list(row) for row in nested] == [["sentiment", "politeness", "goemotions"]] * len(TEXTS)
    assert list(table["text"]) == TEXTS
    for key, values in scores.items():
        metric, label = key.split("/")
        assert [row[metric][label] for row in nested] == values.tolist()
        assert table[f"{metric}.{label}"].tolist() == values.tolist()
    assert nest_scores({}) == []
