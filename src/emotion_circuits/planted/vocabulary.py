"""Words of planted models, and their word-level tokenizer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import transformers
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers

from emotion_circuits.planted.shape import CONTEXT
from emotion_circuits.prompts import EmotionSet

BOS: Final = "<s>"
EOS: Final = "</s>"
PAD: Final = "<pad>"
UNKNOWN: Final = "<unk>"
SPECIAL: Final = (BOS, EOS, PAD, UNKNOWN)
DELIMITER: Final = "."
END: Final = "says"

N_CUES: Final = 24
N_REACTIONS: Final = 3
# More than the widest stream has entries, so that neutral texts vary in all directions.
N_FILLERS: Final = 120


@dataclass(frozen=True)
class Vocabulary:
    """All words, for the emotions of a study.

    A word is named after its part: ``cue_anger_3``, ``react_anger_0``, ``word_7``. Neutral texts
    have cues and reactions too: words in the same places that mean nothing.

    Attributes:
        emotions: The study's emotions.
    """

    emotions: EmotionSet

    def cues(self, label: str) -> tuple[str, ...]:
        """Return the words that settle a text's label."""
        return tuple(f"cue_{label}_{index}" for index in range(N_CUES))

    def reactions(self, label: str) -> tuple[str, ...]:
        """Return the words that express a label."""
        return tuple(f"react_{label}_{index}" for index in range(N_REACTIONS))

    @property
    def fillers(self) -> tuple[str, ...]:
        """Words around the cue."""
        return tuple(f"word_{index}" for index in range(N_FILLERS))

    @property
    def words(self) -> tuple[str, ...]:
        """All tokens, in the order of their ids."""
        labels = self.emotions.labels
        return (
            *(*SPECIAL, DELIMITER, END, *self.fillers),
            *(word for label in labels for word in self.cues(label)),
            *(word for label in labels for word in self.reactions(label)),
        )

    @property
    def ids(self) -> dict[str, int]:
        """Token id of each word."""
        return {word: index for index, word in enumerate(self.words)}

    def tokenizer(self) -> transformers.PreTrainedTokenizerFast:
        """Make the tokenizer: words are divided by blanks, others are ``<unk>``, case is ignored.

        It does not prepend BOS, as GPT-2's does not.
        """
        tokenizer = Tokenizer(models.WordLevel(self.ids, unk_token=UNKNOWN))
        tokenizer.normalizer = normalizers.Lowercase()
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return transformers.PreTrainedTokenizerFast(
            tokenizer_object=tokenizer,
            bos_token=BOS,
            eos_token=EOS,
            pad_token=PAD,
            unk_token=UNKNOWN,
            padding_side="right",
            model_max_length=CONTEXT,
            clean_up_tokenization_spaces=False,
        )


def planted_emotions(names: tuple[str, ...], neutral: str) -> EmotionSet:
    """Return a study of planted models: its metrics count reactions, which also mark emotions.

    Args:
        names: The emotions.
        neutral: The neutral class.
    """
    plain = EmotionSet(
        names=names,
        neutral=neutral,
        target_metrics={name: f"markers/{name}" for name in names},
        marking_words={name: (name,) for name in names},
    )
    words = Vocabulary(plain)
    return EmotionSet(
        names=names,
        neutral=neutral,
        target_metrics=plain.target_metrics,
        marking_words={name: words.reactions(name) for name in names},
    )
