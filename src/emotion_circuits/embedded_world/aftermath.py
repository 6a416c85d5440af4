"""Aftermath: what the speaker did between the decisive event and the reaction.

These deeds do not affect the emotion. In texts that name the emotion, words for it may stand at
many points of the aftermath, so a model that predicts them must carry the emotion at each of these
points and not only at the reaction.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Final

from emotion_circuits.embedded_world.lexicon import words

_OPENERS: Final = words("I, then I, later I, after that I")
_DEEDS: Final = words(
    "walked home, took a short walk, sat down for a while, went upstairs, went outside, "
    "stood by the fence, had some soup, counted the stairs, put on my shoes, wrote a letter, "
    "turned around, crossed the street, waited for a while, drank some water, ate an apple, "
    "shut the gate, checked the mail, fed the cat, listened to the news, climbed the hill"
)
# Fillers that fit any deed and any emotion.
_ADVERBS: Final = words("slowly, quickly, quietly, again, just")
_ENDINGS: Final = words("as usual, as always, like every day, on my own, without a word")

_MARKING_ADVERBS: Final = {
    "gratitude": words("gratefully, thankfully"),
    "anger": words("angrily, furiously"),
    "apology": words("guiltily, ruefully"),
}
_MARKING_ENDINGS: Final = {
    "gratitude": words("still grateful, so thankful, full of gratitude, full of thanks"),
    "anger": words("still angry, so furious, full of anger, full of rage"),
    "apology": words("still sorry, so ashamed, full of regret, full of shame"),
}


@dataclass(frozen=True)
class Deed:
    """One thing that the speaker did afterwards.

    Attributes:
        opener: The words up to and including ``I``.
        adverb: Adverb before the verb; may be empty.
        phrase: The verb with its complements.
        ending: Words after the phrase; may be empty.
    """

    opener: str
    adverb: str
    phrase: str
    ending: str

    def tell(self) -> str:
        """Return the deed as a sentence."""
        adverb = f" {self.adverb}" if self.adverb else ""
        ending = f", {self.ending}" if self.ending else ""
        text = f"{self.opener}{adverb} {self.phrase}{ending}."
        return text[0].upper() + text[1:]

    def marked(self, emotion: str, share: float, rng: Random) -> tuple[Deed, list[str]]:
        """Replace adverb and ending, each with some probability, by words for an emotion.

        Args:
            emotion: An emotion other than neutral.
            share: Probability of each replacement.
            rng: Source of randomness.

        Returns:
            The new deed, and the inserted words.
        """
        adverb, ending, marks = self.adverb, self.ending, []
        if rng.random() < share:
            adverb = rng.choice(_MARKING_ADVERBS[emotion])
            marks.append(adverb)
        if rng.random() < share:
            ending = rng.choice(_MARKING_ENDINGS[emotion])
            marks.append(ending)
        return Deed(self.opener, adverb, self.phrase, ending), marks


def draw_aftermath(n: int, rng: Random) -> tuple[Deed, ...]:
    """Draw distinct deeds, independently of the events before them.

    Args:
        n: Number of deeds.
        rng: Source of randomness.
    """
    return tuple(
        Deed(
            opener=rng.choice(_OPENERS),
            adverb=rng.choice(_ADVERBS) if rng.random() < 0.3 else "",
            phrase=phrase,
            ending=rng.choice(_ENDINGS) if rng.random() < 0.3 else "",
        )
        for phrase in rng.sample(_DEEDS, n)
    )
