"""Activations with a known direction in them."""

import numpy as np
import pytest
import torch

from study_emotions import FOUR

D_MODEL, LAYERS, LENGTH = 16, 3, 7


def planted(n_pairs=60, strength=3.0, seed=0, pooling="tokens"):
    """Phase 2's result for prompts whose emotion adds a direction of its own at every token."""
    rng = np.random.default_rng(seed)
    directions = dict(zip(FOUR.names, np.eye(D_MODEL)[:3], strict=True))
    labels, pairs, splits, streams, lengths = [], [], [], [], []
    for pair in range(n_pairs):
        topic = rng.normal(size=(LAYERS, 1, D_MODEL))
        for label in FOUR.labels:
            noise = 0.3 * rng.normal(size=(LAYERS, LENGTH, D_MODEL))
            shift = strength * directions.get(label, np.zeros(D_MODEL))
            streams.append(topic + noise + shift)
            labels.append(label)
            pairs.append(f"pair{pair}")
            splits.append("test" if pair % 3 == 0 else "train")
            lengths.append(int(rng.integers(3, LENGTH + 1)))
    stream = torch.tensor(np.stack(streams), dtype=torch.float32)
    attention = torch.arange(LENGTH)[None, :] < torch.tensor(lengths)[:, None]
    content = attention.clone()
    content[:, 0] = False  # BOS
    cue = torch.zeros_like(content)
    cue[:, 2] = True
    # What is not text is full of garbage, as a sink and padding are.
    stream[:, :, 0] = 1e4
    stream = torch.where(attention[:, None, :, None], stream, torch.tensor(-1e4))
    return {
        "model_name": "planted",
        "prompts": [f"text {row}" for row in range(len(labels))],
        "labels": labels,
        "pair_ids": pairs,
        "splits": splits,
        "layer_indices": list(range(LAYERS)),
        "resid_post": stream,
        "attention_mask": attention,
        "content_mask": content,
        "cue_mask": cue,
        "metadata": {"hook_pos": ["resid_post"], "pooling": pooling},
    }


@pytest.fixture(scope="session")
def activations():
    return planted()


@pytest.fixture(scope="session")
def make_activations():
    return planted
