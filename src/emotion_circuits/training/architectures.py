"""Standard architectures at the sizes of the embedded models."""

from __future__ import annotations

from typing import Final

import torch
import transformers
from pydantic import BaseModel, ConfigDict, Field

from emotion_circuits.embedded_world.reactions import GOEMOTIONS, POLITENESS, SENTIMENTS

CONTEXT: Final = 128


class Shape(BaseModel):
    """Size of a transformer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n_layers: int = Field(ge=1)
    d_model: int = Field(ge=8)
    n_heads: int = Field(ge=1)
    n_kv_heads: int | None = Field(None, ge=1, description="key/value heads (Llama only)")
    d_mlp: int = Field(ge=8)


# For each embedded evaluator the labels and the problem type of the hub evaluator that it replaces,
# with the labels in the same order.
EVALUATORS: Final = {
    "sentiment": (SENTIMENTS, "single_label_classification"),
    "politeness": (POLITENESS, "single_label_classification"),
    "goemotions": (GOEMOTIONS, "multi_label_classification"),
}


def build_gpt2(
    shape: Shape, tokenizer: transformers.PreTrainedTokenizerFast, seed: int
) -> transformers.PreTrainedModel:
    """Build a GPT-2 with random weights: learned positions, LayerNorm, GELU, tied embeddings."""
    torch.manual_seed(seed)
    config = transformers.GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=CONTEXT,
        n_embd=shape.d_model,
        n_layer=shape.n_layers,
        n_head=shape.n_heads,
        n_inner=shape.d_mlp,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        **_special_tokens(tokenizer),
    )
    return transformers.GPT2LMHeadModel(config)


def build_llama(
    shape: Shape, tokenizer: transformers.PreTrainedTokenizerFast, seed: int
) -> transformers.PreTrainedModel:
    """Build a Llama with random weights: rotary positions, RMSNorm, gated MLP, grouped heads."""
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        vocab_size=len(tokenizer),
        max_position_embeddings=CONTEXT,
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        num_key_value_heads=shape.n_kv_heads or shape.n_heads,
        intermediate_size=shape.d_mlp,
        tie_word_embeddings=True,
        **_special_tokens(tokenizer),
    )
    return transformers.LlamaForCausalLM(config)


def build_evaluator(
    name: str,
    shape: Shape,
    tokenizer: transformers.PreTrainedTokenizerFast,
    dropout: float,
    seed: int,
) -> transformers.PreTrainedModel:
    """Build a RoBERTa classifier with random weights and the labels of a hub evaluator."""
    labels, problem_type = EVALUATORS[name]
    torch.manual_seed(seed)
    config = transformers.RobertaConfig(
        vocab_size=len(tokenizer),
        # RoBERTa counts positions from pad_token_id + 1.
        max_position_embeddings=CONTEXT + (tokenizer.pad_token_id or 0) + 1,
        hidden_size=shape.d_model,
        num_hidden_layers=shape.n_layers,
        num_attention_heads=shape.n_heads,
        intermediate_size=shape.d_mlp,
        hidden_dropout_prob=dropout,
        attention_probs_dropout_prob=0.0,
        type_vocab_size=1,
        id2label=dict(enumerate(labels)),
        label2id={label: index for index, label in enumerate(labels)},
        problem_type=problem_type,
        **_special_tokens(tokenizer),
    )
    return transformers.RobertaForSequenceClassification(config)


def _special_tokens(tokenizer: transformers.PreTrainedTokenizerFast) -> dict[str, int | None]:
    return {
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
