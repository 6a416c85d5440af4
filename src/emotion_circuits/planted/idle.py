"""Random weights of everything that has no part in the circuit."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from emotion_circuits.planted import amplitudes
from emotion_circuits.planted.basis import Basis
from emotion_circuits.planted.shape import D_HEAD, PlantedShape
from emotion_circuits.planted.vocabulary import BOS, DELIMITER, END, SPECIAL, Vocabulary
from emotion_circuits.planted.weights import Weights
from emotion_circuits.seeds import rng_for


def norm_gain(width: int) -> float:
    """Return what the norms multiply a stream with: the root of its width by its length."""
    return float(np.sqrt(width) / np.hypot(amplitudes.CONSTANT, amplitudes.IDENTITY))


def idle_weights(
    shape: PlantedShape, vocabulary: Vocabulary, basis: Basis, *, tones_seed: int, seed: int
) -> Weights:
    """Draw a model that reads tokens' identities at random, and says neutral reactions.

    Args:
        shape: The model's size.
        vocabulary: The words.
        basis: The directions.
        tones_seed: Seed of the fillers' tones, which models of one world share.
        seed: Seed of everything else.
    """
    rng = rng_for(seed, "planted_idle")
    gain, n_directions = norm_gain(shape.width), len(basis.everything)

    def reader(*sizes: int) -> Float[np.ndarray, "... d_model out"]:
        """Read tokens' identities at random."""
        drawn = rng.normal(size=(*sizes[:-1], len(basis.tokens), sizes[-1]))
        read: np.ndarray = np.einsum("td,...tk->...dk", basis.tokens, drawn)
        return read

    def writer(*sizes: int) -> Float[np.ndarray, "... d_model"]:
        """Write into all directions at random."""
        written: np.ndarray = rng.normal(size=(*sizes, n_directions)) @ basis.everything
        return written

    heads = (shape.n_layers, shape.n_heads, D_HEAD)
    key_heads = (shape.n_layers, shape.key_heads, D_HEAD)
    return Weights(
        embed=_embeddings(vocabulary, basis, rng, tones_seed),
        unembed=_unembeddings(vocabulary, basis, rng, gain),
        q=amplitudes.IDLE_ATTENTION * reader(*heads),
        k=amplitudes.IDLE_ATTENTION * reader(*key_heads),
        v=reader(*key_heads),
        o=amplitudes.IDLE_WRITE * writer(*heads),
        mlp_in=amplitudes.IDLE_MLP_READ * reader(shape.n_layers, shape.d_mlp),
        mlp_out=amplitudes.IDLE_MLP_WRITE * writer(shape.n_layers, shape.d_mlp),
        one=basis["constant"] / (gain * amplitudes.CONSTANT),
    )


def _embeddings(
    vocabulary: Vocabulary, basis: Basis, rng: np.random.Generator, tones_seed: int
) -> Float[np.ndarray, "vocab d_model"]:
    words, ids = vocabulary.words, vocabulary.ids
    identities = rng.normal(size=(len(words), len(basis.tokens)))
    identities /= np.linalg.norm(identities, axis=1, keepdims=True)
    embed = amplitudes.CONSTANT * basis["constant"] + (
        amplitudes.IDENTITY * identities @ basis.tokens
    )
    ending = [END, *(word for label in vocabulary.emotions.labels for word in
                     vocabulary.reactions(label))]  # fmt: skip
    for flag, flagged in (("bos", [BOS]), ("delimiter", [DELIMITER]), ("end", ending)):
        embed[[ids[word] for word in flagged]] += amplitudes.FLAG * basis[flag]
    tones = rng_for(tones_seed, "planted_tones")
    for emotion in vocabulary.emotions.names:
        tone = amplitudes.TONE * tones.normal(size=len(vocabulary.fillers))
        fillers = [ids[word] for word in vocabulary.fillers]
        embed[fillers] += tone[:, None] * basis.of("detected", emotion)
    return embed  # type: ignore[no-any-return]


def _unembeddings(
    vocabulary: Vocabulary, basis: Basis, rng: np.random.Generator, gain: float
) -> Float[np.ndarray, "vocab d_model"]:
    """Return the rows of the unembedding: reactions read what is expressed, or are the default."""
    ids, emotions = vocabulary.ids, vocabulary.emotions
    unembed: np.ndarray = (
        amplitudes.IDLE_LOGIT * rng.normal(size=(len(ids), len(basis.tokens))) @ basis.tokens
    )
    constant = basis["constant"] / (gain * amplitudes.CONSTANT)
    unembed[[ids[word] for word in SPECIAL]] += amplitudes.SPECIAL_LOGIT * constant
    neutral = [ids[word] for word in vocabulary.reactions(emotions.neutral)]
    unembed[neutral] += amplitudes.NEUTRAL_LOGIT * constant
    for emotion in emotions.names:
        expressed = basis.of("expressed", emotion) / (gain * amplitudes.EXPRESSED)
        rows = [ids[word] for word in vocabulary.reactions(emotion)]
        unembed[rows] += amplitudes.EMOTIONAL_LOGIT * expressed
    return unembed
