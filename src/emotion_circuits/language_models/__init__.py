"""Language models: which to load, on which device, and how texts become tokens."""

from emotion_circuits.language_models.device import (
    get_default_device,
    get_default_device_str,
    move_to_device,
    resolve_device,
)
from emotion_circuits.language_models.encoding import (
    EncodedPrompts,
    encode_prompts,
    first_text_position,
)
from emotion_circuits.language_models.loading import load_language_model, wrap_language_model
from emotion_circuits.language_models.model import LanguageModel
from emotion_circuits.language_models.spec import ModelSpec

__all__ = [
    "EncodedPrompts",
    "LanguageModel",
    "ModelSpec",
    "encode_prompts",
    "first_text_position",
    "get_default_device",
    "get_default_device_str",
    "load_language_model",
    "move_to_device",
    "resolve_device",
    "wrap_language_model",
]
