"""Log-probabilities of given continuations against generation, recomputation and fluency."""

import numpy as np
import pytest
import torch

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import continuation_nll
from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.interventions import (
    BASELINE,
    Condition,
    Intervention,
    Prompt,
    Row,
    Site,
    ablate_zero,
    continuation_log_probs,
    generate_rows,
)
from emotion_circuits.language_models import ModelSpec, load_language_model

PROMPTS = [(5, 17, 60, 33), (5, 70, 31, 12, 9), (5, 9, 8, 130)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


def conditions_of(model):
    rng = np.random.default_rng(0)
    shape = (model.n_layers, model.n_heads, model.d_head)
    values = torch.from_numpy(rng.normal(size=shape)).float()
    top = model.n_layers - 1
    low = ablate_heads("low", [(0, 0), (top, 1)], values)
    return [BASELINE, low, ablate_heads("top", [(top, 0)], torch.zeros(shape))]


def test_they_are_those_of_the_tokens_as_they_are_generated(model):
    """Generation keeps a cache and takes a step a token; here everything is read at once."""
    rows = [Row(ids, condition) for ids in PROMPTS for condition in conditions_of(model)]
    said = generate_rows(model, rows, max_new_tokens=6, keep_logits=True)
    wanted = [
        float(item.logits.log_softmax(-1).gather(1, torch.tensor(item.token_ids)[:, None]).mean())
        for item in said
    ]
    tokens = [item.token_ids for item in said]
    seen = continuation_log_probs(model, rows, tokens)
    np.testing.assert_allclose(seen, wanted, atol=1e-4)
    turned = continuation_log_probs(model, rows[::-1], tokens[::-1])
    np.testing.assert_allclose(turned[::-1], seen, atol=1e-5)


def test_without_a_condition_they_are_the_fluency(model):
    continuations = [(7, 8, 9), (40,), (3, 3, 3, 3, 3)]
    seen = continuation_log_probs(model, [Row(ids) for ids in PROMPTS], continuations)
    np.testing.assert_allclose(seen, -continuation_nll(model, PROMPTS, continuations), atol=1e-5)


def test_what_cannot_be_read_in_one_pass_is_one_line(model):
    with pytest.raises(InputError, match="a continuation has no tokens"):
        continuation_log_probs(model, [Row(PROMPTS[0])], [()])
    change = Intervention(Site("z", 0, 0), ablate_zero(model.d_head), Prompt())
    row = Row(PROMPTS[0], Condition("at the prompt", (change,)))
    with pytest.raises(
        InputError, match=r"'at the prompt' acts at Prompt; .* allowed is Everywhere"
    ):
        continuation_log_probs(model, [row], [(4,)])
