"""Dataset for a trained model in a folder, in the format of the hub."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
)

from emotion_circuits.errors import InputError
from emotion_circuits.training.trained import Trained

_RECORD = "training.json"
_KINDS = {
    "causal_lm": AutoModelForCausalLM,
    "sequence_classification": AutoModelForSequenceClassification,
}


class PretrainedFolderDataset(AbstractDataset[Trained, Trained]):
    """Model and tokenizer, saved by ``save_pretrained``, with the training record.

    A new folder is written under a temporary name and then renamed, so that weights, tokenizer and
    record always belong together.
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
        return (self._filepath / _RECORD).is_file()

    def load(self) -> Trained:
        """Read model, tokenizer and record.

        Raises:
            InputError: If the folder is missing or was not written by this dataset.
        """
        if not self._exists():
            raise InputError(
                f"there is no trained model in {self._filepath}; "
                "`kedro run --pipelines=embedded_models` makes it"
            )
        record = json.loads((self._filepath / _RECORD).read_text(encoding="utf-8"))
        # With trust_remote_code left out, transformers asks the user; a folder's code is never run.
        model = _KINDS[self._kind].from_pretrained(
            self._filepath, use_safetensors=True, trust_remote_code=False
        )
        tokenizer = AutoTokenizer.from_pretrained(  # nosec B615
            self._filepath, trust_remote_code=False
        )
        return Trained(model.eval(), tokenizer, record)

    def save(self, data: Trained) -> None:
        """Write the folder and replace the previous one."""
        self._filepath.parent.mkdir(parents=True, exist_ok=True)
        fresh = Path(tempfile.mkdtemp(prefix=".new.", dir=self._filepath.parent))
        fresh.chmod(0o755)
        try:
            data.model.save_pretrained(fresh)
            data.tokenizer.save_pretrained(fresh)
            text = json.dumps(data.record, indent=1, allow_nan=False) + "\n"
            (fresh / _RECORD).write_text(text, encoding="utf-8")
            former = Path(tempfile.mkdtemp(prefix=".old.", dir=self._filepath.parent))
            if self._filepath.exists():
                self._filepath.replace(former / "folder")
            fresh.replace(self._filepath)
            shutil.rmtree(former)
        finally:
            shutil.rmtree(fresh, ignore_errors=True)
