"""A loaded language model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import transformers

from emotion_circuits.errors import InputError
from emotion_circuits.language_models.spec import ModelSpec

if TYPE_CHECKING:
    import transformer_lens.model_bridge  # takes seconds, and only loading a model needs it


@dataclass(frozen=True)
class LanguageModel:
    """A language model with hook points, and its tokenizer.

    Attributes:
        spec: The specification that it was loaded from.
        bridge: The model with TransformerLens hook points.
        plain_model: The transformers model without hook points, on the same weights: faster where
            nothing inside a block is read or changed.
        tokenizer: The model's own fast tokenizer.
        bos_token_id: The token that every text begins with; None for no such token.
        tokenizer_adds_bos: Whether the tokenizer itself prepends BOS.
        mixes_lengths: Whether a text has the same logits in a batch with longer ones, beside
            padding that is hidden; found out on loading.
    """

    spec: ModelSpec
    bridge: transformer_lens.model_bridge.TransformerBridge
    plain_model: Any
    tokenizer: transformers.PreTrainedTokenizerFast
    bos_token_id: int | None
    tokenizer_adds_bos: bool
    mixes_lengths: bool

    @property
    def name(self) -> str:
        """The model's name in the profile."""
        return self.spec.name

    @property
    def hf_model(self) -> Any:
        """The transformers model inside the bridge; a call to it runs the bridge's hooks."""
        return self.bridge.original_model

    @property
    def plain_blocks(self) -> list[torch.nn.Module]:
        """The plain model's transformer blocks, in order."""
        name = self.bridge.adapter.component_mapping["blocks"].name
        return list(self.plain_model.get_submodule(name))

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.bridge.original_model.parameters()).device  # type: ignore[no-any-return]

    @property
    def dtype(self) -> torch.dtype:
        """Data type of the weights."""
        return next(self.bridge.original_model.parameters()).dtype  # type: ignore[no-any-return]

    @property
    def n_layers(self) -> int:
        """Number of transformer blocks."""
        return int(self.bridge.cfg.n_layers)

    @property
    def d_model(self) -> int:
        """Width of the residual stream."""
        return int(self.bridge.cfg.d_model)

    @property
    def n_heads(self) -> int:
        """Query heads per layer."""
        return int(self.bridge.cfg.n_heads)

    @property
    def d_head(self) -> int:
        """Width of one head's output."""
        return int(self.bridge.cfg.d_head)

    @property
    def n_ctx(self) -> int:
        """The longest input, in tokens."""
        return int(self.bridge.cfg.n_ctx)

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a prompt, which generation continues.

        A text is read as it is, or with the specification's ``chat`` as a user's message, in which
        case generation begins the answer.
        """
        if self.spec.chat:
            return self.encode_chat(text, "", system=self.spec.system_prompt)
        return self.encode_text(text)

    def encode_text(self, text: str) -> list[int]:
        """Return the token ids of a text, with BOS first where the model has one."""
        ids: list[int] = self.tokenizer(text).input_ids
        if self.bos_token_id is None or self.tokenizer_adds_bos:
            return ids
        return [self.bos_token_id, *ids]

    def encode_chat(self, user: str, answer: str, *, system: str = "") -> list[int]:
        """Return the token ids of a chat in the model's own template, with a begun answer.

        Args:
            user: What the user says.
            answer: The beginning of the model's answer, which generation continues.
            system: The system prompt; empty for the template's own, if it has one.

        Raises:
            InputError: If the tokenizer has no chat template.
        """
        # The template writes its own special tokens.
        parts = [
            self.tokenizer(text, add_special_tokens=False).input_ids
            for text in (self.write_chat(user, system=system), answer)
        ]
        return [*parts[0], *parts[1]]

    def write_chat(self, user: str, *, system: str = "") -> str:
        """Return a chat in the model's own template, up to where the model's answer begins.

        Args:
            user: What the user says.
            system: The system prompt; empty for the template's own, if it has one.

        Raises:
            InputError: If the tokenizer has no chat template.
        """
        if not self.tokenizer.chat_template:
            raise InputError(
                f"model {self.name!r} has no chat template; set chat to false, or take a model "
                "that was tuned for chats"
            )
        messages = [{"role": "system", "content": system}] if system else []
        messages.append({"role": "user", "content": user})
        chat: str = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return chat

    def on(self, device: torch.device) -> LanguageModel:
        """Move the weights to a device in place, and return the model."""
        if device != self.device:
            self.bridge.to(device)
            self.plain_model.to(device)  # moves its buffers; the shared weights are there already
        return self
