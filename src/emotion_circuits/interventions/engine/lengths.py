"""Lengths of prompts that share passes."""

from __future__ import annotations

from collections.abc import Mapping


def close_lengths(counts: Mapping[int, int], pass_cost: int) -> list[list[int]]:
    """Group lengths so that reading their texts costs least.

    A pass over a group reads each text and its padding to the longest one. The best cut of the
    sorted lengths is found by dynamic programming.

    Args:
        counts: Number of texts of each length.
        pass_cost: Cost of a pass beside its tokens, in tokens.

    Returns:
        The lengths of each group, the longest first.
    """
    lengths = sorted(counts, reverse=True)
    costs, firsts = [0], [0]
    for end in range(1, len(lengths) + 1):
        options = [
            (costs[first] + pass_cost + lengths[first] * _total(counts, lengths[first:end]), first)
            for first in range(end)
        ]
        cost, first = min(options)
        costs.append(cost)
        firsts.append(first)
    groups: list[list[int]] = []
    end = len(lengths)
    while end:
        groups.insert(0, lengths[firsts[end] : end])
        end = firsts[end]
    return groups


def _total(counts: Mapping[int, int], lengths: list[int]) -> int:
    return sum(counts[length] for length in lengths)
