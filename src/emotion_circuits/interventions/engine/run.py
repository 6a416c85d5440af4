"""Generation of any table of rows, in batches that fit into memory, with progress."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any, Final, Literal

import psutil
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.engine.checkpoint import Checkpoint, row_digest
from emotion_circuits.interventions.engine.generation import generate_batch
from emotion_circuits.interventions.engine.patches import Applied
from emotion_circuits.interventions.engine.rows import Generated, Row, batch_key, check_row
from emotion_circuits.interventions.engine.sampling import Sampling
from emotion_circuits.language_models import LanguageModel
from emotion_circuits.language_models.reserved_cache import reserved_bytes
from emotion_circuits.language_models.residency import give_memory_back
from emotion_circuits.progress import progress_bar

logger = logging.getLogger(__name__)

Rows = int | Literal["auto"]
# Larger batches are not faster, and lose more work if they must be computed again.
_MOST_ROWS: Final = {"cpu": 128, "cuda": 2048, "mps": 256}
_MEMORY_SHARE: Final = 0.5


def generate_rows(
    model: LanguageModel,
    rows: Sequence[Row],
    *,
    max_new_tokens: int,
    batch_rows: Rows = "auto",
    sampling: Sampling | None = None,
    keep_logits: bool = False,
    ledger: list[Applied] | None = None,
    checkpoint: Checkpoint | None = None,
    progress: str | None = None,
) -> list[Generated]:
    """Generate rows of any prompts and conditions, as many at a time as fit into memory.

    Rows share batches, whatever their prompts' lengths and their conditions. In float32 a row's
    text does not depend on the other rows of its batch.

    Args:
        model: The model; its hooks are the same afterwards, even after an exception.
        rows: Prompts and conditions.
        max_new_tokens: Largest number of new tokens, at least 1.
        batch_rows: Rows per forward pass; ``auto`` takes what fits into half of the free memory.
            If memory runs out, batches are halved and finished rows are kept.
        sampling: How tokens are drawn; ``None`` for greedy decoding.
        keep_logits: Whether to keep each step's logits, which take much memory.
        ledger: List to which a line for each patched position is added; ``row`` is the index
            within ``rows``.
        checkpoint: File of finished rows, which may hold rows of a killed run.
        progress: Label of a progress bar; ``None`` for no bar.

    Returns:
        One result per row, in order.

    Raises:
        InputError: If a site does not exist or a row does not fit into the model's context.
    """
    if max_new_tokens < 1:
        raise InputError(f"max_new_tokens is {max_new_tokens}; allowed are whole numbers from 1")
    if batch_rows != "auto" and batch_rows < 1:
        raise InputError(f"batch_rows is {batch_rows}; allowed are auto and whole numbers from 1")
    if keep_logits and checkpoint is not None:
        raise InputError("keep_logits with a checkpoint: a checkpoint holds tokens only")
    for row in rows:
        check_row(model, row, max_new_tokens)
    store = _Store(model, rows, max_new_tokens, sampling, checkpoint)
    with progress_bar(total=len(rows), desc=progress, unit="row", disable=progress is None) as bar:
        bar.update(len(rows) - len(store.missing))
        run = _Run(model, rows, max_new_tokens, sampling, keep_logits, ledger, _Meter(bar))
        try:
            for index, result in run.finished(store.missing, batch_rows):
                store.add(index, result)
                bar.update()
        finally:  # also when Ctrl-C or an error ends the run
            store.flush()
    return store.results()


@dataclass
class _Run:
    """The arguments that all batches of one call share."""

    model: LanguageModel
    rows: Sequence[Row]
    max_new_tokens: int
    sampling: Sampling | None
    keep_logits: bool
    ledger: list[Applied] | None
    meter: _Meter

    def finished(self, missing: Sequence[int], limit: Rows) -> Iterator[tuple[int, Generated]]:
        """Yield rows as they finish; halve batches if memory runs out."""
        size = 0

        def room(row: Row) -> int:
            nonlocal size
            size = self._fitting(row) if limit == "auto" else limit
            return size

        for group in grouped(self.model, self.rows, missing):
            left = dict.fromkeys(group)
            while left:
                try:
                    for index, result in self._generate(list(left), room):
                        del left[index]
                        yield index, result
                    continue
                except RuntimeError as error:
                    tried = min(size, len(left))
                    if not is_out_of_memory(error) or tried == 1:
                        raise
                # Memory is freed outside of the handler, since the error there holds tensors.
                give_memory_back()
                limit = tried // 2
                logger.warning("out of memory with %d rows; on with %d", tried, limit)

    def _generate(
        self, chosen: list[int], room: Callable[[Row], int]
    ) -> Iterator[tuple[int, Generated]]:
        noted: list[Applied] | None = None if self.ledger is None else []
        done: set[int] = set()
        results = generate_batch(
            self.model,
            [self.rows[index] for index in chosen],
            row_ids=chosen,
            max_new_tokens=self.max_new_tokens,
            room=room,
            sampling=self.sampling,
            keep_logits=self.keep_logits,
            ledger=noted,
            count=self.meter.add_tokens,
        )
        try:
            for index, result in results:
                done.add(index)
                yield index, result
        finally:
            if self.ledger is not None and noted is not None:
                self.ledger.extend(line for line in noted if line.row in done)

    def _fitting(self, row: Row) -> int:
        """Estimate how many rows fit into a share of the free memory."""
        device = self.model.device
        config = self.model.plain_model.config.get_text_config()
        total = row.n_prompt + self.max_new_tokens
        read = row.n_prompt - row.clean_prefix + 1
        # Activations exist for one layer at a time: about 16 d_model values per position, including
        # the wider MLP, and attention weights. Logits exist in the model's dtype and in float32.
        width = 16 * self.model.d_model + self.model.n_heads * total
        activations = (read * width + 3 * config.vocab_size) * 4
        each = 2 * reserved_bytes(config, total, self.model.dtype) + activations
        if device.type == "cuda":
            free = torch.cuda.mem_get_info(device)[0]
        else:
            free = psutil.virtual_memory().available
        return int(min(max(1, _MEMORY_SHARE * free // each), _MOST_ROWS[device.type]))


def grouped(model: LanguageModel, rows: Sequence[Row], indices: Sequence[int]) -> list[list[int]]:
    """Sort rows into groups that may share batches, with the longest prompts first in each.

    The longest rows need the most memory, so a lack of memory shows at once, and neighbours are
    about as long. Rows of a prompt are adjacent, so that the prompt's prefix is computed once.
    """
    groups: dict[tuple[object, ...], list[int]] = {}
    for index in indices:
        groups.setdefault(batch_key(model, rows[index]), []).append(index)
    for group in groups.values():
        group.sort(key=lambda index: (-rows[index].n_prompt, rows[index].prompt_ids))
    ordered = sorted(groups.items(), key=lambda item: (-rows[item[1][0]].n_prompt, repr(item[0])))
    return [group for _, group in ordered]


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether an error means that memory ran out, on an accelerator or on the CPU."""
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


