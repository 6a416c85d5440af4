"""Captured activations are those of the plain model, whatever the batch."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM

from architectures import CORPUS, TWO_AND_SLOW_OTHERS, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import capture_residual
from emotion_circuits.language_models import ModelSpec, encode_prompts, load_language_model

# The bridge computes attention eagerly, the plain model with a fused kernel: float32 sums in
# another order. Values are of the order of 10.
TOLERANCE = 1e-5


@pytest.fixture(scope="module", params=TWO_AND_SLOW_OTHERS)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, plain


def blocks_of(plain):
    """The model's transformer blocks: the one module list with one entry per layer."""
    return next(
        module
        for module in plain.modules()
        if isinstance(module, torch.nn.ModuleList) and len(module) == plain.config.num_hidden_layers
    )


@torch.no_grad()
def plain_residuals(plain, ids):
    """One prompt alone through the plain model: inputs and outputs of each of its blocks."""
    pre, post, handles = [], [], []
    for block in blocks_of(plain):
        handles.append(
            block.register_forward_pre_hook(
                lambda _, args, kwargs: pre.append(
                    (args[0] if args else kwargs["hidden_states"])[0]
                ),
                with_kwargs=True,
            )
        )
        handles.append(
            block.register_forward_hook(
                lambda _, __, out: post.append((out[0] if isinstance(out, tuple) else out)[0])
            )
        )
    plain(input_ids=torch.tensor([ids]), use_cache=False)
    for handle in handles:
        handle.remove()
    return torch.stack(pre), torch.stack([p.reshape(len(ids), -1) for p in post])


def assert_equal_to_plain(model, plain, texts, captured):
    for row, text in enumerate(texts):
        ids = model.encode(text)
        pre, post = plain_residuals(plain, ids)
        for name, wanted in (("resid_pre", pre), ("resid_post", post)):
            seen = captured[name][row, :, : len(ids)]
            scale = max(1.0, wanted.abs().max().item())
            assert (seen - wanted).abs().max().item() <= TOLERANCE * scale
            assert not captured[name][row, :, len(ids) :].any()


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_activations_are_those_of_each_prompt_alone(loaded, batch_size):
    model, plain = loaded
    encoded = encode_prompts(model, CORPUS)
    captured = capture_residual(model, encoded, layers=range(model.n_layers), batch_size=batch_size)
    assert_equal_to_plain(model, plain, CORPUS, captured)


TEXTS = st.lists(
    st.text(st.sampled_from("aeinrst ,.é\n"), min_size=1, max_size=30).filter(str.strip),
    min_size=1,
    max_size=6,
)


@given(texts=TEXTS, batch_size=st.integers(1, 7))
def test_any_mix_of_texts_gives_what_each_gives_alone(loaded, texts, batch_size):
    model, plain = loaded
    encoded = encode_prompts(model, texts)
    captured = capture_residual(model, encoded, layers=range(model.n_layers), batch_size=batch_size)
    assert_equal_to_plain(model, plain, texts, captured)


def test_layers_come_in_the_order_asked_for(loaded):
    model, _ = loaded
    encoded = encode_prompts(model, CORPUS)
    both = capture_residual(model, encoded, layers=[0, 1])
    turned = capture_residual(model, encoded, layers=[1, 0])
    twice = capture_residual(model, encoded, layers=[1, 1])["resid_pre"]
    assert torch.equal(twice[:, 0], twice[:, 1])
    for name in both:
        assert torch.equal(both[name].flip(1), turned[name])


