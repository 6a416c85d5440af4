"""Identity of a process, by which a later process learns whether it still runs."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime
from typing import Final, NamedTuple

import psutil

# Two readings of a process's start, on a machine whose clock was set, differ by less than this.
_SAME_START_SECONDS: Final = 2.0


class ProcessIdentity(NamedTuple):
    """A process of some machine.

    Attributes:
        pid: Its number.
        started: When it started, in seconds since 1970; a later process may get its number.
        host: The machine's name.
    """

    pid: int
    started: float
    host: str

    @classmethod
    def of_this_process(cls) -> ProcessIdentity:
        """Return the identity of this process."""
        return cls(os.getpid(), psutil.Process().create_time(), socket.gethostname())

    def is_alive(self) -> bool:
        """Return whether the process still runs; one of another machine counts as running."""
        if self.host != socket.gethostname():
            return True
        try:
            process = psutil.Process(self.pid)
            same = abs(process.create_time() - self.started) < _SAME_START_SECONDS
            return same and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False

    def __str__(self) -> str:
        """Name the process, its machine and its start."""
        since = datetime.fromtimestamp(self.started, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        return f"process {self.pid} on {self.host}, started {since}"
