"""The study's dataset for the embedded models: sets of four situations that differ in little."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from random import Random
from typing import Any

import pandas as pd

from emotion_circuits.embedded_world.emotions import LABELS, NEUTRAL
from emotion_circuits.embedded_world.lexicon import EXPLICIT
from emotion_circuits.embedded_world.situations import describe, draw_event, draw_manner
from emotion_circuits.embedded_world.world import World, WorldSettings
from emotion_circuits.errors import InputError


def emotion_prompts(
    settings: WorldSettings,
    *,
    split: str = "test",
    n_per_emotion: int = 225,
    seed: int = 0,
    test_share: float = 0.3,
) -> pd.DataFrame:
    """Draw sets of four situations with the same people, object, time, place and sentence form.

    Within a set only who did what to whom differs, so each emotion text has a neutral partner
    that is as close to it as can be. Each text tells of two events, the second one with the roles
    of the first turned round, so that a bag of words holds the same people and owners whoever
    did the harm. A text ends with the line break after which the language
    models say their reaction.

    Args:
        settings: The world.
        split: Which combinations to draw from; the default was never seen in training.
        n_per_emotion: How many sets.
        seed: Same seed, same prompts.
        test_share: Share of the sentence templates whose texts form the study's ``test`` split.

    Returns:
        Rows in the order of the labels, set by set, with the columns of the project's datasets:
        ``text``, ``emotion``, ``lang``, ``pair_id``, ``template_id``, ``explicit``, ``split``
        (the study's, by template), ``cue``.

    Raises:
        InputError: If the split has too few combinations for so many distinct texts.
    """
    world, rng = World(settings), Random(f"prompts/{split}/{seed}")
    rows: list[dict[str, Any]] = []
    seen: set[str] = set()
    for _ in range(20 * n_per_emotion):
        if len(rows) == n_per_emotion * len(LABELS):
            return pd.DataFrame(rows)
        # Alternate, so that half of the emotion texts name their emotion.
        explicit = len(rows) // len(LABELS) % 2 == 0
        found = _draw_set(world, split, explicit, rng)
        texts = {row["text"] for row in found}
        if len(texts) == len(LABELS) and not texts & seen and _cues_are_unique(found):
            seen |= texts
            name = f"set{len(rows) // len(LABELS):04d}"
            study = "test" if _share(found[0]["template_id"]) < test_share else "train"
            rows += [{**row, "pair_id": name, "split": study} for row in found]
    raise InputError(
        f"n_per_emotion is {n_per_emotion}, but the {split} split of the world gave only "
        f"{len(rows) // len(LABELS)} distinct sets; enlarge n_people or n_objects"
    )


def fresh_neutral_prompts(
    settings: WorldSettings,
    known: Iterable[str],
    *,
    n: int = 220,
    seed: int = 2,
    test_share: float = 0.3,
) -> pd.DataFrame:
    """Draw neutral situations that no vector was measured on, in sentence forms it never saw.

    Args:
        settings: The world.
        known: Texts to leave out: those of the dataset.
        n: How many.
        seed: Another one than the dataset's.
        test_share: As for the dataset, so that its ``test`` templates are these prompts' ones.

    Returns:
        Rows with the columns of ``emotion_prompts``, all of split ``test``.

    Raises:
        InputError: If the world has too few of them.
    """
    drawn = emotion_prompts(settings, n_per_emotion=6 * n + 50, seed=seed, test_share=test_share)
    left_out = set(known)
    kept = drawn[
        (drawn["emotion"] == NEUTRAL) & (drawn["split"] == "test") & ~drawn["text"].isin(left_out)
    ]
    if len(kept) < n:
        raise InputError(f"n is {n}, but the world gave only {len(kept)} fresh neutral prompts")
    return kept[:n].reset_index(drop=True)


def _draw_set(world: World, split: str, explicit: bool, rng: Random) -> list[dict[str, Any]]:
    companion, thing = rng.choice(world.combinations(split))
    # With a mirrored second event the same words are used whoever did the harm.
    manner = draw_manner(world, split, companion, rng, mirrored=True)
    rows = []
    for emotion in LABELS:
        event = draw_event(world, emotion, companion, thing, split, rng)
        named = rng.choice(EXPLICIT[emotion]) if explicit and emotion in EXPLICIT else ""
        situation = describe(event, manner, named, companion)
        rows.append(
            {
                "text": f"{situation.text}\n",
                "emotion": emotion,
                "lang": "en",
                "pair_id": "",
                "template_id": manner.template_id,
                "explicit": situation.explicit,
                "split": "",
                "cue": situation.cue,
            }
        )
    return rows


def _cues_are_unique(rows: list[dict[str, Any]]) -> bool:
    return all(row["text"].count(row["cue"]) == 1 for row in rows)


def _share(template_id: str) -> float:
    """Place a template in [0, 1) by its name alone."""
    return int.from_bytes(hashlib.sha256(template_id.encode()).digest()[:8]) / 2**64
