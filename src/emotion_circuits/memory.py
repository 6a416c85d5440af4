"""Peak memory of the process over a period."""

from __future__ import annotations

import threading
from typing import Final

import psutil

_INTERVAL_SECONDS: Final = 0.05


class PeakMemory:
    """Samples the process's resident set size between ``start`` and ``stop``.

    It can miss peaks shorter than the sampling interval of 50 ms.
    """

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._peak_bytes = 0

    def start(self) -> None:
        """Start sampling; has no effect while sampling already runs."""
        if self._thread is not None:
            return
        self._peak_bytes = self._process.memory_info().rss
        self._stopped.clear()
        self._thread = threading.Thread(target=self._sample, name="peak-memory", daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Return the current resident set size in MiB."""
        return float(self._process.memory_info().rss / 2**20)

    def stop(self) -> float:
        """Stop sampling.

        Returns:
            The largest resident set size since ``start`` in MiB; 0.0 without a ``start``.
        """
        if self._thread is None:
            return 0.0
        self._stopped.set()
        self._thread.join()
        self._thread = None
        self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)
        return self._peak_bytes / 2**20

    def _sample(self) -> None:
        while not self._stopped.wait(_INTERVAL_SECONDS):
            self._peak_bytes = max(self._peak_bytes, self._process.memory_info().rss)
