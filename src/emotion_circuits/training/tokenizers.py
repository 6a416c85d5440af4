"""Byte-level BPE tokenizers for the embedded models."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from emotion_circuits.training.architectures import CONTEXT

BOS: Final = "<s>"
EOS: Final = "</s>"
PAD: Final = "<pad>"


def train_tokenizer(
    texts: Iterable[str], *, vocab_size: int, add_bos: bool = False, add_eos: bool = False
) -> transformers.PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer, as GPT-2 and RoBERTa have.

    It encodes any text: words outside the vocabulary are split down to bytes.

    Args:
        texts: The corpus.
        vocab_size: Largest number of tokens, including 256 bytes and 3 special tokens.
        add_bos: Whether the tokenizer prepends ``<s>`` to each text, as Llama's does and GPT-2's
            does not.
        add_eos: Whether the tokenizer appends ``</s>`` to each text, as RoBERTa's does.

    Returns:
        A fast tokenizer with ``<s>``, ``</s>`` and ``<pad>`` that pads on the right.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[BOS, EOS, PAD],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    if add_bos or add_eos:
        template = f"{f'{BOS} ' if add_bos else ''}$A{f' {EOS}' if add_eos else ''}"
        tokenizer.post_processor = processors.TemplateProcessing(
            single=template,
            special_tokens=[(BOS, tokenizer.token_to_id(BOS)), (EOS, tokenizer.token_to_id(EOS))],
        )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BOS,
        eos_token=EOS,
        pad_token=PAD,
        padding_side="right",
        model_max_length=CONTEXT,
        clean_up_tokenization_spaces=False,
    )
