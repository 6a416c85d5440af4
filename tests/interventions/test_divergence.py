"""Divergence of predictions against plain PyTorch, and where nothing is changed."""

import numpy as np
import pytest
import torch
from scipy.stats import entropy
from transformers import AutoModelForCausalLM

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.side_effects import side_effect_table
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Row,
    continuation_log_probs,
    divergence,
    steer,
)
from emotion_circuits.language_models import ModelSpec, load_language_model

TEXTS = (
    "Tom mended my kettle in the garden. I drank some water.",
    "I saw a lamp at the market. After that I climbed the hill, as always.",
    "Rosa found the book.",
)
LAYER, ALPHA, N_READ = 2, 1.5, 3


@pytest.fixture(scope="module")
def source(project_root):
    return project_root / "data/models/tiny_llama"


@pytest.fixture(scope="module")
def model(source):
    return load_language_model(ModelSpec(name="tiny_llama", source=str(source), device="cpu"))


@pytest.fixture(scope="module")
def vector(model):
    return np.random.default_rng(0).normal(size=model.d_model)


@pytest.fixture(scope="module")
def condition(vector):
    return steer("push", added(vector), LAYER, alpha=ALPHA)


def added(vector):
    return Add(torch.from_numpy(vector).float())


@torch.no_grad()
def logits(source, ids, vector=None):
    """The plain model's logits, with a vector added after a layer from a position on."""
    plain = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32).eval()
    if vector is not None:

        def push(module, inputs, output):
            stream = output[0] if isinstance(output, tuple) else output
            stream[:, N_READ - 1 :] += ALPHA * torch.from_numpy(vector).float()

        plain.model.layers[LAYER].register_forward_hook(push)
    return plain(torch.tensor([ids])).logits[0].double().numpy()


def softmax(values):
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def test_both_numbers_are_those_of_plain_pytorch(model, source, vector, condition):
    encoded = [tuple(model.encode(text)) for text in TEXTS]
    rows = [Row(ids[:N_READ], condition) for ids in encoded]
    found = divergence(model, rows, [ids[N_READ:] for ids in encoded])
    for place, ids in enumerate(encoded):
        before, after = (softmax(logits(source, ids, given)) for given in (None, vector))
        at = range(N_READ - 1, len(ids) - 1)  # each predicts the next token
        assert found.kl[place] == pytest.approx(
            np.mean([entropy(before[k], after[k]) for k in at]), rel=1e-3, abs=1e-5
        )
        lost = [np.log(before[k, ids[k + 1]] / after[k, ids[k + 1]]) for k in at]
        assert found.nll_change[place] == pytest.approx(np.mean(lost), rel=1e-3, abs=1e-5)


def test_the_change_of_likelihood_is_that_of_the_continuations(model, condition):
    encoded = [tuple(model.encode(text)) for text in TEXTS]
    rest = [ids[N_READ:] for ids in encoded]
    found = divergence(model, [Row(ids[:N_READ], condition) for ids in encoded], rest)
    before, after = (
        continuation_log_probs(model, [Row(ids[:N_READ], one) for ids in encoded], rest)
        for one in (BASELINE, condition)
    )
    np.testing.assert_allclose(found.nll_change, before - after, atol=1e-5)


def test_without_a_change_both_are_zero(model):
    encoded = [tuple(model.encode(text)) for text in TEXTS]
    found = divergence(model, [Row(ids[:1]) for ids in encoded], [ids[1:] for ids in encoded])
    assert not found.kl.any()
    assert not found.nll_change.any()


def test_the_order_of_texts_does_not_matter(model, condition):
    encoded = [tuple(model.encode(text)) for text in TEXTS]
    forward, backward = (
        divergence(
            model, [Row(ids[:N_READ], condition) for ids in order], [ids[N_READ:] for ids in order]
        )
        for order in (encoded, encoded[::-1])
    )
    np.testing.assert_allclose(forward.kl, backward.kl[::-1], atol=1e-6)


def test_a_stronger_push_changes_more(model, vector):
    table = side_effect_table(
        model,
        TEXTS,
        ["a", "b", "c"],
        [
            (
                steer("push", added(vector), LAYER, alpha=alpha),
                {"kind": "emotion", "alpha": alpha},
            )
            for alpha in (0.0, 0.5, 2.0)
        ],
        n_bootstrap=50,
        seed=0,
    )
    assert table["kl"].tolist() == sorted(table["kl"])
    assert table["kl"][0] == table["nll_change"][0] == 0
    assert (table["kl_lower"] <= table["kl"]).all()
    assert (table["n"] == 3).all()


def test_texts_that_are_too_short_are_left_out(model, condition):
    short = [*TEXTS, "Tom"]
    table = side_effect_table(
        model, short, list("abcd"), [(condition, {"kind": "emotion"})], n_bootstrap=10, seed=0
    )
    assert table["n"].tolist() == [3]


def test_a_moving_window_is_refused(model, vector):
    moving = steer("push", added(vector), LAYER, window=2)
    with pytest.raises(InputError, match="positions that do not move"):
        divergence(model, [Row((5, 6, 7), moving)], [(8, 9)])
