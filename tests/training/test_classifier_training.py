"""Evaluators: the labels and problem types of those they stand in for."""

import pandas as pd
import pytest
import torch
from sklearn.metrics import log_loss

from emotion_circuits.training.architectures import EVALUATORS, Shape, build_evaluator
from emotion_circuits.training.classifier_training import (
    classification_loss,
    predict,
    start_biases_at_priors,
    targets_of,
    train_evaluator,
    validation_error,
)
from emotion_circuits.training.schedule import TrainingSettings
from emotion_circuits.training.tokenizers import train_tokenizer

SHAPE = Shape(n_layers=1, d_model=32, n_heads=2, d_mlp=64)
REACTIONS = pd.DataFrame(
    {
        "text": ["Thank you!", "How dare you!", "I am so sorry.", "It is noon."] * 8,
        "goemotions": [("gratitude", "joy"), ("anger",), ("remorse",), ("neutral",)] * 8,
    }
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer(REACTIONS["text"], vocab_size=290, add_bos=True, add_eos=True)


def test_targets_mark_every_label_that_applies_and_no_other():
    targets = targets_of(REACTIONS, "goemotions")
    labels, _ = EVALUATORS["goemotions"]
    found = [{labels[i] for i in row.nonzero().flatten()} for row in targets[:4]]
    assert found == [{"gratitude", "joy"}, {"anger"}, {"remorse"}, {"neutral"}]
    assert len(labels) == 28


def test_the_loss_is_that_of_the_problem_type():
    torch.manual_seed(0)
    logits = torch.randn(5, 3)
    several = torch.randint(2, (5, 3)).float()
    binary = classification_loss(logits, several, "multi_label_classification").item()
    by_hand = -(several * logits.sigmoid().log() + (1 - several) * (-logits).sigmoid().log()).mean()
    assert binary == pytest.approx(by_hand.item(), rel=1e-5)
    one = torch.eye(3)[[0, 1, 2, 0, 1]]
    single = classification_loss(logits, one, "single_label_classification").item()
    assert single == pytest.approx(
        log_loss([0, 1, 2, 0, 1], logits.double().softmax(-1).numpy(), labels=[0, 1, 2]), rel=1e-5
    )


def test_it_learns_and_several_labels_do_not_share_one_sum(tokenizer):
    model = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0)
    settings = TrainingSettings(
        n_texts=32,
        n_epochs=120,
        batch_size=8,
        learning_rate=3e-3,
        validate_every=20,
        patience=99,
        keep="last",
    )
    train_evaluator(
        model,
        tokenizer,
        "goemotions",
        REACTIONS,
        REACTIONS,
        settings=settings,
        word_dropout=0.0,
        seed=0,
    )
    scores = predict(model, tokenizer, REACTIONS["text"].tolist()[:4])
    labels, _ = EVALUATORS["goemotions"]
    place = {label: i for i, label in enumerate(labels)}
    assert scores[0, place["gratitude"]] > 0.9
    assert scores[0, place["joy"]] > 0.9
    assert scores[0].sum() > 1.8
    assert scores[1, place["anger"]] > 0.9
    assert scores[1, place["gratitude"]] < 0.1


def test_the_first_guess_is_the_share_of_each_label(tokenizer):
    model = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0)
    with torch.no_grad():
        model.classifier.out_proj.weight.zero_()
    targets = targets_of(REACTIONS, "goemotions")
    start_biases_at_priors(model, targets)
    guessed = predict(model.eval(), tokenizer, ["anything"])[0]
    wanted = targets.mean(0).clamp(0.5 / len(targets))
    torch.testing.assert_close(guessed, wanted, atol=1e-5, rtol=0)


def test_padding_does_not_change_a_prediction(tokenizer):
    model = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0).eval()
    alone = predict(model, tokenizer, ["Thank you!"])[0]
    together = predict(model, tokenizer, ["Thank you!", "I am so sorry about all of this."])[0]
    torch.testing.assert_close(alone, together, atol=1e-6, rtol=0)


def test_a_garbled_text_of_many_bytes_is_read_as_far_as_the_context_goes(tokenizer):
    model = build_evaluator("goemotions", SHAPE, tokenizer, 0.0, 0).eval()
    long = "~" * 500
    torch.testing.assert_close(
        predict(model, tokenizer, [long]), predict(model, tokenizer, [long + "~"])
    )


def test_the_validation_error_is_what_is_wrong_and_not_how_sure_one_is():
    truth = torch.eye(3)[[0, 0, 1, 2]]
    right = truth * 5
    assert validation_error(right, truth, "single_label_classification") == 0.0
    one_wrong = right.clone()
    one_wrong[0] = torch.tensor([0.0, 9.0, 0.0])
    # Recalls 1/2, 1 and 1.
    error = validation_error(one_wrong, truth, "single_label_classification")
    assert error == pytest.approx(1 / 6)
    assert validation_error(100 * one_wrong, truth, "single_label_classification") == pytest.approx(
        error
    )
    several = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 1.0, 0.0]])
    ordered = torch.tensor([[2.0, 0.0, 7.0], [1.0, 2.0, 7.0], [3.0, 3.0, 7.0]])
    # The third label never applies, so nothing can be said about it.
    assert validation_error(ordered, several, "multi_label_classification") == 0.0
    turned = ordered * torch.tensor([1.0, -1.0, 1.0])
    assert validation_error(turned, several, "multi_label_classification") == pytest.approx(0.5)
