"""Progress bars: one at a time, gone when it is full, and none in a log file."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

_shown = {"always": False}


def progress_bar(items: Iterable[Any] | None = None, **options: Any) -> Any:
    """Return tqdm's bar, which is removed when it is full and not drawn in a log file.

    Args:
        items: What is gone through; None for a bar that is updated by hand.
        options: tqdm's own; ``disable=True`` means no bar at all.
    """
    hidden = options.pop("disable", False) or not _is_wanted()
    return tqdm(items, disable=hidden, leave=_shown["always"], **options)


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


def _is_wanted() -> bool:
    is_notebook = any("notebook" in base.__module__ for base in tqdm.__mro__)
    return _shown["always"] or is_notebook or sys.stderr.isatty()
