"""Choice of the device: Apple's MPS if available, else CUDA, else the CPU."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any, TypeVar

import torch
from torch import Tensor

from emotion_circuits.errors import InputError

T = TypeVar("T")
logger = logging.getLogger(__name__)


def get_default_device() -> torch.device:
    """Return MPS if this machine has it, else CUDA, else the CPU."""
    return torch.device(get_default_device_str())


def get_default_device_str() -> str:
    """Return the default device's name: ``mps``, ``cuda`` or ``cpu``."""
    if torch.backends.mps.is_available():
        return "mps"
    return "cuda" if torch.cuda.is_available() else "cpu"


def resolve_device(asked: str) -> torch.device:
    """Turn the device that a user asked for into one that this machine has.

    Args:
        asked: ``auto``, or a torch device such as ``cpu``, ``mps``, ``cuda`` or ``cuda:1``.

    Returns:
        The device. If this machine lacks it, the CPU, with one warning per process.

    Raises:
        InputError: If ``asked`` names no device.
    """
    if asked == "auto":
        return get_default_device()
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise InputError(
            f"device is {asked!r}; allowed are auto, cpu, mps, cuda and cuda:<number>"
        ) from error
    if device.type not in ("cpu", "cuda", "mps"):
        raise InputError(f"device is {asked!r}; allowed are auto, cpu, mps, cuda, cuda:<number>")
    if _is_available(device):
        return device
    _warn_once(asked)
    return torch.device("cpu")


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        return torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count()
    return device.type == "cpu" or torch.backends.mps.is_available()


@cache
def _warn_once(asked: str) -> None:
    logger.warning("device %r is not available here; using the CPU", asked)


def move_to_device(data: T, device: torch.device | str) -> T:
    """Move every tensor in nested dictionaries, lists and tuples to a device.

    Args:
        data: A tensor, or containers of tensors and other values.
        device: The target device.

    Returns:
        Containers of the same types with moved tensors; other values are unchanged.
    """
    moved: Any = data
    if isinstance(data, Tensor):
        moved = data.to(device)
    elif isinstance(data, dict):
        moved = type(data)((key, move_to_device(value, device)) for key, value in data.items())
    elif isinstance(data, tuple) and hasattr(data, "_fields"):
        moved = type(data)(*(move_to_device(value, device) for value in data))
    elif isinstance(data, list | tuple):
        moved = type(data)(move_to_device(value, device) for value in data)
    return moved  # type: ignore[no-any-return]
