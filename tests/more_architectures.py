"""Tiny random models of any causal architecture of `transformers`."""

from __future__ import annotations

from typing import Any, Final

import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, PreTrainedTokenizerFast

from architectures import CORPUS, VOCAB
from emotion_circuits.language_models import LanguageModel, ModelSpec, wrap_language_model
from emotion_circuits.training.tokenizers import train_tokenizer

# Every name that a configuration has for a size; those that it lacks are left out.
_SIZES: Final = {
    **dict.fromkeys(("hidden_size", "n_embd", "d_model", "word_embed_proj_dim"), 32),
    **dict.fromkeys(("num_hidden_layers", "n_layer", "n_layers", "num_layers"), 2),
    **dict.fromkeys(("num_attention_heads", "n_head", "n_heads", "num_heads"), 4),
    **dict.fromkeys(("attention_heads", "num_experts", "num_local_experts"), 4),
    **dict.fromkeys(("intermediate_size", "ffn_dim", "n_inner"), 48),
    **dict.fromkeys(("max_position_embeddings", "n_positions", "max_seq_len"), 64),
    **dict.fromkeys(("num_key_value_heads", "num_experts_per_tok"), 2),
    "head_dim": 8,
    "rotary_dim": 4,
    "moe_intermediate_size": 16,
    "vocab_size": VOCAB,
}
# What an architecture needs beside sizes, or what makes its peculiarity show in two layers.
_OWN: Final[dict[str, dict[str, Any]]] = {
    "gpt_neo": {"attention_types": [[["global", "local"], 1]], "window_size": 4},
    "mistral": {"sliding_window": 4},
    "mamba2": {"num_heads": 8, "expand": 2},
    "bamba": {"mamba_n_heads": 8, "mamba_d_head": 8, "attn_layer_indices": [1]},
    "jamba": {"num_hidden_layers": 4, "attn_layer_period": 2, "attn_layer_offset": 1},
    "recurrent_gemma": {
        "num_hidden_layers": 3,
        "block_types": ["recurrent", "recurrent", "attention"],
    },
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "qwen3_next": {
        "num_hidden_layers": 4,
        "layer_types": [*["linear_attention"] * 3, "full_attention"],
    },
    "gemma3n_text": {
        "num_hidden_layers": 4,
        "num_kv_shared_layers": 0,
        "layer_types": ["sliding_attention", "full_attention"] * 2,
    },
    **{
        name: {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]}
        for name in ("gemma2", "gemma3_text", "gpt_oss", "olmo3", "exaone4")
    },
}
# Ordinary decoders that people use.
DECODERS: Final = (
    *("arcee", "bitnet", "bloom", "codegen", "cohere", "exaone4", "falcon", "gemma", "gemma2"),
    *("gemma3_text", "glm", "glm4", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gpt_oss"),
    *("gptj", "granite", "helium", "llama", "mistral", "mixtral", "mpt", "nemotron", "olmo"),
    *("olmo2", "olmo3", "opt", "phi", "phi3", "qwen2", "qwen2_moe", "qwen3", "qwen3_moe"),
    *("seed_oss", "smollm3", "stablelm", "starcoder2", "xglm"),
)
RECURRENT: Final = (
    *("bamba", "falcon_mamba", "jamba", "lfm2", "mamba", "mamba2", "nemotron_h"),
    *("qwen3_next", "recurrent_gemma", "rwkv"),
)


def tiny_model(name: str, seed: int = 0, **own: Any) -> tuple[Any, PreTrainedTokenizerFast]:
    """Make a random model of an architecture, in evaluation mode, and its tokenizer."""
    tokenizer = train_tokenizer(CORPUS, vocab_size=VOCAB, add_bos=False)
    default = CONFIG_MAPPING[name]()
    given = {key: value for key, value in _SIZES.items() if key in default.to_dict()}
    given |= {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    torch.manual_seed(seed)
    config = type(default)(**given | _OWN.get(name, {}) | own)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            if weight.dim() >= 2:
                weight.normal_(0, 0.2)
    return model, tokenizer


def load_tiny(name: str, **own: Any) -> LanguageModel:
    """Load a random model of an architecture, as a model that is in memory already."""
    model, tokenizer = tiny_model(name, **own)
    return wrap_language_model(ModelSpec(name=name, source=name, device="cpu"), model, tokenizer)
