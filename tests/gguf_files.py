"""Tiny GGUF files with the weights and tokenizer of a folder, written the way llama.cpp does."""

from __future__ import annotations

import json
from pathlib import Path

import gguf
import numpy as np
from transformers import AutoModelForCausalLM

CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"


def permute(weight, n_heads):
    """The order of llama.cpp's rotary pairs; the reader turns it back."""
    d_out = weight.shape[0]
    halves = weight.reshape(n_heads, 2, d_out // n_heads // 2, *weight.shape[1:])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write_llama_gguf(folder: Path, path: Path, *, leave_out: str = "", chat: bool = True) -> Path:
    """Write a Llama folder as GGUF in float32."""
    model = AutoModelForCausalLM.from_pretrained(folder)
    config = model.config
    writer = gguf.GGUFWriter(str(path), "llama")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_vocab_size(config.vocab_size)
    add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text()), config)
    if chat:
        writer.add_chat_template(CHAT)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    for name, weight in model.state_dict().items():
        values = weight.numpy().astype(np.float32)
        if name.endswith("q_proj.weight"):
            values = permute(values, config.num_attention_heads)
        if name.endswith("k_proj.weight"):
            values = permute(values, config.num_key_value_heads)
        target = names.get_name(name, try_suffixes=(".weight", ".bias"))
        if name != leave_out:
            writer.add_tensor(target, np.ascontiguousarray(values))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def add_tokenizer(writer, tokenizer, config):
    vocab = sorted(tokenizer["model"]["vocab"].items(), key=lambda item: item[1])
    tokens = [token for token, _ in vocab]
    added = {item["content"] for item in tokenizer["added_tokens"]}
    tokens += [f"[unused{n}]" for n in range(config.vocab_size - len(tokens))]
    kinds = [3 if token in added else 1 for token in tokens]
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in merges])
    writer.add_bos_token_id(tokens.index("<s>"))
    writer.add_eos_token_id(tokens.index("</s>"))
