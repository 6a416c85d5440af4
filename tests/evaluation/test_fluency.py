"""Fluency is the plain model's log-softmax over the tokens that were generated."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, VOCAB, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import continuation_nll
from emotion_circuits.language_models import ModelSpec, load_language_model


@torch.no_grad()
def one_at_a_time(source, prompt, continuation):
    """Read token by token, nothing batched, nothing cached."""
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float64).eval()
    losses = []
    for step, token in enumerate(continuation):
        logits = model(torch.tensor([[*prompt, *continuation[:step]]])).logits[0, -1]
        losses.append(-float(logits.log_softmax(-1)[token]))
    return np.mean(losses)


def draw_rows(n, seed=0):
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 9, (n, 2))
    return [[rng.integers(3, VOCAB, size).tolist() for size in row] for row in sizes]


@pytest.fixture(scope="module")
def gpt2(tmp_path_factory):
    folder = save_architecture("gpt2", tmp_path_factory.mktemp("gpt2"))
    return load_language_model(ModelSpec(name="gpt2", source=str(folder), device="cpu"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_it_is_the_mean_log_softmax_of_one_row_at_a_time(name, tmp_path):
    source = save_architecture(name, tmp_path)
    model = load_language_model(ModelSpec(name=name, source=str(source), device="cpu"))
    rows = draw_rows(12)
    seen = continuation_nll(model, *zip(*rows, strict=True), batch_size=5)
    wanted = [one_at_a_time(source, *row) for row in rows]
    np.testing.assert_allclose(seen, wanted, atol=1e-4)  # float32 against float64
    assert np.std(wanted) > 0.01


def test_neither_order_nor_batch_size_nor_repetition_changes_it(gpt2):
    rows = draw_rows(40)
    rows += rows[:5]
    seen = continuation_nll(gpt2, *zip(*rows, strict=True))
    backwards = continuation_nll(gpt2, *zip(*rows[::-1], strict=True))
    np.testing.assert_array_equal(backwards[::-1], seen)
    np.testing.assert_array_equal(seen[40:], seen[:5])
    single = continuation_nll(gpt2, *zip(*rows, strict=True), batch_size=1)
    np.testing.assert_allclose(single, seen, atol=1e-5)


def test_equal_rows_are_read_once(gpt2):
    rows = draw_rows(6)
    read = []
    hook = gpt2.plain_model.register_forward_hook(lambda _, args, out: read.append(len(out.logits)))
    continuation_nll(gpt2, *zip(*rows * 4, strict=True))
    hook.remove()
    assert sum(read) == len(rows)


def test_the_models_own_choice_is_more_fluent_than_random_tokens(gpt2):
    prompts = [row[0] for row in draw_rows(20)]
    own = []
    for prompt in prompts:
        with torch.no_grad():
            out = gpt2.plain_model.generate(
                torch.tensor([prompt]), max_new_tokens=4, min_new_tokens=4, do_sample=False,
                attention_mask=torch.ones(1, len(prompt), dtype=torch.long), pad_token_id=0,
            )  # fmt: skip
        own.append(out[0, len(prompt) :].tolist())
    random = [row[1] for row in draw_rows(20, seed=1)]
    assert (
        continuation_nll(gpt2, prompts, own).max() < continuation_nll(gpt2, prompts, random).min()
    )


def test_an_empty_continuation_has_no_fluency(gpt2):
    seen = continuation_nll(gpt2, [[5, 6], [5]], [[], [7]])
    assert np.isnan(seen[0])
    assert seen[1] > 0


def test_what_the_model_cannot_read_is_refused(gpt2):
    with pytest.raises(InputError, match="row 0 has 0 prompt tokens"):
        continuation_nll(gpt2, [[]], [[4]])
    with pytest.raises(InputError, match=r"row 1 has 60 .* 65 in all; .* at most 64"):
        continuation_nll(gpt2, [[4], [4] * 60], [[4], [4] * 5])
