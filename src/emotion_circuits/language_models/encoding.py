"""Prompts as tokens, with masks for the text and for the cue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.model import LanguageModel

# A character of private use, which no template or prompt has.
_MARK: Final = "\ue000"


@dataclass(frozen=True)
class EncodedPrompts:
    """Tokenized prompts, padded on the right to one length.

    Attributes:
        token_ids: Token ids; padding where the attention mask is False.
        attention_mask: True for every token that is not padding, BOS included.
        content_mask: True for the tokens of the text, without BOS, chat template and padding.
        cue_mask: True for the tokens that share a character with the cue.
        token_strings: The tokens of each prompt without padding, BOS included.
    """

    token_ids: Int[Tensor, "prompt pos"]
    attention_mask: Bool[Tensor, "prompt pos"]
    content_mask: Bool[Tensor, "prompt pos"]
    cue_mask: Bool[Tensor, "prompt pos"]
    token_strings: list[list[str]]

    @property
    def lengths(self) -> Int[Tensor, " prompt"]:
        """Number of tokens of each prompt, BOS included, padding excluded."""
        return self.attention_mask.sum(1)


def encode_prompts(
    model: LanguageModel, texts: Sequence[str], cues: Sequence[str] | None = None
) -> EncodedPrompts:
    """Encode prompts with the model's own BOS convention, or in its chat template.

    Args:
        model: The model whose tokenizer is used.
        texts: At least one text.
        cues: For each text the words in it that determine its emotion; an empty string for none.

    Returns:
        Tokens and masks.

    Raises:
        InputError: If a text has no tokens, is too long for the model, or lacks its cue.
    """
    encoded = [model.encode(text) for text in texts]
    longest = max(map(len, encoded), default=0)
    for index, (text, ids) in enumerate(zip(texts, encoded, strict=True)):
        _check_length(model, index, text, len(ids))
    pad = model.tokenizer.pad_token_id
    token_ids = torch.full((len(texts), longest), 0 if pad is None else pad)
    attention_mask = torch.zeros(len(texts), longest, dtype=torch.bool)
    content_mask, cue_mask = torch.zeros_like(attention_mask), torch.zeros_like(attention_mask)
    for index, ids in enumerate(encoded):
        token_ids[index, : len(ids)] = torch.tensor(ids)
        attention_mask[index, : len(ids)] = True
        content_mask[index, _text_positions(model, texts[index], len(ids))] = True
        if cues is not None and cues[index]:
            cue_mask[index, _cue_positions(model, texts[index], cues[index], index)] = True
    strings = [model.tokenizer.convert_ids_to_tokens(ids) for ids in encoded]
    return EncodedPrompts(token_ids, attention_mask, content_mask, cue_mask, strings)


def first_text_position(model: LanguageModel, text: str) -> int:
    """Return the number of tokens before a text: BOS, or the chat template up to the text."""
    if not model.spec.chat:
        return 0 if model.bos_token_id is None else 1
    return next((place for place, (_, end) in enumerate(_spans(model, text)) if end > 0), 0)


def _text_positions(model: LanguageModel, text: str, n_tokens: int) -> slice:
    """Return the positions of a text's tokens in its prompt."""
    first = first_text_position(model, text)
    if not model.spec.chat:
        return slice(first, n_tokens)
    begun = sum(begin < len(text) for begin, _ in _spans(model, text))
    return slice(first, begun)


def _spans(model: LanguageModel, text: str) -> list[tuple[int, int]]:
    """Return the characters that each token of a prompt covers, counted from the text's first.

    Tokens of a chat template before the text end at or before 0; those after it begin at or after
    the text's length. BOS, where there is no chat, covers nothing.
    """
    if not model.spec.chat:
        offsets = model.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        added = model.bos_token_id is not None and not model.tokenizer_adds_bos
        return [*([(0, 0)] if added else []), *offsets]
    chat = model.write_chat(text, system=model.spec.system_prompt)
    # The text itself may occur elsewhere in the template or in the system prompt.
    start = model.write_chat(_MARK, system=model.spec.system_prompt).find(_MARK)
    if start < 0 or chat[start : start + len(text)] != text:
        raise InputError(
            f"the chat template of model {model.name!r} changes the text {text[:40]!r}…; remove "
            "spaces around texts, or set chat to false"
        )
    encoded = model.tokenizer(chat, add_special_tokens=False, return_offsets_mapping=True)
    return [(begin - start, end - start) for begin, end in encoded["offset_mapping"]]


def _check_length(model: LanguageModel, index: int, text: str, length: int) -> None:
    if not text or length <= (0 if model.bos_token_id is None else 1):
        raise InputError(f"prompt {index} ({text!r}) has no tokens for model {model.name!r}")
    if length > model.n_ctx:
        raise InputError(
            f"prompt {index} ({text[:40]!r}…) has {length} tokens; model {model.name!r} reads at "
            f"most {model.n_ctx}"
        )


def _cue_positions(model: LanguageModel, text: str, cue: str, index: int) -> list[int]:
    """Return the positions of the tokens that overlap the first occurrence of the cue."""
    start = text.find(cue)
    if start < 0:
        raise InputError(f"prompt {index} ({text[:40]!r}…) does not hold its cue {cue!r}")
    return [
        position
        for position, (begin, end) in enumerate(_spans(model, text))
        if begin < start + len(cue) and end > start and end > begin
    ]
