"""Scores of heads against models written out by hand, finite differences, and reference values."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.circuits import (
    ablation_estimates,
    cue_attention,
    direct_write,
    final_scales,
    head_gradients,
    head_writes,
    log_odds,
    log_odds_target,
    projection_target,
    rank_agreement,
)
from emotion_circuits.experiments.head_conditions import ablate_heads
from emotion_circuits.interventions import Row, capture_heads, read_logits
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten import keep_mlp, written_heads, written_logits

PROMPTS = [(5, 17, 60, 33, 90, 201, 44), (5, 70, 31, 12), (5, 9, 8, 130, 77, 21, 250)]


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, plain


def test_heads_write_what_attention_adds_to_the_stream(loaded):
    """All heads' writes and the projection's bias are what TransformerLens sees attention add."""
    model, _ = loaded
    writes = head_writes(model, PROMPTS, batch_size=2)
    for row, ids in enumerate(PROMPTS):
        _, cache = model.bridge.run_with_cache(torch.tensor([ids]))
        for layer, block in enumerate(model.plain_blocks):
            added = cache[f"blocks.{layer}.hook_attn_out"][0, -1]
            biases = [
                value
                for name, value in block.named_parameters()
                if name.endswith(("c_proj.bias", "dense.bias", "out_proj.bias"))
                and "mlp" not in name
            ]
            total = writes[row, layer].sum(0) + (biases[0] if biases else 0)
            torch.testing.assert_close(total, added, atol=1e-5, rtol=1e-4)


def test_each_heads_write_is_its_own(loaded):
    """Taking one head's output away at the last position takes its write out of the first layer."""
    model, plain = loaded
    if model.name == "gemma3":
        return  # the norm after its projection would change its scale: see the sum above
    writes = head_writes(model, PROMPTS[:1])
    heads, _ = written_heads(plain, model.name, PROMPTS[0])
    name = {
        "gpt2": "attn.c_proj",
        "gpt_neox": "attention.dense",
        "gpt_neo": "attn.attention.out_proj",
    }
    module = model.plain_blocks[0].get_submodule(name.get(model.name, "self_attn.o_proj"))
    whole = heads[0].z[-1]
    for head in range(model.n_heads):
        without = whole.clone()
        without[head] = 0
        difference = module(whole.flatten()[None]) - module(without.flatten()[None])
        torch.testing.assert_close(writes[0, 0, head], difference[0], atol=1e-5, rtol=1e-4)


def test_the_final_norms_scale_is_that_of_the_stream_it_reads(loaded):
    model, _ = loaded
    scales, centered = final_scales(model, PROMPTS)
    assert centered == (model.name in ("gpt2", "gpt_neox", "gpt_neo"))
    for row, ids in enumerate(PROMPTS):
        _, cache = model.bridge.run_with_cache(torch.tensor([ids]))
        stream = cache[f"blocks.{model.n_layers - 1}.hook_resid_post"][0, -1]
        if centered:
            stream = stream - stream.mean()
        assert scales[row] == pytest.approx(float(stream.square().mean().sqrt()), rel=1e-3)


def test_direct_write_is_what_the_final_norm_passes_on_along_the_direction():
    rng = np.random.default_rng(0)
    writes = torch.from_numpy(rng.normal(size=(2, 1, 3, 5))).float()
    direction = torch.from_numpy(rng.normal(size=5)).float()
    scales = torch.tensor([2.0, 0.5])
    for centered in (False, True):
        seen = direct_write(writes, scales, direction, centered=centered)
        for row in range(2):
            for head in range(3):
                write = writes[row, 0, head].double()
                if centered:
                    write = write - write.mean()
                wanted = float(write @ direction.double()) / float(direction.norm())
                assert seen[row, 0, head] == pytest.approx(wanted / float(scales[row]), abs=1e-5)
        longer = direct_write(writes, scales, 3 * direction, centered=centered)
        torch.testing.assert_close(longer, seen)


def test_cue_attention_sums_the_right_weights():
    pattern = torch.zeros(1, 1, 2, 4, 4)
    pattern[0, 0, 0] = torch.tril(torch.ones(4, 4)) / torch.arange(1, 5)[:, None]
    pattern[0, 0, 1, :, 0] = 1  # a sink
    cue = torch.tensor([[False, True, False, False]])
    seen = cue_attention(pattern, cue)
    assert seen.from_last[0, 0].tolist() == pytest.approx([0.25, 0])
    # Positions 2 and 3 come after the cue: 1/3 and 1/4 of their attention.
    assert seen.from_after[0, 0].tolist() == pytest.approx([(1 / 3 + 1 / 4) / 2, 0])
    assert seen.uniform.tolist() == [0.25]
    at_the_end = cue_attention(pattern, torch.tensor([[False, False, False, True]]))
    assert at_the_end.from_after.isnan().all()
    assert at_the_end.from_last[0, 0].tolist() == pytest.approx([0.25, 0])
    assert cue_attention(pattern, torch.zeros(1, 4, dtype=torch.bool)).from_last.isnan().all()


