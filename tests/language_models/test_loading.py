"""Models load from folders as from the hub, and bad ones are refused with one line."""

import json
import logging

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformer_lens.model_bridge import TransformerBridge
from transformers import AutoModelForCausalLM, AutoTokenizer

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.language_models import ModelSpec, load_language_model, wrap_language_model


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return save_architecture("gpt2", tmp_path_factory.mktemp("model"))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_each_architecture_passes_its_self_check(name, tmp_path):
    folder = save_architecture(name, tmp_path / name)
    model = load_language_model(ModelSpec(name=name, source=str(folder), device="cpu"))
    assert model.n_layers == model.hf_model.config.num_hidden_layers
    assert model.d_model == model.hf_model.config.hidden_size
    assert not any(weight.requires_grad for weight in model.bridge.parameters())
    assert not model.hf_model.training


@pytest.mark.parametrize(
    ("name", "begins_with_bos"),
    [("gpt2", True), ("llama", True), ("gemma3", True), ("qwen3", False)],
)
def test_bos_is_put_once_or_not_at_all(name, begins_with_bos, tmp_path):
    folder = save_architecture(name, tmp_path / name)
    model = load_language_model(ModelSpec(name=name, source=str(folder), device="cpu"))
    ids = model.encode("I am")
    assert ids.count(model.tokenizer.convert_tokens_to_ids("<s>")) == int(begins_with_bos)
    assert (model.bos_token_id is not None) == begins_with_bos


def test_bos_can_be_left_out_where_the_tokenizer_does_not_put_it(folder, tmp_path):
    spec = ModelSpec(name="m", source=str(folder), device="cpu", prepend_bos=False)
    model = load_language_model(spec)
    assert model.encode("I am") == model.tokenizer("I am").input_ids
    llama = save_architecture("llama", tmp_path / "llama")
    with pytest.raises(InputError, match="prepend_bos is false, but its tokenizer puts BOS"):
        load_language_model(ModelSpec(name="m", source=str(llama), prepend_bos=False))


def test_bos_cannot_be_asked_of_a_model_without_one(tmp_path):
    folder = save_architecture("qwen3", tmp_path / "qwen3")
    with pytest.raises(InputError, match="there is no BOS token"):
        load_language_model(ModelSpec(name="m", source=str(folder), prepend_bos=True))


def test_a_bridge_that_computes_something_else_is_refused(folder, monkeypatch):
    boot = TransformerBridge.boot_transformers

    def broken(*args, **kwargs):
        bridge = boot(*args, **kwargs)
        with torch.no_grad():
            next(bridge.original_model.parameters()).mul_(1.01)
        return bridge

    monkeypatch.setattr(TransformerBridge, "boot_transformers", broken)
    with pytest.raises(InputError, match=r"'m' failed its self-check: bridge logits .* differ by"):
        load_language_model(ModelSpec(name="m", source=str(folder), device="cpu"))


@pytest.mark.parametrize(
    ("spoilt", "message"),
    [
        ("blocks.1.hook_resid_post", "blocks.1.hook_resid_post and blocks.2.hook_resid_pre"),
        ("blocks.2.hook_attn_out", "blocks.2.hook_resid_mid and blocks.2.hook_resid_pre"),
    ],
)
def test_a_stream_that_is_not_the_sum_of_its_parts_is_refused(folder, monkeypatch, spoilt, message):
    run = TransformerBridge.run_with_cache

    def spoil(*args, **kwargs):
        logits, cache = run(*args, **kwargs)
        cache[spoilt] = cache[spoilt] * 1.01
        return logits, cache

    monkeypatch.setattr(TransformerBridge, "run_with_cache", spoil)
    with pytest.raises(InputError, match=f"failed its self-check: {message}.* differ by"):
        load_language_model(ModelSpec(name="m", source=str(folder), device="cpu"))


def test_no_hook_is_left_on_a_loaded_model(folder):
    model = load_language_model(ModelSpec(name="m", source=str(folder), device="cpu"))
    points = model.bridge.hook_dict.values()
    assert not any(point.has_hooks() for point in points)


@pytest.mark.parametrize("missing", ["config.json", "tokenizer.json", "*.safetensors"])
def test_a_folder_without_a_needed_file_is_refused_by_its_name(tmp_path, missing):
    folder = save_architecture("gpt2", tmp_path / "model")
    for path in folder.glob(missing):
        path.unlink()
    with pytest.raises(InputError) as caught:
        load_language_model(ModelSpec(name="m", source=str(folder)))
    assert f"has no {missing}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_weights_in_a_pickle_are_not_loaded(tmp_path):
    folder = save_architecture("gpt2", tmp_path / "model")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(InputError, match=r"no .*safetensors"):
        load_language_model(ModelSpec(name="m", source=str(folder)))


def test_a_missing_folder_is_one_line(tmp_path):
    (tmp_path / "nowhere_else").mkdir()
    with pytest.raises(InputError, match=r"there is no folder .* nearest: nowhere_else$"):
        load_language_model(ModelSpec(name="m", source=str(tmp_path / "nowhere_els")))


def test_an_unreachable_hub_model_is_one_line():
    with pytest.raises(InputError, match=r"'m': 'no-one/nothing' \(revision None\) cannot be"):
        load_language_model(ModelSpec(name="m", source="no-one/nothing"))


