"""Log-probabilities of given continuations against generation, recomputation and fluency."""

import numpy as np
import pytest
import torch

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import continuation_nll
from emotion_circuits.experiments.head_conditions import ablate_heads, patch_heads
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Condition,
    Decay,
    Intervention,
    Onward,
    Row,
    Site,
    capture_heads,
    continuation_log_probs,
    generate_rows,
    steer,
)
from emotion_circuits.interventions.engine import teacher_forcing
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
    push = Add(torch.from_numpy(rng.normal(size=model.d_model)).float())
    fading = Intervention(Site("resid_post", 0), push, Onward(), Decay(1.0, 0.5))
    return [
        BASELINE,
        low,
        ablate_heads("top", [(top, 0)], torch.zeros(shape)),
        Condition("fading", (fading,)),
        *patches_of(model),
    ]


def patches_of(model):
    """Two heads with what they do on another prompt: their output, and the values they read."""
    (batch,) = capture_heads(model, [(5, 44, 7, 90)], parts=("z", "v"))
    heads = [(0, 1), (model.n_layers - 1, 0)]
    return [
        patch_heads(mode, heads, source[0], mode=mode, n_prompt=n_prompt, n_aligned=3)
        for n_prompt in sorted({len(ids) for ids in PROMPTS})
        for mode, source in (("pattern_v", batch.z), ("v_only", batch.v))
    ]


def fits(ids, condition):
    """Whether a patch is of the prompt's length."""
    sources = [getattr(item.operator, "source", None) for item in condition.interventions]
    return all(source is None or len(source) == len(ids) for source in sources)


def test_they_are_those_of_the_tokens_as_they_are_generated(model):
    """Generation takes a step a token; here the tokens are read at once."""
    conditions = conditions_of(model)
    rows = [Row(ids, item) for ids in PROMPTS for item in conditions if fits(ids, item)]
    assert len(rows) == len(PROMPTS) * 6
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


def test_continuations_of_one_prompt_share_its_pass_and_do_not_meet(model, monkeypatch):
    """Rows with one condition object run their prompt once; equal tokens are read once."""
    condition = conditions_of(model)[1]
    continuations = [(7, 8, 9), (40,), (3, 3, 3), (9, 8, 7, 6, 5), (3, 3, 3)]
    rows = [Row(PROMPTS[0], condition)] * len(continuations)
    alone = [
        continuation_log_probs(model, [row], [tokens])[0]
        for row, tokens in zip(rows, continuations, strict=True)
    ]
    n_prompts = []
    whole = teacher_forcing.Decoder

    def count(model_, prompts, **options):
        n_prompts.append(len(prompts))
        return whole(model_, prompts, **options)

    monkeypatch.setattr(teacher_forcing, "Decoder", count)
    seen = continuation_log_probs(model, rows, continuations)
    assert n_prompts == [1]
    assert seen[2] == seen[4]
    np.testing.assert_allclose(seen, alone, atol=1e-5)


def test_what_cannot_be_read_at_once_is_one_line(model):
    with pytest.raises(InputError, match="a continuation has no tokens"):
        continuation_log_probs(model, [Row(PROMPTS[0])], [()])
    moving = steer("moving", Add(torch.ones(model.d_model)), 0, window=2)
    line = r"'moving' acts at Window\(size=2, .*\); .* allowed are positions that do not move"
    with pytest.raises(InputError, match=line):
        continuation_log_probs(model, [Row(PROMPTS[0], moving)], [(4,)])
    too_long = (7,) * model.n_ctx
    with pytest.raises(InputError, match="do not fit into model"):
        continuation_log_probs(model, [Row(PROMPTS[0])], [too_long])
