"""The speaker's reaction: two sentences that express one emotion, in varying wording.

The choice of sentences, politeness and intensity follows habits that are independent of the
emotion: they depend on the object, the person and the act. Reactions therefore differ between
situations even without randomness.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Final, NamedTuple

from emotion_circuits.embedded_world.lexicon import ACTS, OBJECTS, PEOPLE, Act, Person, words
from emotion_circuits.embedded_world.phrasings import CORES, COURTESIES, INTENSITIES, Core, Frame

# The 28 labels of the GoEmotions taxonomy, in its own order (Demszky et al. 2020,
# arXiv:2005.00547, Table 1, as in the public label files).
GOEMOTIONS: Final = words(
    "admiration, amusement, anger, annoyance, approval, caring, confusion, curiosity, "
    "desire, disappointment, disapproval, disgust, embarrassment, excitement, fear, "
    "gratitude, grief, joy, love, nervousness, optimism, pride, realization, relief, "
    "remorse, sadness, surprise, neutral"
)
SENTIMENTS: Final = ("negative", "neutral", "positive")
POLITENESS: Final = ("polite", "somewhat polite", "neutral", "impolite")
SENTIMENT_OF: Final = {
    "gratitude": "positive",
    "anger": "negative",
    "apology": "negative",
    "neutral": "neutral",
}
# Levels to draw from; a repeated level is more frequent.
_POLITENESS_LEVELS: Final = ("neutral", "polite", "neutral", "somewhat polite", "impolite") * 4
_INTENSITY_LEVELS: Final = ("plain", "strong", "mild")


@dataclass(frozen=True)
class Reaction:
    """One reaction template.

    Attributes:
        cores: The sentences that express the emotion.
        courtesy: The frame that sets politeness.
        intensity: The frame that sets intensity.
    """

    cores: tuple[Core, ...]
    courtesy: Frame
    intensity: Frame

    @property
    def id(self) -> str:
        """Identifier of the template."""
        return "+".join([*(core.id for core in self.cores), self.courtesy.id, self.intensity.id])

    @property
    def goemotions(self) -> tuple[str, ...]:
        """The GoEmotions labels that apply."""
        return tuple(dict.fromkeys(label for core in self.cores for label in core.goemotions))

    def say(self, name: str, thing: str) -> str:
        """Fill the slots with a person's name and an object."""
        said = " ".join(core.text for core in self.cores)
        frames = (self.courtesy, self.intensity)
        before = "".join(frame.before for frame in frames)
        after = "".join(frame.after for frame in frames)
        return f"{before}{said}{after}".format(name=name, object=thing)


class Occasion(NamedTuple):
    """Parts of a situation that determine the habits, independently of the emotion.

    Attributes:
        person: The person addressed.
        thing: The object talked about.
        act: The act of the event.
    """

    person: Person
    thing: str
    act: Act


@cache
def _by_group(emotion: str, split: str) -> tuple[tuple[Core, ...], ...]:
    groups: dict[str, list[Core]] = {}
    for core in CORES:
        if core.emotion == emotion and core.split == split:
            groups.setdefault(core.group, []).append(core)
    return tuple(map(tuple, groups.values()))


@cache
def _frames(frames: tuple[Frame, ...], level: str, split: str) -> tuple[Frame, ...]:
    # For validation of the evaluators, only the cores are new; the frames are those of training.
    allowed = ("all", "train" if split == "validation" else split)
    return tuple(frame for frame in frames if frame.level == level and frame.split in allowed)


def draw_reaction(
    emotion: str,
    split: str,
    rng: Random,
    *,
    n_cores: int = 2,
    occasion: Occasion | None = None,
    habit_share: float = 0.0,
) -> Reaction:
    """Draw a reaction template, with politeness and intensity independent of the emotion.

    Args:
        emotion: The emotion of the reaction.
        split: Split of the phrasings: ``language_model``, ``train`` or ``validation``.
        rng: Source of randomness.
        n_cores: Number of sentences that express the emotion, each from a different group.
        occasion: Determines the habits; None for no habits.
        habit_share: Probability that a choice follows a habit; otherwise it is random.
    """

    def choose(habit: int, n: int) -> int:
        if occasion is not None and rng.random() < habit_share:
            return habit % n
        return rng.randrange(n)

    person = thing = act = 0
    if occasion is not None:
        person = PEOPLE.index(occasion.person)
        thing = OBJECTS.index(occasion.thing)
        act = ACTS[occasion.act.kind].index(occasion.act)
    groups = list(_by_group(emotion, split))
    cores = []
    for group_habit, form_habit in ((thing, act), (person // 2, thing // 10))[:n_cores]:
        group = groups.pop(choose(group_habit, len(groups)))
        cores.append(group[choose(form_habit, len(group))])
    level = _POLITENESS_LEVELS[choose(person, len(_POLITENESS_LEVELS))]
    courtesies = _frames(COURTESIES, level, split)
    level = _INTENSITY_LEVELS[choose(act // 2, len(_INTENSITY_LEVELS))]
    intensities = _frames(INTENSITIES, level, split)
    return Reaction(
        tuple(cores),
        courtesies[choose(thing // 2, len(courtesies))],
        intensities[choose(thing // 3, len(intensities))],
    )


def _pattern(core: Core) -> re.Pattern[str]:
    slots = re.escape(core.text).replace(r"\{name\}", r"\w+").replace(r"\{object\}", r"\w+")
    return re.compile(rf"(?:^|: |[.?] ){slots}")


_PATTERNS: Final = tuple((_pattern(core), core) for core in CORES)


def recognize(text: str) -> Core | None:
    """Find the first known phrasing in a text by matching its words.

    Args:
        text: A reaction; only its first line is searched.

    Returns:
        The core that occurs earliest in the text, or None if no core occurs in full.
    """
    line = text.strip().split("\n")[0]
    hits = [(match.start(), core) for pattern, core in _PATTERNS if (match := pattern.search(line))]
    return min(hits, key=lambda hit: hit[0])[1] if hits else None
