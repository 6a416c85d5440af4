"""The dataset for the embedded models: sets of four situations that differ minimally."""

from __future__ import annotations

from collections.abc import Iterable
from random import Random
from typing import Any

import pandas as pd

from emotion_circuits.embedded_world.emotions import LABELS, NEUTRAL
from emotion_circuits.embedded_world.lexicon import EXPLICIT
from emotion_circuits.embedded_world.situations import describe, draw_event, draw_manner
from emotion_circuits.embedded_world.world import World, WorldSettings, hash_share
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

    Within a set only who did what to whom differs, so each emotion text has a minimally different
    neutral partner. Each text tells of two events; the second swaps the roles of the first, so
    that the people and owners in a bag of words do not reveal who did the harm. Each text ends
    with the line break after which the language models write their reaction.

    Args:
        settings: The settings of the world.
        split: Combinations to draw from; those of the default are not used in training.
        n_per_emotion: Number of sets.
        seed: Seed for drawing the prompts.
        test_share: Share of the sentence templates whose texts form the study's ``test`` split.

    Returns:
        One line per text, set by set and in the order of the labels, with the columns of the
        project's datasets: ``text``, ``emotion``, ``lang``, ``pair_id``, ``template_id``,
        ``explicit``, ``split`` (the study's, by template), ``cue``.

    Raises:
        InputError: If the split has too few combinations for so many distinct texts.
    """
    world, rng = World(settings), Random(f"prompts/{split}/{seed}")
    lines: list[dict[str, Any]] = []
    seen: set[str] = set()
    for _ in range(20 * n_per_emotion):
        if len(lines) == n_per_emotion * len(LABELS):
            return pd.DataFrame(lines)
        # Sets alternate, so that half of the emotion texts name their emotion.
        explicit = len(lines) // len(LABELS) % 2 == 0
        drawn = _draw_set(world, split, explicit, rng)
        texts = {line["text"] for line in drawn}
        if len(texts) == len(LABELS) and not texts & seen and _cues_are_unique(drawn):
            seen |= texts
            name = f"set{len(lines) // len(LABELS):04d}"
            study = "test" if hash_share(drawn[0]["template_id"]) < test_share else "train"
            lines += [{**line, "pair_id": name, "split": study} for line in drawn]
    raise InputError(
        f"n_per_emotion is {n_per_emotion}, but the {split} split of the world gave only "
        f"{len(lines) // len(LABELS)} distinct sets; enlarge n_people or n_objects"
    )


def fresh_neutral_prompts(
    settings: WorldSettings,
    known: Iterable[str],
    *,
    n: int = 220,
    seed: int = 2,
    test_share: float = 0.3,
) -> pd.DataFrame:
    """Draw neutral situations outside the dataset, in the sentence forms of its ``test`` split.

    Args:
        settings: The settings of the world.
        known: The texts of the dataset, which are left out.
        n: Number of situations.
        seed: A seed other than the dataset's.
        test_share: The dataset's share, so that both have the same ``test`` templates.

    Returns:
        Lines with the columns of ``emotion_prompts``, all of split ``test``.

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
    # With a mirrored second event, the words do not tell who did the harm.
    manner = draw_manner(world, split, companion, rng, mirrored=True)
    lines = []
    for emotion in LABELS:
        event = draw_event(world, emotion, companion, thing, split, rng)
        named = rng.choice(EXPLICIT[emotion]) if explicit and emotion in EXPLICIT else ""
        situation = describe(event, manner, named, companion)
        lines.append(
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
    return lines


def _cues_are_unique(lines: list[dict[str, Any]]) -> bool:
    return all(line["text"].count(line["cue"]) == 1 for line in lines)