def test_means_run_over_the_text_without_bos_and_padding(loaded):
    model, _ = loaded
    cues = ["repaired", "grateful", "", "books"]
    encoded = encode_prompts(model, CORPUS, cues)
    every = capture_residual(model, encoded, layers=range(model.n_layers), batch_size=2)
    means = capture_residual(
        model, encoded, layers=range(model.n_layers), batch_size=3, pooling="mean"
    )
    first = 0 if model.bos_token_id is None else 1
    for row, text in enumerate(CORPUS):
        length = len(model.encode(text))
        stream = every["resid_post"][row].double().numpy()
        wanted = np.mean([stream[:, pos] for pos in range(first, length)], axis=0)
        np.testing.assert_allclose(means["resid_post"][row, :, 0], wanted, atol=1e-5)
        np.testing.assert_allclose(
            means["resid_post_last"][row, :, 0], stream[:, length - 1], atol=1e-5
        )
        cue = means["resid_post_cue"][row, :, 0]
        if not cues[row]:
            assert cue.isnan().all()
            continue
        positions = [p for p in range(length) if encoded.cue_mask[row, p]]
        assert first <= positions[0]
        wanted = np.mean([stream[:, pos] for pos in positions], axis=0)
        np.testing.assert_allclose(cue, wanted, atol=1e-5)


def test_cue_tokens_spell_the_cue(loaded):
    model, _ = loaded
    encoded = encode_prompts(model, CORPUS, ["repaired", "grateful", "furious", "café"])
    for row, cue in enumerate(["repaired", "grateful", "furious", "café"]):
        ids = encoded.token_ids[row][encoded.cue_mask[row]]
        assert model.tokenizer.decode(ids).strip(" .") == cue


def test_no_hook_is_left_even_after_an_exception(loaded, monkeypatch):
    model, _ = loaded

    def count():
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks)
            for module in (*model.bridge.modules(), *model.plain_model.modules())
        )

    before = count()
    encoded = encode_prompts(model, CORPUS)
    capture_residual(model, encoded, layers=[0])
    assert count() == before
    broken = encode_prompts(model, CORPUS)
    broken.token_ids[0, 0] = 10**6  # no such token: the forward pass fails with hooks in place
    with pytest.raises(IndexError):
        capture_residual(model, broken, layers=[0])
    assert count() == before


def test_half_precision_is_a_choice_of_storage_only(loaded):
    model, _ = loaded
    encoded = encode_prompts(model, CORPUS)
    full = capture_residual(model, encoded, layers=[0])["resid_post"]
    half = capture_residual(model, encoded, layers=[0], dtype=torch.float16)["resid_post"]
    assert torch.equal(full.to(torch.float16), half)


@pytest.mark.parametrize(("layer", "allowed"), [(99, "0 to"), (-1, "0 to")])
def test_a_layer_out_of_range_is_one_line(loaded, layer, allowed):
    model, _ = loaded
    with pytest.raises(InputError, match=f"layer {layer} is out of range.*{allowed}"):
        capture_residual(model, encode_prompts(model, CORPUS), layers=[layer])


@torch.no_grad()
def test_the_plain_model_shares_its_weights_and_reads_what_the_hook_points_read(loaded):
    model, _ = loaded
    held = {tensor.data_ptr() for tensor in model.bridge.original_model.parameters()}
    assert {tensor.data_ptr() for tensor in model.plain_model.parameters()} <= held
    encoded = encode_prompts(model, CORPUS[:1])
    captured = capture_residual(model, encoded, layers=range(model.n_layers))
    _, cache = model.bridge.run_with_cache(encoded.token_ids)
    for point, streams in captured.items():
        for layer in range(model.n_layers):
            hooked = cache[f"blocks.{layer}.hook_{point}"][0]
            torch.testing.assert_close(streams[0, layer], hooked, atol=TOLERANCE, rtol=1e-5)


def test_activations_that_are_no_numbers_are_one_line(loaded):
    """They would make the mean of a whole label NaN."""
    model, _ = loaded
    prompts = encode_prompts(model, list(CORPUS), [""] * len(CORPUS))
    weight = model.plain_model.get_input_embeddings().weight
    token = int(prompts.token_ids[2, 3])
    wanted = next(
        row
        for row in prompts.lengths.argsort(descending=True, stable=True).tolist()
        if token in prompts.token_ids[row, : prompts.lengths[row]]
    )
    with torch.no_grad():
        former = weight[token].clone()
        weight[token] = torch.nan
    try:
        line = rf"'{model.name}' has NaN or infinite activations at resid_pre of layer 0 in prompt "
        with pytest.raises(InputError, match=line + str(wanted)):
            capture_residual(model, prompts, layers=[0, 1], progress=False)
    finally:
        with torch.no_grad():
            weight[token] = former
