"""Emotion vectors find what was planted, and only look where they should."""

import numpy as np
import pytest
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.geometry import emotion_vectors, pool_positions
from study_emotions import FOUR


def one_prompt_at_a_time(activations, emotion, layer):
    """The definition, in loops: mean of per-prompt means over the text's own tokens."""
    means = {emotion: [], "neutral": []}
    for row, label in enumerate(activations["labels"]):
        if label in means and activations["splits"][row] == "train":
            tokens = [
                activations["resid_post"][row, layer, pos].double().numpy()
                for pos in range(activations["resid_post"].shape[2])
                if activations["content_mask"][row, pos]
            ]
            means[label].append(sum(tokens) / len(tokens))
    return np.mean(means[emotion], axis=0) - np.mean(means["neutral"], axis=0)


def test_vectors_equal_the_definition_computed_one_prompt_at_a_time(activations):
    vectors = emotion_vectors(pool_positions(activations, FOUR))
    for emotion, vector in vectors.items():
        for layer in range(3):
            wanted = one_prompt_at_a_time(activations, emotion, layer)
            np.testing.assert_allclose(vector[layer], wanted, atol=1e-9)


def test_the_planted_direction_is_found(activations):
    vectors = emotion_vectors(pool_positions(activations, FOUR))
    for place, emotion in enumerate(("gratitude", "anger", "apology")):
        unit = vectors[emotion] / np.linalg.norm(vectors[emotion], axis=1, keepdims=True)
        assert (unit[:, place] > 0.99).all()


def test_without_an_emotion_there_is_no_direction(make_activations):
    with_emotion = emotion_vectors(pool_positions(make_activations(strength=3.0), FOUR))["anger"]
    without = emotion_vectors(pool_positions(make_activations(strength=0.0), FOUR))["anger"]
    assert np.linalg.norm(without) < 0.1 * np.linalg.norm(with_emotion)


def test_held_out_prompts_do_not_touch_the_vectors(activations):
    changed = dict(activations)
    changed["resid_post"] = activations["resid_post"].clone()
    held_out = torch.tensor([split == "test" for split in activations["splits"]])
    changed["resid_post"][held_out] += 100
    before, after = (emotion_vectors(pool_positions(data, FOUR)) for data in (activations, changed))
    for emotion, vector in before.items():
        np.testing.assert_array_equal(vector, after[emotion])


def test_the_order_of_prompts_does_not_matter(activations):
    order = np.random.default_rng(0).permutation(len(activations["labels"]))
    turned = dict(activations)
    for key in ("prompts", "labels", "pair_ids", "splits"):
        turned[key] = [activations[key][row] for row in order]
    for key in ("resid_post", "attention_mask", "content_mask", "cue_mask"):
        turned[key] = activations[key][torch.tensor(order)]
    before, after = (emotion_vectors(pool_positions(data, FOUR)) for data in (activations, turned))
    for emotion, vector in before.items():
        np.testing.assert_allclose(vector, after[emotion], atol=1e-12)


@pytest.mark.parametrize("strategy", ["mean_over_tokens", "last_token", "trigger_token"])
def test_means_taken_while_capturing_give_the_same(activations, strategy):
    pooled = {**activations, "metadata": {"hook_pos": ["resid_post"], "pooling": "mean"}}
    stream = activations["resid_post"].double()
    rows = []
    for row in range(len(stream)):
        content = activations["content_mask"][row].nonzero().flatten()
        cue = activations["cue_mask"][row].nonzero().flatten()
        rows.append([stream[row][:, at].mean(1) for at in (content, content[-1:], cue)])
    for place, suffix in enumerate(("", "_last", "_cue")):
        pooled[f"resid_post{suffix}"] = torch.stack([row[place] for row in rows])[:, :, None]
    streamed = pool_positions(pooled, FOUR, strategy=strategy).values
    np.testing.assert_allclose(
        streamed, pool_positions(activations, FOUR, strategy=strategy).values, atol=1e-12
    )


def test_mistakes_are_one_line(activations):
    with pytest.raises(InputError, match="nearest: last_token"):
        pool_positions(activations, FOUR, strategy="last_tokn")
    with pytest.raises(InputError, match="layer '7' is not in the captured activations"):
        pool_positions(activations, FOUR, layers=[7])
    with pytest.raises(InputError, match="'resid_pre' is not in the captured"):
        pool_positions(activations, FOUR, hook_point="resid_pre")
    without = {**activations, "cue_mask": torch.zeros_like(activations["cue_mask"])}
    with pytest.raises(InputError, match=r"240 of 240 have none, the first is 'text 0'"):
        pool_positions(without, FOUR, strategy="trigger_token")
