"""Work on a matrix in blocks of its first axis, with equal results for any number of threads."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

from threadpoolctl import ThreadpoolController

# Size of a block. It is fixed, and each block's products run on one thread, because the last bit of
# a matrix product may depend on its shape and on the number of threads.
BLOCK: Final = 64

T = TypeVar("T")


def map_blocks(work: Callable[[slice], T], n_rows: int, *, n_jobs: int) -> list[T]:
    """Call ``work`` on consecutive blocks of a matrix.

    Threads run in parallel, as numpy's products and sorts release the interpreter's lock.

    Args:
        work: Function of a block, given as a slice of the first axis.
        n_rows: Length of the first axis.
        n_jobs: Number of threads; -1 for one per core.

    Returns:
        The results in the order of the blocks.
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
