"""Which heavy objects are in memory: each is loaded once and kept until it is released."""

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
    """Loaded models by key, at most ``max_resident`` of them at a time.

    Attributes:
        loads: How often each key was loaded since the pool was made.
    """

    def __init__(self, max_resident: int = 1) -> None:
        if max_resident < 1:
            raise ValueError(f"max_resident is {max_resident}; allowed are whole numbers from 1")
        self.max_resident = max_resident
        self.loads: Counter[Hashable] = Counter()
        self._held: OrderedDict[Hashable, Any] = OrderedDict()
        self._lock = RLock()

    def get(self, key: Hashable, load: Callable[[], T]) -> T:
        """Give the object of a key, loading it when it is not in memory.

        Room is made first, by releasing whatever was used longest ago, so that no more than
        ``max_resident`` objects exist even while one is loading.

        Args:
            key: What identifies the object; equal keys share one object.
            load: Makes the object.

        Returns:
            The object, the same one until it is released.
        """
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]  # type: ignore[no-any-return]
            while len(self._held) >= self.max_resident:
                self.release(next(iter(self._held)))
            made = load()
            self.loads[key] += 1
            self._held[key] = made
            return made

    def release(self, key: Hashable) -> None:
        """Forget an object and give its memory back; unknown keys are ignored."""
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
    """Collect garbage and hand unused accelerator memory back."""
    # Modules and their hooks refer to each other in circles, which only the collector breaks.
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def process_pool(anchor_name: str, max_resident: int = 1) -> ResidentPool:
    """Make one of this process's pools, emptying that of an earlier import of the package.

    ``%reload_kedro`` imports the package again. Without an anchor outside of it, the models of
    the former import would stay in memory with nobody left to release them.

    Args:
        anchor_name: Tells the pools of one process apart.
        max_resident: How many objects it holds at a time.
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
