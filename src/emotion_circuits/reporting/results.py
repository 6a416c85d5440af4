"""The results of a study that a report reads, with None for each that does not exist."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from emotion_circuits.prompts import EmotionSet


@dataclass(frozen=True)
class StudyResults:
    """Results of all phases, and what the study is.

    Attributes:
        profile: Name of the profile.
        emotions: The study's emotions.
        models: Names of its models.
        pairs: Its pairs of models.
        values: Results by their name in the catalog, such as ``tiny_gpt2.probe_scores``.
        configuration: Parameters of all phases, as plain data.
        versions: Versions of packages, by name.
    """

    profile: str
    emotions: EmotionSet
    models: tuple[str, ...]
    pairs: tuple[tuple[str, str], ...]
    values: Mapping[str, Any]
    configuration: Mapping[str, Any]
    versions: Mapping[str, str]

    def get(self, name: str, owner: str = "") -> Any:
        """Return a result, or None.

        Args:
            name: Name of the dataset without its namespace.
            owner: The model, or ``A_vs_B``; empty for a result of the whole study.
        """
        return self.values.get(f"{owner}.{name}" if owner else name)

    def table(self, name: str, owner: str = "") -> pd.DataFrame:
        """Return a table; an empty one without columns if there is none."""
        table = self.get(name, owner)
        return pd.DataFrame() if table is None else table

    def has(self, *names: str, owners: tuple[str, ...] = ("",)) -> bool:
        """Say whether any of these results exists for any owner."""
        return any(self.get(name, owner) is not None for name in names for owner in owners)

    @property
    def pair_names(self) -> tuple[str, ...]:
        """Names of the pairs, ``A_vs_B``."""
        return tuple("_vs_".join(pair) for pair in self.pairs)

    @property
    def n_prompts(self) -> int | None:
        """Number of prompts of the emotion that has the fewest; None without a dataset."""
        counts = (self.get("dataset_statistics") or {}).get("emotion_counts") or {}
        known = [int(counts[label]) for label in self.emotions.labels if label in counts]
        return min(known, default=None)