def test_attention_to_everything_is_one(loaded):
    model, _ = loaded
    (batch,) = capture_heads(model, PROMPTS[:1], parts=("pattern",))
    seen = cue_attention(batch.pattern, torch.ones(1, 7, dtype=torch.bool))
    torch.testing.assert_close(seen.from_last, torch.ones_like(seen.from_last))


def gradients_of(model, ids, tokens, direction, layer):
    targets = {
        "projection": projection_target(direction[None]),
        "logit": log_odds_target([tokens]),
    }
    return head_gradients(model, torch.tensor([ids]), targets, layer=layer)


def test_gradients_are_those_of_finite_differences(loaded):
    """The written model, moved a little at one head and position, moves by the gradient."""
    model, plain = loaded
    tokens, ids = torch.tensor([3, 40, 41]), PROMPTS[0]
    rng = np.random.default_rng(1)
    direction = torch.from_numpy(rng.normal(size=model.d_model)).float()
    top = model.n_layers - 1
    read = gradients_of(model, ids, tokens, direction, top)
    plain = plain.double()
    for layer, head, pos in ((0, 0, 2), (top, 1, 6), (0, model.n_heads - 1, 6)):
        step = torch.from_numpy(rng.normal(size=model.d_head))

        def value(size, at=(layer, head, pos), step=step):
            def edit(attention):
                z = attention.z.clone()
                if attention.layer == at[0]:
                    z[at[2], at[1]] += size * step
                return z

            return float(log_odds(written_logits(plain, model.name, ids, edit)[-1:], tokens))

        slope = (value(1e-4) - value(-1e-4)) / 2e-4
        wanted = float(read.gradients["logit"][0, layer, pos, head].double() @ step)
        assert wanted == pytest.approx(slope, rel=1e-3, abs=1e-4)
    plain.float()


def test_estimates_are_exact_where_the_target_is_linear(loaded):
    """The stream after the last layer takes the last layer's heads as they are, bar the MLP.

    With the MLP left out of it, as in a parallel layer, ablating the last layer's heads changes
    the projection by exactly what the gradient says.
    """
    model, _ = loaded
    if model.name != "gpt_neox":
        return
    rng = np.random.default_rng(2)
    direction = torch.from_numpy(rng.normal(size=model.d_model)).float()
    top = model.n_layers - 1
    read = gradients_of(model, PROMPTS[0], torch.tensor([3]), direction, top)
    zeros = torch.zeros(model.n_layers, model.n_heads, model.d_head)
    seen = ablation_estimates(read.z, read.gradients["projection"], zeros)[0, top]
    writes = head_writes(model, PROMPTS[:1])[0, top]
    torch.testing.assert_close(seen, -writes @ (direction / direction.norm()), atol=1e-4, rtol=1e-4)


def test_estimates_near_what_is_there_are_what_ablation_does(loaded):
    """A value close to the head's own output moves the target by what the gradient says."""
    model, _ = loaded
    tokens, ids = torch.tensor([3, 40, 41]), (5,)
    read = gradients_of(model, ids, tokens, torch.ones(model.d_model), 0)
    held = read.z[0, :, 0].clone()
    rng = np.random.default_rng(3)
    held += 1e-3 * torch.from_numpy(rng.normal(size=held.shape)).float()
    estimates = ablation_estimates(read.z, read.gradients["logit"], held)[0]
    rows = [
        Row(ids, ablate_heads("x", [(layer, head)], held))
        for layer in range(model.n_layers)
        for head in range(model.n_heads)
    ]
    after = read_logits(model, rows, lambda logits: log_odds(logits, tokens)[:, None])[:, 0]
    measured = (after - read.values["logit"]).reshape(estimates.shape)
    assert float((measured - estimates).abs().max()) <= 0.02 * float(measured.abs().max()) + 2e-5


def test_log_odds_are_those_of_the_softmax():
    logits = torch.tensor([[1.0, 2.0, -1.0, 0.5]])
    share = float(logits.softmax(-1)[0, [1, 3]].sum())
    assert float(log_odds(logits, torch.tensor([1, 3]))) == pytest.approx(
        np.log(share / (1 - share))
    )


def test_agreement_is_perfect_reversed_and_absent():
    scores = np.arange(10.0)
    assert rank_agreement(scores, scores**3) == (pytest.approx(1), 1.0, 0.2, 2)
    assert rank_agreement(-scores, scores)[:2] == (pytest.approx(-1), 0.0)
    flat = rank_agreement(np.ones(10), scores)
    assert np.isnan(flat.spearman)
    rng = np.random.default_rng(0)
    drawn = [rank_agreement(rng.normal(size=20), rng.normal(size=20)) for _ in range(500)]
    assert np.mean([item.recall for item in drawn]) == pytest.approx(0.2, abs=0.03)
    assert np.mean([item.spearman for item in drawn]) == pytest.approx(0, abs=0.04)


def test_what_is_written_out_is_not_touched_by_idle_edits(loaded):
    model, plain = loaded
    seen = written_logits(plain, model.name, PROMPTS[1], lambda a: a.z.clone(), keep_mlp)
    assert torch.equal(seen, written_logits(plain, model.name, PROMPTS[1]))
