"""Two models with planted latents in common: whatever one holds, the other holds elsewhere."""

import numpy as np
import pytest
import torch

from emotion_circuits.pipelines.alignment.nodes import align_models
from emotion_circuits.pipelines.alignment.settings import AlignmentSettings
from emotion_circuits.pipelines.emotion_vectors.nodes import (
    fit_emotion_subspaces,
    fit_emotion_vectors,
)
from emotion_circuits.pipelines.emotion_vectors.settings import EmotionVectorSettings
from study_emotions import FOUR

FAST = {
    "n_resamples": 4,
    "n_permutations": 100,
    "n_random": 20,
    "n_splits": 3,
    "k_max": 4,
    "n_halvings": 2,
    "n_swaps": 100,
}


def plant(seed=0, n_pairs=60, d_model=16, n_layers=3, noise=0.1, world=0, n_latents=12):
    """Phase 2's result of a model that holds the world's latents in directions of its own.

    Args:
        seed: Of the model: its directions, and its noise.
        n_pairs: Scenarios, a third of them held out.
        d_model: Width.
        n_layers: Depth; each layer has other directions.
        noise: Standard deviation of what only this model holds.
        world: Seed of the latents; models of one world read the same texts.
        n_latents: Number of latents; the first three are the emotions'.
    """
    texts, own = np.random.default_rng(world), np.random.default_rng([seed, 7])
    topics = texts.normal(size=(n_pairs, 1, n_latents))
    latents = topics + 0.3 * texts.normal(size=(n_pairs, len(FOUR.labels), n_latents))
    latents[:, range(3), range(3)] += 4
    latents = latents.reshape(-1, n_latents)
    directions = own.normal(size=(n_layers, n_latents, d_model)) / np.sqrt(n_latents)
    stream = np.einsum("pk,lkd->pld", latents, directions)
    stream += noise * own.normal(size=stream.shape) + own.normal(size=(n_layers, d_model))
    return as_activations(f"model{seed}_{d_model}", stream)


def as_activations(name, stream):
    """Put one vector a prompt and layer into phase 2's form."""
    n_prompts, n_layers, d_model = stream.shape
    pairs = np.arange(n_prompts) // len(FOUR.labels)
    return {
        "model_name": name,
        "prompts": [f"text {row}" for row in range(n_prompts)],
        "labels": [FOUR.labels[row % len(FOUR.labels)] for row in range(n_prompts)],
        "pair_ids": [f"pair{pair}" for pair in pairs],
        "splits": ["test" if pair % 3 == 0 else "train" for pair in pairs],
        "layer_indices": list(range(n_layers)),
        "resid_post": torch.from_numpy(stream)[:, :, None],
        "resid_post_last": torch.from_numpy(stream)[:, :, None] + 1,
        "metadata": {
            "hook_pos": ["resid_post"],
            "pooling": "mean",
            "n_layers": n_layers,
            "d_model": d_model,
        },
    }


def run_phase(a, b, vector_settings=None, **settings):
    """Phases 3 and 4 of a pair."""
    of_vectors = EmotionVectorSettings(**{"n_components": 4, **(vector_settings or {})})
    return align_models(
        a,
        b,
        *(fit_emotion_vectors(one, FOUR, of_vectors)[0] for one in (a, b)),
        *(fit_emotion_subspaces(one, FOUR, of_vectors) for one in (a, b)),
        profile="planted",
        emotions=FOUR,
        settings=AlignmentSettings(**{**FAST, **settings}),
    )


@pytest.fixture(scope="session")
def make_model():
    return plant


@pytest.fixture(scope="session")
def align():
    return run_phase


@pytest.fixture(scope="session")
def two_models():
    return plant(0, d_model=16, n_layers=3), plant(1, d_model=14, n_layers=4)


@pytest.fixture(scope="session")
def aligned(two_models):
    return run_phase(*two_models)
