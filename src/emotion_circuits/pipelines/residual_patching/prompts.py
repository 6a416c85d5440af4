"""Which prompts are patched, and which of them choose and which report."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from emotion_circuits.datasets.records import PromptSource
from emotion_circuits.emotions import NEUTRAL
from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.residual_patching.settings import ResidualPatchingSettings


class Halves(NamedTuple):
    """Two sets of prompts that share none, each in the order of the prompts.

    Attributes:
        select: Layer and strength are chosen on these.
        confirm: What was chosen is measured on these.
    """

    select: list[str]
    confirm: list[str]


def choose_prompts(
    prompts: pd.DataFrame, fresh: PromptSource, settings: ResidualPatchingSettings
) -> list[str]:
    """Choose the neutral prompts to patch.

    Args:
        prompts: Phase 1's table.
        fresh: The profile's further prompts; those that stand in the table are not fresh.
        settings: Which, and how many.

    Returns:
        Distinct texts, in the order of their file.

    Raises:
        InputError: If there are fewer than two, since one half chooses and the other reports.
    """
    if settings.split == "fresh":
        known = set(prompts["text"])
        found = [
            record.fields["text"]
            for record in fresh.records
            if record.fields.get("emotion") == NEUTRAL and record.fields.get("text") not in known
        ]
        where = f"{fresh.name} (fresh_prompts of the profile) beside the dataset"
    else:
        table = prompts[prompts["emotion"] == NEUTRAL]
        if settings.split != "all":
            table = table[table["split"] == settings.split]
        found = table["text"].tolist()
        where = f"split {settings.split!r} of the dataset"
    chosen = list(dict.fromkeys(found))[: settings.max_samples_per_emotion]
    if len(chosen) < 2:
        raise InputError(
            f"residual_patching needs two neutral prompts or more; {where} has {len(chosen)}"
        )
    return chosen


def split_halves(prompts: Sequence[str], seed: int) -> Halves:
    """Split prompts in two halves, whatever their order; the second may be larger by one.

    Args:
        prompts: Distinct texts.
        seed: Another seed gives other halves.
    """
    ranked = sorted(prompts, key=lambda text: hashlib.sha256(f"{seed}/{text}".encode()).digest())
    select = set(ranked[: len(ranked) // 2])
    return Halves(
        [text for text in prompts if text in select],
        [text for text in prompts if text not in select],
    )
