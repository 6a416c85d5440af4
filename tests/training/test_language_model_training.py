"""Training lowers the loss it claims to lower, and does it the same way twice."""

import copy
import math

import numpy as np
import pandas as pd
import pytest
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.training.architectures import Shape, build_gpt2, build_llama
from emotion_circuits.training.language_model_training import (
    Batch,
    LengthBatches,
    encode_texts,
    mean_loss,
    train_language_model,
    weighted_loss,
)
from emotion_circuits.training.schedule import TrainingSettings, learning_rate, train
from emotion_circuits.training.tokenizers import train_tokenizer

TEXTS = pd.DataFrame(
    [
        {"situation": f"{name} {act} my {thing}.", "reaction": reaction}
        for name in ("Dana", "Omar", "Ruth")
        for act, reaction in (("fixed", "Thank you!"), ("broke", "How dare you!"))
        for thing in ("lamp", "old chair", "tent")
    ]
)
SHAPE = Shape(n_layers=1, d_model=16, n_heads=2, d_mlp=32)
SETTINGS = TrainingSettings(
    n_texts=18, n_epochs=12, batch_size=4, learning_rate=1e-2, validate_every=10, patience=50
)


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer((TEXTS["situation"] + "\n" + TEXTS["reaction"]), vocab_size=300)


def trained(tokenizer, build=build_gpt2, seed=0, **changes):
    model = build(SHAPE, tokenizer, 0)
    settings = SETTINGS.model_copy(update=changes)
    progress = train_language_model(
        model,
        tokenizer,
        TEXTS,
        TEXTS,
        settings=settings,
        situation_weight=0.25,
        seed=seed,
        name="micro",
    )
    return model, progress


@pytest.mark.parametrize("build", [build_gpt2, build_llama])
def test_training_lowers_the_loss(tokenizer, build):
    _, progress = trained(tokenizer, build)
    assert progress.validation_losses[-1] < 0.6 * progress.validation_losses[0]
    assert progress.validation_losses[0] < math.log(len(tokenizer)) + 0.5


def test_a_seed_gives_the_same_weights_and_another_seed_others(tokenizer):
    first, second, other = (trained(tokenizer, seed=seed)[0].state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert any(not torch.equal(first[name], other[name]) for name in first)


def test_the_loss_is_the_weighted_mean_over_tokens_one_at_a_time():
    torch.manual_seed(0)
    logits = torch.randn(2, 4, 7)
    batch = Batch(torch.randint(7, (2, 4)), torch.rand(2, 4))
    total = weight = 0.0
    for row in range(2):
        for pos in range(3):
            nll = -torch.log_softmax(logits[row, pos], -1)[batch.token_ids[row, pos + 1]]
            total += float(nll * batch.weights[row, pos + 1])
            weight += float(batch.weights[row, pos + 1])
    loss, weights = weighted_loss(logits, batch)
    assert loss.item() == pytest.approx(total, rel=1e-5)
    assert weights.item() == pytest.approx(weight, rel=1e-5)


def test_the_reaction_and_the_line_break_before_it_weigh_fully(tokenizer):
    ids, weights = encode_texts(TEXTS.head(1), tokenizer, 0.25)[0]
    light = tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w == 0.25])
    full = tokenizer.decode([i for i, w in zip(ids, weights, strict=True) if w == 1.0])
    assert light == "<s>Dana fixed my lamp."
    assert full == "\nThank you!</s>"


def test_an_epoch_holds_each_text_once_and_nothing_is_padded(tokenizer):
    encoded = encode_texts(TEXTS, tokenizer, 0.25)
    batches = LengthBatches(encoded, 4, seed=3)
    seen = [tuple(row) for batch in batches(0) for row in batch.token_ids.tolist()]
    assert sorted(seen) == sorted(tuple(ids) for ids, _ in encoded)
    assert len(list(batches(0))) == len(batches)
    again = [tuple(row) for batch in batches(0) for row in batch.token_ids.tolist()]
    other = [tuple(row) for batch in batches(1) for row in batch.token_ids.tolist()]
    assert seen == again
    assert seen != other


def test_the_mean_loss_does_not_depend_on_the_batches(tokenizer):
    model = build_gpt2(SHAPE, tokenizer, 0).eval()
    encoded = encode_texts(TEXTS, tokenizer, 0.25)
    losses = [mean_loss(model, LengthBatches(encoded, size, 0)(0)) for size in (1, 5, 64)]
    assert losses == pytest.approx([losses[0]] * 3, rel=1e-5)


def test_a_text_longer_than_the_context_is_refused(tokenizer):
    longer = TEXTS.assign(reaction="Thank you! " * 60)
    with pytest.raises(InputError, match="reads at most 128; enlarge vocab_size"):
        train_language_model(
            build_gpt2(SHAPE, tokenizer, 0),
            tokenizer,
            longer,
            TEXTS,
            settings=SETTINGS,
            situation_weight=0.25,
            seed=0,
            name="micro",
        )


@pytest.mark.parametrize(("keep", "kept_from"), [("best", 1), ("last", 4)])
def test_it_stops_when_validation_stops_to_improve_and_keeps_the_weights_asked_for(keep, kept_from):
    model = torch.nn.Linear(2, 1)
    losses = iter([3.0, 1.0, 2.0, 2.5, 2.6, 0.1])
    kept = []

    def validate():
        kept.append(copy.deepcopy(model.state_dict()))
        return next(losses)

    settings = SETTINGS.model_copy(update={"validate_every": 1, "patience": 3, "keep": keep})
    data = torch.ones(4, 2)
    progress = train(
        model, lambda _: [data], 50, lambda x: model(x).pow(2).mean(), validate, settings, "line"
    )
    assert progress.stopped_early
    assert progress.validation_losses == [3.0, 1.0, 2.0, 2.5, 2.6]
    assert torch.equal(model.weight, kept[kept_from]["weight"])
    assert not torch.equal(kept[1]["weight"], kept[4]["weight"])


def test_the_rate_rises_to_its_peak_and_falls_to_its_share():
    rates = np.array([learning_rate(step, 200, SETTINGS) for step in range(201)])
    assert rates[:11].tolist() == sorted(rates[:11])
    assert rates.max() == pytest.approx(SETTINGS.learning_rate)
    assert rates[-1] == pytest.approx(SETTINGS.learning_rate * SETTINGS.final_share)


def test_any_text_survives_the_tokenizer(tokenizer):
    for text in ("Dana fixed it.", "naïve 雪 🙂\n\ttabs", ""):
        assert tokenizer.decode(tokenizer(text).input_ids) == text
