"""Random streams that belong to a name, not to a place in a loop."""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def rng_for(seed: int, *name: object) -> np.random.Generator:
    """Give the random stream of a named piece of work.

    The same seed and name give the same stream in any process, in any order of work and with any
    number of workers; another seed or name gives an independent one.

    Args:
        seed: The study's seed.
        name: What the stream is for; parts are told apart by their text.
    """
    text = "\x1f".join(str(part) for part in name)
    digest = blake2b(text.encode("utf-8"), digest_size=16).digest()
    return np.random.default_rng([seed, *np.frombuffer(digest, dtype="<u4").tolist()])
