"""Format of log lines: what names and texts hold reaches the terminal as text alone."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

from kedro.framework.hooks import hook_impl

from emotion_circuits.errors import escaped
from emotion_circuits.redaction import without_secrets


class PlainFormatter(logging.Formatter):
    """Formatter that escapes another one's control characters and hides credentials.

    Line breaks and indents remain, so that a traceback can be read.
    """

    def __init__(self, inner: logging.Formatter) -> None:
        super().__init__()
        self.inner = inner

    def format(self, record: logging.LogRecord) -> str:
        """Return the record's lines."""
        text = without_secrets(self.inner.format(record))
        return "\n".join(escaped(line.expandtabs(4)) for line in text.split("\n"))


class PlainLogHook:
    """Wraps the formatters of all log lines; Kedro's logging.yml allows no class of a project."""

    @hook_impl
    def after_context_created(self) -> None:
        """Wrap the formatter of each of the root logger's handlers."""
        for handler in logging.getLogger().handlers:
            inner = handler.formatter or logging.Formatter()
            if not isinstance(inner, PlainFormatter):
                handler.setFormatter(PlainFormatter(inner))


@contextmanager
def silenced(name: str) -> Iterator[None]:
    """Drop the lines of a logger, errors apart, while the context lasts."""
    logger = logging.getLogger(name)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
