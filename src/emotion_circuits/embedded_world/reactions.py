"""How the speaker reacts: two sentences of one emotion, in a manner of their own.

What is said depends on the emotion; how it is said depends on habits that know nothing of it:
which things one talks about in which words, how courteous one is to whom, how loud after which
act. So reactions differ from situation to situation even where nothing is left to chance.
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
# Of twenty reactions, how many have each level.
_POLITENESS_LEVELS: Final = ("neutral", "polite", "neutral", "somewhat polite", "impolite") * 4
_INTENSITY_LEVELS: Final = ("plain", "strong", "mild")


@dataclass(frozen=True)
class Reaction:
    """One reaction template.

    Attributes:
        cores: The sentences that carry the emotion.
        courtesy: Sets politeness.
        intensity: Sets intensity.
    """

    cores: tuple[Core, ...]
    courtesy: Frame
    intensity: Frame

    @property
    def id(self) -> str:
        """Identifies the template."""
        return "+".join([*(core.id for core in self.cores), self.courtesy.id, self.intensity.id])

    @property
    def goemotions(self) -> tuple[str, ...]:
        """Which of the 28 labels apply."""
        return tuple(dict.fromkeys(label for core in self.cores for label in core.goemotions))

    def say(self, name: str, thing: str) -> str:
        """Fill the slots with a person's name and an object."""
        said = " ".join(core.text for core in self.cores)
        frames = (self.courtesy, self.intensity)
        before = "".join(frame.before for frame in frames)
        after = "".join(frame.after for frame in frames)
        return f"{before}{said}{after}".format(name=name, object=thing)


class Occasion(NamedTuple):
    """What habits go by: parts of a situation that occur under every emotion.

    Attributes:
        person: Whom one talks to.
        thing: What one talks about.
        act: What was done.
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
    # The evaluators' validation phrasings have new cores, in the frames of training.
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
    """Draw a reaction template: its politeness and intensity are independent of its emotion.

    Args:
        emotion: What it expresses.
        split: Of the phrasings: ``language_model``, ``train`` or ``validation``.
        rng: Source of randomness.
        n_cores: How many sentences carry the emotion, each of another group.
        occasion: What habits go by; None for no habits.
        habit_share: How often each choice follows habit; the rest is chance.
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
    """Find which phrasing a text uses first, by its words and not by any model.

    Args:
        text: What was said; only its first line counts.

    Returns:
        Of the cores whose words occur in the text as a whole the foremost, or None.
    """
    line = text.strip().split("\n")[0]
    found = [
        (match.start(), core) for pattern, core in _PATTERNS if (match := pattern.search(line))
    ]
    return min(found, key=lambda pair: pair[0])[1] if found else None
