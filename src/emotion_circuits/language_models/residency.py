"""Pools of large objects that are loaded once and kept in memory until they are released."""

from __future__ import annotations

import gc
import sys
from collections import Counter, OrderedDict
from collections.abc import Callable, Hashable
from threading import RLock
from types import ModuleType
from typing import Any, Final, TypeVar

import torch

T = TypeVar("T")


class ResidentPool:
    """Loaded models by key, at most ``max_resident`` at a time.

    Attributes:
        loads: How often each key was loaded since the pool was created.
    """

    def __init__(self, max_resident: int = 1) -> None:
        if max_resident < 1:
            raise ValueError(f"max_resident is {max_resident}; allowed are whole numbers from 1")
        self.max_resident = max_resident
        self.loads: Counter[Hashable] = Counter()
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = RLock()

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """Return the object of a key; load it if it is not in memory.

        The least recently used objects are released before loading, so that at most
        ``max_resident`` objects exist even during a load.

        Args:
            key: Identifies the object; equal keys share one object.
            load: Creates the object.

        Returns:
            The object; repeated calls return the same one until it is released.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]  # type: ignore[no-any-return]
            while len(self._held) >= self.max_resident:
                self.release(next(iter(self._held)))
            loaded = load()
            self.loads[key] += 1
            self._held[key] = loaded
            return loaded

    def release(self, key: Hashable) -> None:
        """Drop an object and free its memory; unknown keys are ignored."""
        with self._lock:
            if self._held.pop(key, None) is not None:
                give_memory_back()

    def clear(self) -> None:
        """Release every object."""
        with self._lock:
            for key in list(self._held):
                self.release(key)

    def __contains__(self, key: Hashable) -> bool:
        return key in self._held

    def __len__(self) -> int:
        return len(self._held)


def give_memory_back() -> None:
    """Collect garbage and free unused accelerator memory."""
    # Modules and hooks form reference cycles, which only the garbage collector frees.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def process_pool(anchor_name: str, max_resident: int = 1) -> ResidentPool:
    """Create a pool that is unique in this process, and clear its predecessor.

    ``%reload_kedro`` imports the package again, which would leave the old import's models in
    memory with no reference to release them by. The pool is therefore kept in ``sys.modules``.

    Args:
        anchor_name: Name of the pool in ``sys.modules``.
        max_resident: Largest number of objects in the pool.
    """
    former = sys.modules.get(anchor_name)
    if former is not None:
        former.pool.clear()
    anchor = ModuleType(anchor_name)
    pool = ResidentPool(max_resident)
    anchor.pool = pool  # type: ignore[attr-defined]
    sys.modules[anchor_name] = anchor
    return pool


resident: Final = process_pool("_emotion_circuits_resident_pool")
