"""A small encoder learns labels, chooses its step on other templates, and is measured elsewhere."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from sklearn.metrics import roc_auc_score
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

from emotion_circuits.datasets import GoEmotionsDataset, PretrainedFolderDataset
from emotion_circuits.datasets.prompt_source import PromptSourceDataset
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import TextEvaluator
from emotion_circuits.pipelines.real_evaluators.nodes import (
    ALL_LABELS,
    _validation,
    judge_emotions,
    judge_goemotions,
    train_emotions,
    train_goemotions,
)
from emotion_circuits.pipelines.real_evaluators.pipeline import create_pipeline
from emotion_circuits.pipelines.real_evaluators.settings import RealEvaluatorSettings
from study_emotions import FOUR

ACTS = {"gratitude": "mended", "anger": "broke", "apology": "lost", "neutral": "saw"}
STATES = {"gratitude": "grateful", "anger": "furious", "apology": "sorry", "neutral": "home"}
THINGS = [f"thing{number}" for number in range(40)]


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """A random encoder of two layers whose tokenizer knows every word of the texts."""
    words = ["he", "the", "and", "i", "am", ".", *ACTS.values(), *STATES.values(), *THINGS]
    vocabulary = {
        word: place
        for place, word in enumerate(["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *words])
    }
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        unk_token="[UNK]",
        mask_token="[MASK]",
        model_max_length=64,
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=64,
        max_position_embeddings=64,
    )
    folder = tmp_path_factory.mktemp("encoder")
    torch.manual_seed(0)  # so small an encoder does not learn the texts from every start
    BertModel(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """Forty templates; the act tells the label, and in half of the pairs a state names it."""
    path = tmp_path_factory.mktemp("data") / "texts.jsonl"
    lines = []
    for number, thing in enumerate(THINGS):
        for label, act in ACTS.items():
            explicit = number % 2 == 0
            text = f"he {act} the {thing}" + (f" and i am {STATES[label]}" if explicit else "")
            lines.append(
                {
                    "text": text,
                    "emotion": label,
                    "pair_id": thing,
                    "template_id": thing,
                    "explicit": explicit and label != "neutral",
                    "split": "test" if number >= 28 else "train",
                }
            )
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return PromptSourceDataset(filepath=str(path)).load()


@pytest.fixture(scope="module")
def settings(encoder):
    plan = {"n_epochs": 30, "batch_size": 16, "learning_rate": 3e-3}
    return RealEvaluatorSettings(
        encoder=str(encoder), device="cpu", emotions=plan, goemotions=plan, word_dropout=0.1
    )


@pytest.fixture(scope="module")
def trained(source, settings):
    return train_emotions(source, FOUR, settings)


@pytest.fixture(scope="module")
def comments():
    """Comments with several labels; joy is no emotion of the study."""
    rng, lines = np.random.default_rng(0), []
    for _ in range(200):
        thing = rng.choice(THINGS)
        chosen = rng.choice(["gratitude", "anger", "remorse", "neutral"])
        act = ACTS["apology" if chosen == "remorse" else chosen]
        lines.append(
            {
                "text": f"i {act} the {thing} {rng.integers(1e9)}",
                "joy": rng.random() < 0.3,
                **{name: name == chosen for name in ("gratitude", "anger", "remorse", "neutral")},
            }
        )
    return pd.DataFrame(lines)


def test_it_learns_the_acts_and_not_only_the_states(trained, source):
    measures, card = judge_emotions(trained, source, FOUR)
    by_view = measures.set_index(["view", "emotion"])
    for emotion in FOUR.names:
        for view in ("as_written", "masked"):
            assert by_view.loc[(view, emotion), "auroc"] > 0.9
    assert (measures["n_emotion"] == 12).all()
    assert "| gratitude | 12 | 12 |" in card


def test_measures_are_scikit_learns_on_texts_one_by_one(trained, source):
    measures, _ = judge_emotions(trained, source, FOUR)
    test = pd.DataFrame([record.fields for record in source.records]).query("split == 'test'")
    both = test[test["emotion"].isin(["anger", "neutral"])]
    scores = []
    for text in both["text"]:
        encoded = trained.tokenizer(text, return_tensors="pt")
        scores.append(trained.model(**encoded).logits.softmax(-1)[0, 1].item())
    wanted = roc_auc_score(both["emotion"] == "anger", scores)
    found = measures.query("view == 'as_written' and emotion == 'anger'")["auroc"].item()
    assert found == pytest.approx(wanted, abs=1e-9)


def test_with_shuffled_labels_nothing_is_learned(source, settings):
    """The control: neither the steps nor the measures know the test texts' labels."""
    rng = np.random.default_rng(1)
    records = [replace(record, fields=dict(record.fields)) for record in source.records]
    for record in records:
        record.fields["emotion"] = rng.choice(list(ACTS))
    shuffled = replace(source, records=tuple(records))
    measures, _ = judge_emotions(train_emotions(shuffled, FOUR, settings), shuffled, FOUR)
    assert abs(measures["auroc"].mean() - 0.5) < 0.15


