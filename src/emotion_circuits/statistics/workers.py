"""Work on the rows of a matrix in blocks; the result is the same on any number of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

from threadpoolctl import ThreadpoolController

# Rows per block. It is fixed, and each block's products run on one thread, because the last bit
# of a matrix product may depend on its shape and on the number of threads.
BLOCK: Final = 64

T = TypeVar("T")


def map_blocks(work: Callable[[slice], T], n_rows: int, *, n_jobs: int) -> list[T]:
    """Call ``work`` on consecutive blocks of rows.

    Threads are enough: numpy's products and sorts let go of the interpreter.

    Args:
        work: Gets the rows as a slice.
        n_rows: How many rows there are.
        n_jobs: Threads; -1 means one for each core.

    Returns:
        The results, in the order of the rows.
    """
    blocks = [slice(start, min(start + BLOCK, n_rows)) for start in range(0, n_rows, BLOCK)]
    threads = (os.cpu_count() or 1) if n_jobs == -1 else n_jobs
    with _controller().limit(limits=1, user_api="blas"):
        if threads == 1 or len(blocks) < 2:
            return [work(block) for block in blocks]
        with ThreadPoolExecutor(threads) as pool:
            return list(pool.map(work, blocks))


@cache
def _controller() -> ThreadpoolController:
    """Find numpy's libraries once: looking for them takes longer than a block's work."""
    return ThreadpoolController()