class _Meter:
    """Tokens per second, shown at the end of a progress bar."""

    def __init__(self, bar: Any) -> None:
        self._bar = bar
        self._started = monotonic()
        self._tokens = 0

    def add_tokens(self, count: int) -> None:
        """Count the tokens of one step."""
        self._tokens += count
        seconds = monotonic() - self._started
        if seconds > 0:
            self._bar.set_postfix_str(f"{self._tokens / seconds:.0f} tokens/s", refresh=False)


class _Store:
    """The results of rows, including those of an earlier run."""

    def __init__(
        self,
        model: LanguageModel,
        rows: Sequence[Row],
        max_new_tokens: int,
        sampling: Sampling | None,
        checkpoint: Checkpoint | None,
    ) -> None:
        self._checkpoint = checkpoint
        self._results: dict[int, Generated] = {}
        self._unsaved: list[int] = []
        self._saved_at = monotonic()
        self._digests: list[str] = []
        if checkpoint is not None:
            done = checkpoint.open(model)
            self._digests = [row_digest(row, max_new_tokens, sampling) for row in rows]
            self._results = {
                index: Generated(done[digest])
                for index, digest in enumerate(self._digests)
                if digest in done
            }
        self.missing = [index for index in range(len(rows)) if index not in self._results]

    def add(self, index: int, result: Generated) -> None:
        """Add a row, and save results after the checkpoint's interval."""
        self._results[index] = result
        self._unsaved.append(index)
        wait = 0.0 if self._checkpoint is None else self._checkpoint.every_seconds
        if monotonic() - self._saved_at >= wait:
            self.flush()

    def flush(self) -> None:
        """Save results that are not yet saved."""
        if self._checkpoint is not None and self._unsaved:
            digests = [self._digests[index] for index in self._unsaved]
            tokens = [self._results[index].token_ids for index in self._unsaved]
            self._checkpoint.add(digests, tokens)
        self._unsaved = []
        self._saved_at = monotonic()

    def results(self) -> list[Generated]:
        """Return all results in the order of the rows."""
        return [self._results[index] for index in range(len(self._results))]
