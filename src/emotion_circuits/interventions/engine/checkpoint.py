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

from emotion_circuits.interventions.engine.rows import Row
from emotion_circuits.interventions.engine.sampling import Sampling
from emotion_circuits.language_models import LanguageModel

logger = logging.getLogger(__name__)
_BITS: Final = {2: torch.int16, 4: torch.int32, 8: torch.int64}


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
        lines = self.path.read_text("utf-8").split("\n") if self.path.is_file() else []
        if lines[:1] != [manifest]:
            if lines:
                logger.warning("%s is of another model or state; it is begun anew", self.path)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.write_text(manifest + "\n", encoding="utf-8")
            return {}
        done: dict[str, tuple[Any, ...]] = {}
        whole = [manifest]
        for line in lines[1:-1]:  # the last line is empty or was cut off
            digest, numbers = json.loads(line)
            done[digest] = tuple(numbers)
            whole.append(line)
        self.path.write_text("\n".join(whole) + "\n", encoding="utf-8")
        return done

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


def model_digest(model: LanguageModel) -> str:
    """Return a digest of a model's name, type and weights."""
    # Sums of the weights' bits are whole numbers, which do not depend on the order of summation and
    # thus on the device or the number of threads.
    sums = torch.stack(
        [
            weight.view(_BITS[weight.element_size()]).sum(dtype=torch.int64).cpu()
            for weight in model.plain_model.parameters()
        ]
    )
    digest = hashlib.sha256(f"{model.spec.source}@{model.spec.revision}".encode())
    digest.update(f"{model.dtype}/{model.device.type}".encode())
    digest.update(_bytes(sums))
    return digest.hexdigest()


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
