"""Random streams and seeds that belong to a name, not to a place in a loop.

Every draw of the study comes from here, except in four packages that keep streams of their own.
``interventions`` samples texts, and a prompt's stream is part of how its text is decoded. The
shipped weights, data and model cards were drawn by ``embedded_world`` and ``training``. The weights
of an untrained copy come from the seed of its model entry (``language_models``).
"""

from __future__ import annotations

from hashlib import blake2b

import numpy as np


def rng_for(seed: int, *name: object) -> np.random.Generator:
    """Give the random stream of a named piece of work.

    The same seed and name give the same stream in any process, in any order of work and with any
    number of workers; another seed or name gives an independent one.

    Args:
        seed: The study's seed.
        name: What is drawn, and for which model, layer, emotion and so on. Parts are told apart
            by their text.
    """
    return np.random.default_rng(_entropy(seed, name))


def seed_for(seed: int, *name: object) -> int:
    """Give a seed for a named piece of work, to be kept with a result.

    ``numpy.random.default_rng`` of it makes the same draw again, without the study's seed and the
    name. Whatever ``rng_for`` draws for the same name is independent of it.

    Args:
        seed: The study's seed.
        name: As for ``rng_for``.

    Returns:
        A whole number from 0 to 2⁶³ − 1, which fits into a signed column.
    """
    state = np.random.SeedSequence(_entropy(seed, name)).generate_state(1, np.uint64)
    return int(state[0] >> np.uint64(1))


def _entropy(seed: int, name: tuple[object, ...]) -> list[int]:
    """Give the seed, and a digest of the name as four words.

    NumPy takes [seed] and [seed, 0] for the same, so that bare numbers as names would give some
    pieces of work one stream.
    """
    text = "\x1f".join(str(part) for part in name)
    digest = blake2b(text.encode("utf-8"), digest_size=16).digest()
    return [seed, *np.frombuffer(digest, dtype="<u4").tolist()]
