"""Specification of a language model, read from a profile's model table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import torch
from pydantic import Field, NonNegativeInt, model_validator

from emotion_circuits.errors import InputError, unknown_name
from emotion_circuits.phase_settings import PhaseSettings, without_effect

DType = Literal["float32", "bfloat16", "float16"]


class ModelSpec(PhaseSettings):
    """One entry of a profile's model table."""

    name: str = Field(description="the model's name in the profile")
    source: str = Field(
        description="a hub id; a folder written by save_pretrained; a GGUF file; or a file or "
        "folder of an installed package, package:<name>/<path>"
    )
    revision: str | None = Field(None, description="branch, tag or commit of the hub repository")
    dtype: DType = Field("float32", description="type of weights and activations")
    device: str = without_effect("auto", description="auto, cpu, mps, cuda or cuda:<number>")
    prepend_bos: Literal["auto"] | bool = Field(
        "auto",
        description="whether texts begin with BOS; auto: if the tokenizer has a BOS token",
    )

    chat: bool = Field(
        False,
        description="whether each text is a user's message in the model's own chat template, and "
        "generation begins the answer",
    )
    system_prompt: str = Field(
        "", description="with chat: the system prompt; empty: the template's own, if it has one"
    )

    untrained_seed: NonNegativeInt | None = Field(
        None,
        description="seed of random weights in place of the trained ones, for a control",
    )

    @classmethod
    def from_table(cls, name: str, models: Mapping[str, Mapping[str, Any]]) -> ModelSpec:
        """Read one entry of a profile's model table.

        Raises:
            InputError: If the table has no such model, or the entry is invalid.
        """
        if name not in models:
            raise unknown_name("model", name, models, where="the profile")
        try:
            return cls.model_validate({"name": name, **models[name]})
        except InputError as error:
            raise InputError(f"model {name!r}: {error}") from error

    @model_validator(mode="after")
    def _check_system_prompt(self) -> ModelSpec:
        if self.system_prompt and not self.chat:
            raise ValueError("system_prompt needs chat: true")
        return self

    @property
    def torch_dtype(self) -> torch.dtype:
        """The torch type of weights and activations."""
        return getattr(torch, self.dtype)  # type: ignore[no-any-return]
