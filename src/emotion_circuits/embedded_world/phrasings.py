"""Phrasings: sentences for each emotion, and words that set politeness and intensity.

Each phrasing belongs to one split, so evaluators are trained on other phrasings than the language
models.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Core:
    """A phrasing of a reaction.

    Attributes:
        id: ``<emotion>/<group>/<number>``.
        text: The sentence, with the slots ``{name}`` and ``{object}``.
        emotion: The emotion that it expresses.
        goemotions: The GoEmotions labels that apply.
        split: ``language_model`` (training of the language models and test of the evaluators),
            ``train`` or ``validation`` (both of the evaluators).
    """

    id: str
    text: str
    emotion: str
    goemotions: tuple[str, ...]
    split: str

    @property
    def group(self) -> str:
        """Name of the group of phrasings that share a word."""
        return self.id.rsplit("/", 1)[0]


# Each group has four phrasings that share the word for the emotion. The first string of a group is
# a GoEmotions label that applies in addition to the emotion's own; it may be empty.
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
    """Return the split of a phrasing.

    In each group two of the four phrasings go to the language models, alternately the even and the
    odd ones. Of the evaluators' two, the last one of every fifth group is for validation.
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
class Frame:
    """Words around a reaction that are independent of its emotion.

    Attributes:
        id: ``<level>/<number>``.
        before: Words before the reaction; may be empty.
        after: Words after the reaction; may be empty.
        level: A level of politeness or of intensity.
        split: As for ``Core``; ``all`` for the frame without words, which all splits share.
    """

    id: str
    before: str
    after: str
    level: str
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

_INTENSITIES: Final = {
    "plain": (("", ""),),
    "strong": (
        ("", " I say it as loud as I can."), ("", " I will say it a hundred times."),
        ("", " I say it again and again."), ("", " I say it with all my strength."),
    ),
    "mild": (
        ("", " That is all I say."), ("", " I say it in a low voice."),
        ("", " I say no more than that."), ("", " I just wanted to say it."),
    ),
}  # fmt: skip


def _frames(listed: dict[str, tuple[tuple[str, str], ...]]) -> tuple[Frame, ...]:
    return tuple(
        Frame(
            id=f"{level}/{number}",
            before=before,
            after=after,
            level=level,
            split="all" if len(forms) == 1 else ("language_model", "train")[number % 4 // 2],
        )
        for level, forms in listed.items()
        for number, (before, after) in enumerate(forms)
    )


COURTESIES: Final = _frames(_COURTESIES)
INTENSITIES: Final = _frames(_INTENSITIES)
