"""Older name of ``emotion_circuits.language_models.device``."""

from emotion_circuits.language_models.device import (
    get_default_device,
    get_default_device_str,
    move_to_device,
)

__all__ = ["get_default_device", "get_default_device_str", "move_to_device"]
