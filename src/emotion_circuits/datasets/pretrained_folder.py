"""Dataset for a trained model in a folder, in the format of the hub."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path
from typing import Any

import transformers
from kedro.io import AbstractDataset

from emotion_circuits.datasets.atomic_folder import atomic_folder, recover_folder
from emotion_circuits.datasets.json_text import parse_json
from emotion_circuits.errors import InputError
from emotion_circuits.language_models.fingerprint import model_files
from emotion_circuits.training.trained import Trained

logger = logging.getLogger(__name__)

_RECORD = "training.json"
_KINDS = {
    "causal_lm": "AutoModelForCausalLM",
    "sequence_classification": "AutoModelForSequenceClassification",
}


class PretrainedFolderDataset(AbstractDataset[Trained, Trained]):
    """Model and tokenizer, saved by ``save_pretrained``, with the training record.

    A new folder is written under a temporary name and then renamed, so that weights, tokenizer and
    record always belong together. A kill between two renames is made good at the next access.
    """

    def __init__(
        self,
        *,
        filepath: str | os.PathLike[str],
        kind: str,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        """Describe a folder.

        Args:
            filepath: The folder.
            kind: ``causal_lm`` or ``sequence_classification``.
            metadata: Used only by kedro-viz.
        """
        self._filepath = Path(filepath)
        self._kind = kind
        self.metadata = metadata

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "kind": self._kind}

    def _exists(self) -> bool:
        if not self._filepath.exists():
            recover_trained(self._filepath)
        return (self._filepath / _RECORD).is_file()

    def files(self) -> list[Path]:
        """Return the files of the model and its record; none if it was not trained yet."""
        return [*model_files(self._filepath), self._filepath / _RECORD] if self._exists() else []

    def load(self) -> Trained:
        """Read model, tokenizer and record.

        Raises:
            InputError: If the folder is missing, was not written by this dataset or its record
                is broken.
        """
        if not self._exists():
            raise InputError(
                f"there is no trained model in {self._filepath}; "
                "`kedro run --pipelines=embedded_models` makes it"
            )
        path = self._filepath / _RECORD
        record = parse_json(path.read_text(encoding="utf-8"), str(path))
        # With trust_remote_code left out, transformers asks the user; a folder's code is never run.
        model = getattr(transformers, _KINDS[self._kind]).from_pretrained(
            self._filepath, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = transformers.AutoTokenizer.from_pretrained(  # nosec B615
            self._filepath, trust_remote_code=False
        )
        return Trained(model.eval(), tokenizer, record)

    def save(self, data: Trained) -> None:
        """Write the folder and replace the previous one."""
        recover_trained(self._filepath)
        with atomic_folder(self._filepath) as folder:
            data.model.save_pretrained(folder)
            data.tokenizer.save_pretrained(folder)
            text = json.dumps(data.record, indent=1, allow_nan=False) + "\n"
            (folder / _RECORD).write_text(text, encoding="utf-8")


def recover_trained(folder: Path) -> None:
    """Put a trained model's folder back if a kill came while it was replaced."""
    if recover_folder(folder, _is_whole):
        logger.warning("%s was being replaced when a run was killed; it is back", folder)


def _is_whole(folder: Path) -> bool:
    """Return whether a folder has its training record, which is written last."""
    try:
        json.loads((folder / _RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return True
