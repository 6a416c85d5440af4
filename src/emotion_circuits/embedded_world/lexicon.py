"""The words of the world. Every act makes sense with every object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Person:
    """A person other than the speaker.

    Attributes:
        name: First name.
        subject: Subject pronoun, ``she`` or ``he``.
    """

    name: str
    subject: str

    @property
    def object(self) -> str:
        """Object pronoun."""
        return "her" if self.subject == "she" else "him"

    @property
    def possessive(self) -> str:
        """Possessive pronoun."""
        return "her" if self.subject == "she" else "his"


@dataclass(frozen=True)
class Act:
    """An act on an object.

    Attributes:
        past: Past tense, which equals the past participle for every act of the world.
        kind: ``help``, ``harm`` or ``none`` (without consequence).
        leaning: ``kind`` or ``rude`` for some acts without consequence; else empty.
    """

    past: str
    kind: str
    leaning: str = ""


def words(text: str) -> tuple[str, ...]:
    """Split a comma-separated list."""
    return tuple(text.split(", "))


_SHE: Final = (
    "Dana Mira Lena Anna Sara Nora Ella Iris Rosa Clara Ida Vera Maya Julia Emma Lucy Alice Ruth "
    "Hanna Olga Tara Nina Edith Freya Carla Molly Petra Wanda Greta Zoe"
)
_HE: Final = (
    "Tom Ben Paul Omar Luis Jack Adam Felix Hugo Ivan Leo Noah Max Sam Karl Finn Oscar Ravi Emil "
    "Dan Theo Aaron Milo Erik Jonas Peter Simon Victor Walter Yusuf"
)
PEOPLE: Final = tuple(
    person
    for she, he in zip(_SHE.split(), _HE.split(), strict=True)
    for person in (Person(she, "she"), Person(he, "he"))
)

OBJECTS: Final = words(
    "lamp, radio, guitar, camera, kettle, clock, chair, mirror, suitcase, tent, laptop, "
    "phone, watch, violin, bowl, vase, kite, ladder, scooter, drum, sofa, fan, toaster, "
    "helmet, skateboard, backpack, jacket, coat, hat, book, map, painting, statue, sled, "
    "canoe, cart, globe, flute, basket, bench, drone, telescope, desk, bicycle, kayak, "
    "piano, blanket, carpet, printer, trumpet, teapot, shelf, puzzle, harp, cradle, "
    "stove, wagon, lantern, locket, trophy, banjo, saddle, cello, barrel, easel, quilt, "
    "raft, rug, stool, tablet, tripod, tray, trunk, typewriter, wardrobe, whistle, "
    "bucket, cabinet, candle, compass"
)

_HELP: Final = (
    "repaired, fixed, mended, cleaned, restored, rescued, saved, protected, found, recovered, "
    "guarded, improved, polished, washed, rebuilt, decorated, dried, finished"
)
_HARM: Final = (
    "damaged, ruined, wrecked, destroyed, burned, stained, soaked, lost, scratched, smashed, "
    "crushed, spoiled, dented, cracked, kicked, mangled, ripped, dropped"
)
_NO_CONSEQUENCE: Final = (
    "noticed, looked at, walked past, pointed at, talked about, described, photographed, "
    "asked about, mentioned, glanced at, thought about, sketched, recognized, studied, "
    "remembered, imagined, inspected, moved"
)


_KIND: Final = words("asked about, described, thought about, sketched, remembered, studied")
_RUDE: Final = words("pointed at, walked past, talked about, photographed, moved, inspected")


def _acts(listed: str, kind: str) -> tuple[Act, ...]:
    leanings = dict.fromkeys(_KIND, "kind") | dict.fromkeys(_RUDE, "rude")
    return tuple(Act(past, kind, leanings.get(past, "")) for past in words(listed))


ACTS: Final = {
    "help": _acts(_HELP, "help"),
    "harm": _acts(_HARM, "harm"),
    "none": _acts(_NO_CONSEQUENCE, "none"),
}

TIMES: Final = words(
    "yesterday, last night, this morning, on Monday, on Friday, last week, after lunch, "
    "before dinner, two days ago, on Sunday, at noon, last month"
)
PLACES: Final = words(
    "in the kitchen, in the garden, at school, at work, in the hall, on the porch, in the "
    "garage, at the station, in the attic, by the river, at the market, in the office"
)

# Sentences that name the emotion in explicit texts.
EXPLICIT: Final = {
    "gratitude": (
        "I am grateful",
        "I feel thankful",
        "I feel grateful",
        "I am thankful",
        "I appreciate it",
    ),
    "anger": ("I am angry", "I feel furious", "I feel angry", "I am furious", "I am outraged"),
    "apology": (
        "I am sorry",
        "I feel guilty",
        "I feel sorry",
        "I am ashamed",
        "I regret it",
    ),
}
