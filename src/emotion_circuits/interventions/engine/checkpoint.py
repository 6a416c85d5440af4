"""Checkpoint of a sweep: a file with its finished work, kept until the results are saved."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from emotion_circuits.interventions.engine.generation import end_tokens
from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.sampling import Sampling
from emotion_circuits.language_models import LanguageModel

logger = logging.getLogger(__name__)
_BITS: Final = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
# Odd multiplier of Knuth's multiplicative hashing, 2^64 over the golden ratio, as a signed number.
_MULTIPLIER: Final = 0x9E3779B97F4A7C15 - 2**64
_NUMBERS_AT_ONCE: Final = 2**22


class Checkpoint:
    """A file with finished rows, which a killed run leaves and the next run reads.

    The first line holds a digest of the model. Each other line holds numbers and a digest of
    everything else that they depend on, so lines may be in any order: the tokens of a row, or
    values that a phase reads. What a line that was cut off held is computed again.
    """

    def __init__(self, path: str | os.PathLike[str], *, every_seconds: float = 20.0) -> None:
        """Create a checkpoint without touching the disk.

        Args:
            path: The file.
            every_seconds: Time between two saves. A kill loses at most the work of this time and
                the current batch.
        """
        self.path = Path(path)
        self.every_seconds = every_seconds

    def open(self, model: LanguageModel) -> dict[str, tuple[Any, ...]]:
        """Read the file, or start a new one if it is of another model.

        Returns:
            Numbers by digest; whole numbers are of type ``int``.
        """
        manifest = json.dumps({"model": model_digest(model)})
        held = self.path.read_text("utf-8", errors="replace") if self.path.is_file() else ""
        lines = held.split("\n") if held else []
        if lines[:1] != [manifest]:
            if lines:
                logger.warning("%s is of another model or state; it is begun anew", self.path)
            self._begin(manifest)
            return {}
        if lines[-1]:  # it was cut off; what follows begins on a line of its own
            with self.path.open("a", encoding="utf-8") as file:
                file.write("\n")
        read = [_read_line(line) for line in lines[1:] if line]
        done = dict(entry for entry in read if entry is not None)
        if None in read:
            logger.warning(
                "%s has %d lines that cannot be read; their work is done again",
                self.path,
                read.count(None),
            )
        return done

    def _begin(self, manifest: str) -> None:
        """Write a new file beside the place, and move it there whole."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        fresh = self.path.with_name(f".{self.path.name}.new")
        fresh.write_text(manifest + "\n", encoding="utf-8")
        fresh.replace(self.path)

    def add(
        self, digests: Sequence[str], numbers: Sequence[Sequence[int]] | Sequence[Sequence[float]]
    ) -> None:
        """Append finished work and wait until it is on disk."""
        with self.path.open("a", encoding="utf-8") as file:
            for digest, line in zip(digests, numbers, strict=True):
                file.write(json.dumps([digest, list(line)]) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def clear(self) -> None:
        """Delete the file."""
        self.path.unlink(missing_ok=True)


def _read_line(line: str) -> tuple[str, tuple[Any, ...]] | None:
    """Return a line's digest and numbers; ``None`` if a kill or a fault of the disk garbled it."""
    try:
        digest, numbers = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return None
    if not isinstance(digest, str) or not isinstance(numbers, list):
        return None
    plain = all(type(number) in (int, float) for number in numbers)
    return (digest, tuple(numbers)) if plain else None


def model_digest(model: LanguageModel) -> str:
    """Return a digest of a model's source, configuration, type and weights in their order."""
    digest = hashlib.sha256(f"{model.spec.source}@{model.spec.revision}".encode())
    digest.update(f"{model.dtype}/{model.device.type}".encode())
    # All values, defaults too: rotary base, epsilons, windows, special tokens.
    digest.update(model.plain_model.config.to_json_string(use_diff=False).encode())
    digest.update(repr(sorted(end_tokens(model))).encode())
    for name, weight in model.plain_model.named_parameters():
        digest.update(f"{name}{tuple(weight.shape)}{_mixed_sum(weight)}".encode())
    return digest.hexdigest()


def _mixed_sum(weight: Tensor) -> int:
    """Return the sum of a weight's bits, each number's times a factor of its place, modulo 2^64.

    Whole numbers do not depend on the order of summation, and thus on the device or the number of
    threads; a permutation of the weight changes the sum.
    """
    bits, total = weight.detach().flatten().view(_BITS[weight.element_size()]), 0
    for start in range(0, len(bits), _NUMBERS_AT_ONCE):
        part = bits[start : start + _NUMBERS_AT_ONCE].long()
        places = torch.arange(start, start + len(part), device=part.device)
        total += int((part * (places * _MULTIPLIER | 1)).sum())
    return total % 2**64


def row_digest(row: Row, max_new_tokens: int, sampling: Sampling | None) -> str:
    """Return a digest of everything that a row's text depends on, except the model."""
    seed = None if sampling is None else row.seed
    digest = hashlib.sha256(repr((row.prompt_ids, max_new_tokens, sampling, seed)).encode())
    for item in row.condition.interventions:
        operator = item.operator
        digest.update(repr((item.site, item.positions, item.strength, type(operator))).encode())
        for value in (getattr(operator, field.name) for field in fields(operator)):  # type: ignore[arg-type]
            digest.update(_bytes(value) if isinstance(value, Tensor) else repr(value).encode())
    return digest.hexdigest()


def _bytes(tensor: Tensor) -> Any:
    return tensor.detach().cpu().contiguous().numpy().tobytes()
