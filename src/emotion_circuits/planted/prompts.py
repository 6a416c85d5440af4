"""Prompts of planted models, as phase 1's table has them."""

from __future__ import annotations

from itertools import product
from typing import Any, Final

import numpy as np
import pandas as pd

from emotion_circuits.planted.vocabulary import DELIMITER, END, N_CUES, Vocabulary
from emotion_circuits.seeds import rng_for

# Numbers of fillers before the cue, between the cue and the delimiter, and after the delimiter.
# Each set of texts of a split has a template of its own, so that sets are independent samples.
TEMPLATES: Final = tuple(product((1, 2, 3), (0, 1, 2, 3), (1, 2, 3, 4)))


def planted_prompts(vocabulary: Vocabulary, *, seed: int) -> pd.DataFrame:
    """Write sets of texts that differ in the cue alone, one of each label.

    A text is ``word_4 cue_anger_7 word_1 . word_9 says``. Each cue occurs in one text of each
    split, so that texts of a split are independent samples of cues.

    Args:
        vocabulary: The words.
        seed: Seed for drawing fillers and the order of cues.

    Returns:
        Phase 1's table, with as many sets in each split as a label has cues. Splits share no
        template.
    """
    rng = rng_for(seed, "planted_prompts")
    lines: list[dict[str, Any]] = []
    for number, split in enumerate(("train", "test")):
        templates = TEMPLATES[number::2]
        order = {label: rng.permutation(N_CUES) for label in vocabulary.emotions.labels}
        for index in range(N_CUES):
            template = templates[index % len(templates)]
            fillers = [list(rng.choice(vocabulary.fillers, size=size)) for size in template]
            for label in vocabulary.emotions.labels:
                cue = vocabulary.cues(label)[order[label][index]]
                lines.append(
                    {
                        "text": _text(fillers, cue),
                        "emotion": label,
                        "lang": "en",
                        "pair_id": f"{split}_{index:03d}",
                        "template_id": "-".join(map(str, template)),
                        "explicit": False,
                        "split": split,
                        "cue": cue,
                    }
                )
    return pd.DataFrame(lines)


def neutral_prompts(vocabulary: Vocabulary, *, n_texts: int, seed: int) -> pd.DataFrame:
    """Write neutral texts without partners, to learn maps between models on.

    Args:
        vocabulary: The words.
        n_texts: Number of texts, divided between the splits as three to one.
        seed: Seed of the draw.

    Returns:
        Phase 1's table of distinct texts; a few fewer than asked for if some are drawn twice.
    """
    rng = rng_for(seed, "neutral_prompts")
    label = vocabulary.emotions.neutral
    lines: list[dict[str, Any]] = []
    for index in range(n_texts):
        number = int(index % 4 == 3)
        templates = TEMPLATES[number::2]
        template = templates[int(rng.integers(len(templates)))]
        fillers = [list(rng.choice(vocabulary.fillers, size=size)) for size in template]
        cue = str(rng.choice(vocabulary.cues(label)))
        lines.append(
            {
                "text": _text(fillers, cue),
                "emotion": label,
                "lang": "en",
                "pair_id": f"neutral_{index:04d}",
                "template_id": "-".join(map(str, template)),
                "explicit": False,
                "split": ("train", "test")[number],
                "cue": cue,
            }
        )
    return pd.DataFrame(lines).drop_duplicates("text")


def _text(fillers: list[list[np.str_]], cue: str) -> str:
    before, between, after = fillers
    return " ".join([*before, cue, *between, DELIMITER, *after, END])
