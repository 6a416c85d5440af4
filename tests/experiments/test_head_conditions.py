"""What takes the place of a head's output."""

import torch

from emotion_circuits.experiments.head_conditions import aligned_positions, mean_outputs


def test_means_count_prompts_and_labels_alike_and_leave_bos_out():
    def constant(value, n):
        z = torch.full((1, n, 1, 2), float(value))
        z[:, 0] = 1e6
        return z

    z = {0: constant(1, 3), 1: constant(3, 30), 2: constant(10, 2)}
    labels = {0: "anger", 1: "anger", 2: "neutral"}
    assert mean_outputs(z, labels, n_special=1).flatten().tolist() == [6.0, 6.0]


def test_prompts_are_aligned_by_the_shorter_text_and_bos_only_with_itself():
    assert aligned_positions(5, 5, n_special=1) == 5
    assert aligned_positions(5, 8, n_special=1) == aligned_positions(8, 5, n_special=1) == 4
    assert aligned_positions(5, 8, n_special=0) == 5