def test_remote_code_is_not_run(tmp_path):
    folder = save_architecture("gpt2", tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "unheard-of", "auto_map": {"AutoConfig": "code.Config"}}
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "code.py").write_text("raise SystemExit('was run')")
    with pytest.raises(InputError):
        load_language_model(ModelSpec(name="m", source=str(folder)))


def test_half_precision_models_pass_their_check(folder):
    model = load_language_model(
        ModelSpec(name="m", source=str(folder), dtype="bfloat16", device="cpu")
    )
    assert model.dtype == torch.bfloat16


def test_a_device_that_is_not_there_is_the_cpu_with_one_warning(folder, caplog):
    if torch.cuda.is_available():
        pytest.skip("this machine has the device that the test needs to be missing")
    from emotion_circuits.language_models import device

    device._warn_once.cache_clear()
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            model = load_language_model(ModelSpec(name="m", source=str(folder), device="cuda"))
            assert model.device.type == "cpu"
    warnings = [record for record in caplog.records if "not available" in record.message]
    assert len(warnings) == 1


def test_a_model_in_memory_needs_no_folder_and_keeps_its_modules(tmp_path):
    """TransformerLens would load the tokenizer by its name again: there is none of that name."""
    source = save_architecture("llama", tmp_path / "llama")
    hf_model = AutoModelForCausalLM.from_pretrained(source)
    tokenizer = AutoTokenizer.from_pretrained(source)
    before = [type(module) for module in hf_model.modules()]
    wrapped = wrap_language_model(
        ModelSpec(name="mine", source="nowhere", device="cpu"), hf_model, tokenizer
    )
    loaded = load_language_model(ModelSpec(name="mine", source=str(source), device="cpu"))
    assert [type(module) for module in hf_model.modules()] == before
    assert wrapped.plain_model is hf_model
    ids = torch.tensor([loaded.encode("Thank you")])
    assert torch.equal(wrapped.hf_model(ids).logits, loaded.hf_model(ids).logits)
    assert wrapped.encode("Thank you") == loaded.encode("Thank you") == ids[0].tolist()
    assert wrapped.bridge.to_tokens("Thank you").tolist() == ids.tolist()


def test_an_untrained_copy_has_the_architecture_and_weights_of_its_seed(folder):
    trained = load_language_model(ModelSpec(name="m", source=str(folder), device="cpu"))
    spec = ModelSpec(name="m_untrained", source=str(folder), device="cpu", untrained_seed=3)
    one, again = load_language_model(spec), load_language_model(spec)
    other = load_language_model(spec.model_copy(update={"untrained_seed": 4}))
    weights = [dict(each.plain_model.named_parameters()) for each in (trained, one, again, other)]
    assert len({tuple((name, each.shape) for name, each in one.items()) for one in weights}) == 1
    random = [name for name, each in weights[1].items() if each.ndim > 1 and each.std() > 0]
    assert random
    for name in random:
        assert torch.equal(weights[1][name], weights[2][name])
        assert not torch.equal(weights[1][name], weights[0][name])
        assert not torch.equal(weights[1][name], weights[3][name])
    torch.manual_seed(3)
    config = trained.plain_model.config
    drawn = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    for name, weight in drawn.named_parameters():
        assert torch.equal(weight, weights[1][name]), "the architecture's own initialisation"


def test_a_misspelt_field_of_a_spec_is_one_line():
    with pytest.raises(InputError, match=r"'sorce' is unknown; .* nearest: source"):
        ModelSpec(name="m", sorce="gpt2")
    with pytest.raises(InputError, match=r"^source: field required$"):
        ModelSpec(name="m")


def rewrite_weights(folder, change):
    path = folder / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            lambda weights: weights.pop("transformer.h.1.mlp.c_fc.weight"),
            r"lack the weights transformer\.h\.1\.mlp\.c_fc\.weight$",
        ),
        (
            lambda weights: weights.update({"transformer.h.9.ln_1.bias": torch.zeros(32)}),
            r"hold beside the model's own transformer\.h\.9\.ln_1\.bias$",
        ),
        (
            lambda weights: weights.update({"transformer.ln_f.bias": torch.zeros(31)}),
            r"have another shape of transformer\.ln_f\.bias \(\[31\] instead of \[32\]\)$",
        ),
        (
            lambda weights: [weights.pop(name) for name in list(weights) if ".h.2." in name],
            r"lack the weights .* and 6 more$",
        ),
    ],
    ids=["missing", "unexpected", "mis-shaped", "a whole layer"],
)
def test_weights_that_do_not_fit_are_refused_by_name(tmp_path, change, line):
    folder = save_architecture("gpt2", tmp_path / "model")
    rewrite_weights(folder, change)
    with pytest.raises(InputError, match=r"model 'm': .* is not a whole GPT2LMHead.*" + line) as e:
        load_language_model(ModelSpec(name="m", source=str(folder), device="cpu"))
    assert "\n" not in str(e.value)


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_tied_weights_that_are_saved_once_are_whole(name, tmp_path):
    folder = save_architecture(name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    config["tie_word_embeddings"] = True
    (folder / "config.json").write_text(json.dumps(config))
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(folder)
    load_language_model(ModelSpec(name=name, source=str(folder), device="cpu"))
