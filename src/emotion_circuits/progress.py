"""Progress bars: one at a time, gone when it is full, and a line a minute in a log file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm as plain_tqdm
from tqdm.auto import tqdm

logger = logging.getLogger(__name__)

_shown = {"always": False}
# Between two lines of a log file; work that takes less has none.
_SECONDS = 60.0
_LINE = (
    "{desc}: {percentage:.0f} % of {total_fmt} {unit}s, {elapsed} so far, {remaining} to go, "
    "{rate_fmt}{postfix}"
)


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """Return tqdm's bar, which is removed when it is full; in a log file it is a line a minute.

    Args:
        items: What is gone through; None for a bar that is updated by hand.
        options: tqdm's own; ``disable=True`` means no bar at all.
    """
    if not options.get("disable") and not _is_drawn():
        options |= {"mininterval": _SECONDS, "maxinterval": _SECONDS, "delay": _SECONDS}
        options |= {"file": _LogLines(), "bar_format": _LINE, "leave": False}
        return plain_tqdm(items, **options)
    return tqdm(items, leave=_shown["always"], **options)


class _LogLines:
    """Where a bar that is not drawn writes to: each of its states becomes a line of the log."""

    def write(self, text: str) -> None:
        """Log a state; what clears the former one has no text."""
        line = text.strip()
        if line:
            logger.info(line)

    def flush(self) -> None:
        """Do nothing; lines are logged at once."""


def show_all_bars() -> None:
    """Draw all bars from now on, also in a log file, and keep them."""
    _shown["always"] = True


@contextmanager
def no_loading_bar() -> Iterator[None]:
    """Hide the bar that transformers draws for the weights of each model, unless all are shown."""
    from transformers.utils import logging as transformers_logging  # slow to import

    was_shown = transformers_logging.is_progress_bar_enabled()
    if not _shown["always"]:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_shown:
            transformers_logging.enable_progress_bar()


def _is_drawn() -> bool:
    is_notebook = any("notebook" in base.__module__ for base in tqdm.__mro__)
    return _shown["always"] or is_notebook or sys.stderr.isatty()