def test_test_templates_do_not_touch_the_weights(trained, source, settings):
    records = [record for record in source.records if record.fields["split"] == "train"]
    without = replace(source, records=tuple(records))
    again = train_emotions(without, FOUR, settings)
    for name, weight in trained.model.state_dict().items():
        assert weight.equal(again.model.state_dict()[name]), name


def test_the_saved_evaluator_is_one_of_a_profile(trained, tmp_path):
    folder = tmp_path / "emotions"
    PretrainedFolderDataset(filepath=folder, kind="sequence_classification").save(trained)
    evaluator = TextEvaluator("cpu", {"emotions": {"source": str(folder), "masked": True}})
    scores = evaluator.evaluate_batch(["he broke the thing3 and i am furious"])
    assert scores["emotions/anger"][0] > 0.5
    assert set(scores) == {
        f"{metric}/{label}" for metric in ("emotions", "emotions_masked") for label in ACTS
    }


def test_comments_with_several_labels_train_one_sigmoid_per_label(comments, source, settings):
    trained = train_goemotions(comments, comments, settings)
    assert trained.model.config.problem_type == "multi_label_classification"
    measures, card = judge_goemotions(trained, source, FOUR, comments, settings)
    own = measures[measures["texts"] == "GoEmotions, dev"].set_index(["view", "emotion"])
    # Half of so few comments choose the step.
    unseen = comments.drop(_validation(comments, settings).index)
    assert len(unseen) == 100
    single = unseen[~unseen["joy"]]
    # Remorse is what GoEmotions calls apology.
    assert own.loc[("as_written", "apology"), "n_emotion"] == single["remorse"].sum()
    assert own.loc[("as_written", "apology"), "auroc"] > 0.9

    labels = measures[measures["texts"] == ALL_LABELS].set_index("emotion")["auroc"]
    encoded = trained.tokenizer(unseen["text"].tolist(), return_tensors="pt", padding=True)
    with torch.no_grad():
        scores = trained.model(**encoded).logits.numpy()
    names = ["joy", "gratitude", "anger", "remorse", "neutral"]
    wanted = {
        name: roc_auc_score(unseen[name], scores[:, place]) for place, name in enumerate(names)
    }
    assert labels.drop("macro").to_dict() == pytest.approx(wanted, abs=1e-6)
    assert labels["macro"] == pytest.approx(np.mean([*wanted.values()]))
    # Joy was drawn by chance.
    assert abs(labels["joy"] - 0.5) < 0.2 < labels["remorse"] - 0.5
    assert f"Macro AUROC over 5 labels: {labels['macro']:.3f}" in card


def test_a_goemotions_file_is_read_with_all_labels(tmp_path):
    (tmp_path / "labels.txt").write_text("anger\njoy\nneutral\n")
    (tmp_path / "a.tsv").write_text('Grr "you\t0\tx\nWow\t0,1\ty\nIt is noon\t2\tz\n')
    table = GoEmotionsDataset(
        filepath=tmp_path / "a.tsv", label_names=tmp_path / "labels.txt"
    ).load()
    assert table.to_dict("list") == {
        "text": ['Grr "you', "Wow", "It is noon"],
        "anger": [True, True, False],
        "joy": [False, True, False],
        "neutral": [False, False, True],
    }
    (tmp_path / "b.tsv").write_text("Hm\t3\tx\n")
    with pytest.raises(DatasetError, match=r"line 1: '3' are not label indices from 0 to 2"):
        GoEmotionsDataset(filepath=tmp_path / "b.tsv", label_names=tmp_path / "labels.txt").load()


def test_the_pipeline_has_the_nodes_whose_files_are_given():
    names = [node.name for node in create_pipeline({}).nodes]
    assert names == ["train_emotions_evaluator", "judge_emotions_evaluator"]
    files = dict.fromkeys(("goemotions_train", "goemotions_dev", "goemotions_labels"), "x")
    assert len(create_pipeline(files).nodes) == 4
    judge = create_pipeline(files | {"goemotions_train": None}).nodes[-1]
    assert "goemotions_dev" in judge.inputs
    with pytest.raises(InputError, match="goemotions_train is given, but goemotions_dev is not"):
        create_pipeline({"goemotions_train": "x", "goemotions_labels": "x"})


def test_a_missing_encoder_is_named(source, settings):
    missing = settings.model_copy(update={"encoder": "package:no-such-package/model.zip"})
    with pytest.raises(InputError, match="encoder of evaluator 'emotions': package"):
        train_emotions(source, FOUR, missing)
