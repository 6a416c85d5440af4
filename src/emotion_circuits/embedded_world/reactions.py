"""How the speaker reacts: phrasings with the labels that evaluators should give them.

A phrasing is a core, which carries the emotion, and at most one courtesy, which sets politeness
independently of it. Each core has its own split, so that evaluators are trained on other
phrasings than those the language models learn to say.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from emotion_circuits.embedded_world.lexicon import words

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


@dataclass(frozen=True)
class Core:
    """A phrasing of a reaction.

    Attributes:
        id: ``<emotion>/<group>/<number>``.
        text: With the slots ``{name}`` and ``{object}``.
        emotion: What it expresses.
        goemotions: Which of the 28 labels apply.
        split: ``language_model`` (said by the language models, and test for the evaluators),
            ``train`` or ``validation`` (both for the evaluators).
    """

    id: str
    text: str
    emotion: str
    goemotions: tuple[str, ...]
    split: str


# Four phrasings a group; a group shares the word that carries the emotion. A label after "+"
# applies beside the emotion's own.
_GROUPS: Final = {
    "gratitude": (
        ("", "Thank you so much, {name}.", "Thank you for what you did with my {object}.",
         "I want to thank you, {name}.", "I thank you with all my heart."),
        ("", "Many thanks, {name}.", "Thanks for helping me with my {object}.",
         "A thousand thanks to you.", "Thanks a lot, {name}."),
        ("", "I am grateful to you, {name}.", "I feel so grateful for your help.",
         "You have made me very grateful.", "How grateful I am, {name}."),
        ("", "I am thankful for your help.", "I feel thankful to you, {name}.",
         "How thankful I am today.", "I am so thankful for my {object}."),
        ("", "I appreciate what you did, {name}.", "I really appreciate your help.",
         "I appreciate this so much.", "How I appreciate your help, {name}."),
        ("admiration", "That was so kind of you, {name}.", "What a kind thing to do for me.",
         "You are a kind person, {name}.", "It was kind of you to help me."),
        ("admiration", "You are wonderful, {name}.", "What wonderful help that was.",
         "It was wonderful of you to help me.", "You did wonderful work on my {object}."),
        ("joy", "You made me so happy, {name}.", "I am happy that you helped me.",
         "How happy you made me, {name}.", "I am so happy about my {object}."),
        ("relief", "What a relief that you helped me.", "It is a relief to have my {object} back.",
         "You gave me such relief, {name}.", "I feel relief because of your help."),
        ("", "You helped me so much, {name}.", "Nobody ever helped me like this.",
         "Your help means the world to me.", "Your help means a lot to me."),
    ),
    "anger": (
        ("", "I am angry with you, {name}.", "You make me so angry.",
         "How angry I am about my {object}.", "I have never been this angry, {name}."),
        ("", "I am furious about my {object}.", "You made me furious, {name}.",
         "I feel furious right now.", "How furious this makes me."),
        ("", "This makes me so mad.", "I am mad at you, {name}.",
         "I am mad about what you did.", "How mad I am about my {object}."),
        ("", "This is an outrage, {name}.", "What an outrage this is.",
         "What you did is an outrage.", "It is an outrage what you did to my {object}."),
        ("", "I hate what you did to my {object}.", "I hate this, {name}.",
         "I hate that you did this.", "How I hate what you did."),
        ("", "How dare you, {name}.", "How dare you touch my {object}.",
         "You dare to do this to me.", "Do not dare to do this again."),
        ("disapproval", "I will not accept this, {name}.", "I cannot accept what you did.",
         "I will never accept this.", "I do not accept what you did to my {object}."),
        ("disapproval", "This was wrong of you, {name}.", "What you did was wrong.",
         "It is wrong to do this to me.", "How wrong of you to touch my {object}."),
        ("", "Stop touching my {object}.", "Stop it right now, {name}.",
         "You must stop doing this to me.", "Stop this at once."),
        ("annoyance", "I am annoyed with you, {name}.", "How annoyed I am about my {object}.",
         "You made me so annoyed.", "I feel annoyed right now, {name}."),
    ),
    "apology": (
        ("", "I am so sorry, {name}.", "I am sorry about your {object}.",
         "Sorry for what I did, {name}.", "I am truly sorry for this."),
        ("", "I apologize, {name}.", "I want to apologize for your {object}.",
         "I must apologize to you.", "Let me apologize for what I did."),
        ("", "Accept my apology, {name}.", "I owe you an apology.",
         "You have my apology for this.", "My apology for your {object}, {name}."),
        ("", "Forgive me, {name}.", "I hope you forgive me for this.",
         "I hope you can forgive me, {name}.", "Forgive me for what I did to your {object}."),
        ("", "I regret what I did, {name}.", "I regret this so much.",
         "How I regret what I did to your {object}.", "I will always regret this."),
        ("embarrassment", "I am ashamed of what I did.", "I feel ashamed, {name}.",
         "How ashamed I am about your {object}.", "I am so ashamed of myself."),
        ("", "I feel guilty, {name}.", "I feel so guilty about your {object}.",
         "How guilty I feel for this.", "I am guilty of this, {name}."),
        ("", "It was my fault, {name}.", "All of this is my fault.",
         "What happened to your {object} is my fault.", "This was my own fault."),
        ("", "I made a bad mistake, {name}.", "It was my mistake.",
         "My mistake cost you your {object}.", "I will never make this mistake again."),
        ("caring", "Let me pay for your {object}.", "I will pay you back, {name}.",
         "I want to pay for what I did.", "I must pay for your {object}, {name}."),
    ),
    "neutral": (
        ("", "I will make some tea now.", "There is tea on the table.",
         "The tea is in the kitchen.", "I drink tea at noon, {name}."),
        ("", "It may rain later today.", "It looks like rain, {name}.",
         "The rain will end later.", "There was some rain at noon."),
        ("", "It is almost noon.", "It will be noon soon, {name}.",
         "At noon we go home.", "The day begins before noon."),
        ("", "I will go to the shop later.", "The shop opens at noon.",
         "The shop is down the street.", "There is a shop near the station."),
        ("", "I have work to do now.", "There is work to do today.",
         "My work begins at noon.", "Now I go back to work, {name}."),
        ("", "The bus comes at noon.", "I will take the bus home.",
         "The bus goes down the street.", "There is a bus at the station, {name}."),
        ("", "The window is open.", "I will open the window now.",
         "The window is near the door.", "There is a window in the hall."),
        ("", "The {object} is on the table.", "The {object} is near the door.",
         "There is a {object} in the hall.", "The {object} stays in the kitchen."),
        ("curiosity", "What time is it, {name}?", "Where is the {object} now?",
         "What is on the table today?", "Where do we go now, {name}?"),
        ("", "I will read a book tomorrow.", "I will read at home later.",
         "Tomorrow I read in the garden.", "I read a book at home, {name}."),
    ),
}  # fmt: skip

_OWN_LABEL: Final = {
    "gratitude": "gratitude",
    "anger": "anger",
    "apology": "remorse",
    "neutral": "neutral",
}


def _split_of(group: int, number: int) -> str:
    """Two of each four phrasings are said by language models, alternately the even and the odd.

    Of the evaluators' two, every fifth group's last one is for validation.
    """
    if (group + number) % 2 == 0:
        return "language_model"
    return "validation" if group % 5 == 4 and number >= 2 else "train"


CORES: Final = tuple(
    Core(
        id=f"{emotion}/{group}/{number}",
        text=text,
        emotion=emotion,
        goemotions=(_OWN_LABEL[emotion], *filter(None, [label])),
        split=_split_of(group, number),
    )
    for emotion, groups in _GROUPS.items()
    for group, (label, *texts) in enumerate(groups)
    for number, text in enumerate(texts)
)


@dataclass(frozen=True)
class Courtesy:
    """Words around a core that set its politeness.

    Attributes:
        id: ``<politeness>/<number>``.
        before: Goes before the core; may be empty.
        after: Goes after the core; may be empty.
        politeness: One of ``POLITENESS``.
        split: As for cores.
    """

    id: str
    before: str
    after: str
    politeness: str
    split: str


_COURTESIES: Final = {
    "neutral": (("", ""),),
    "polite": (
        ("With all respect, dear {name}: ", ""), ("Dear {name}, with respect: ", ""),
        ("", " I say this with respect, dear {name}."), ("My dear {name}: ", ""),
        ("", " With great respect, {name}."), ("I say with respect: ", ""),
        ("", " With respect, my dear {name}."), ("Dear {name}, let me say: ", ""),
    ),
    "somewhat polite": (
        ("Please listen: ", ""), ("", " Please hear me."), ("If I may: ", ""),
        ("", " If I may say so."), ("Please, {name}: ", ""), ("If you please: ", ""),
        ("", " Please believe me."), ("If I may say it, {name}: ", ""),
    ),
    "impolite": (
        ("Listen, you fool: ", ""), ("", " You stupid fool."), ("Hey, idiot: ", ""),
        ("", " Now get lost, idiot."), ("You stupid idiot: ", ""), ("", " Get lost, you fool."),
        ("Shut up, fool: ", ""), ("", " Now shut up, stupid."),
    ),
}  # fmt: skip


COURTESIES: Final = tuple(
    Courtesy(
        id=f"{politeness}/{number}",
        before=before,
        after=after,
        politeness=politeness,
        # "No courtesy" has one form only, which everybody shares.
        split="all" if politeness == "neutral" else ("language_model", "train")[number % 4 // 2],
    )
    for politeness, forms in _COURTESIES.items()
    for number, (before, after) in enumerate(forms)
)


@dataclass(frozen=True)
class Phrasing:
    """A core with a courtesy: one reaction template."""

    core: Core
    courtesy: Courtesy

    @property
    def id(self) -> str:
        """Identifies the template."""
        return f"{self.core.id}+{self.courtesy.id}"

    def say(self, name: str, thing: str) -> str:
        """Fill the slots with a person's name and an object."""
        text = f"{self.courtesy.before}{self.core.text}{self.courtesy.after}"
        return text.format(name=name, object=thing)


def _pattern(core: Core) -> re.Pattern[str]:
    slots = re.escape(core.text).replace(r"\{name\}", r"\w+").replace(r"\{object\}", r"\w+")
    return re.compile(rf"(?:^|: |\. ){slots}")


_PATTERNS: Final = tuple((_pattern(core), core) for core in CORES)


def recognize(text: str) -> Core | None:
    """Find which phrasing a text uses, by its words and not by any model.

    Args:
        text: What was said; only its first line counts.

    Returns:
        The first core whose words occur in the text as a whole, or None.
    """
    line = text.strip().split("\n")[0]
    return next((core for pattern, core in _PATTERNS if pattern.search(line)), None)
