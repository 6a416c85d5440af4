"""Named directions of a planted model's residual stream."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from emotion_circuits.seeds import rng_for

N_JUNK = 6


@dataclass(frozen=True)
class Basis:
    """Orthonormal directions, in random position, all orthogonal to the vector of ones.

    Orthogonality to ones makes LayerNorm's subtraction of the mean do nothing. Every token has a
    large component along ``constant``, so that the norms' divisors hardly differ between tokens.

    Attributes:
        named: Unit vectors by name: ``constant``; flags of tokens (``bos``, ``delimiter``,
            ``end``); and for each emotion ``cue``, ``detected``, ``bound``, ``carried`` and
            ``expressed``, as ``<name>/<emotion>``.
        junk: Directions that nothing reads.
        tokens: Directions of the tokens' identities.
    """

    named: dict[str, Float[np.ndarray, " d_model"]]
    junk: Float[np.ndarray, "junk d_model"]
    tokens: Float[np.ndarray, "token_dim d_model"]

    @classmethod
    def draw(cls, width: int, emotions: tuple[str, ...], seed: int) -> Basis:
        """Draw the directions.

        Args:
            width: Width of the stream.
            emotions: The emotions.
            seed: Seed of the draw.
        """
        parts = ("cue", "detected", "bound", "carried", "expressed")
        names = ["constant", "bos", "delimiter", "end"]
        names += [f"{part}/{emotion}" for part in parts for emotion in emotions]
        drawn = rng_for(seed, "planted_basis").normal(size=(width, width))
        drawn[:, 0] = 1.0
        vectors = np.linalg.qr(drawn)[0].T[1:]
        named = dict(zip(names, vectors, strict=False))
        rest = vectors[len(names) :]
        return cls(named, rest[:N_JUNK], rest[N_JUNK:])

    @property
    def everything(self) -> Float[np.ndarray, "direction d_model"]:
        """All directions; what is drawn as components along them turns with the basis."""
        return np.concatenate([np.stack(list(self.named.values())), self.junk, self.tokens])

    def __getitem__(self, name: str) -> Float[np.ndarray, " d_model"]:
        return self.named[name]

    def of(self, part: str, emotion: str) -> Float[np.ndarray, " d_model"]:
        """Return an emotion's direction, for example ``detected``."""
        return self.named[f"{part}/{emotion}"]
