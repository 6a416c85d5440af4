"""The texts of a study: their emotions, their validation, and their pairs and halves."""

from emotion_circuits.prompts.clusters import CLUSTER, clusters_of
from emotion_circuits.prompts.emotion_set import EmotionSet
from emotion_circuits.prompts.emotion_words import emotion_word
from emotion_circuits.prompts.halves import PAIR_HALVES, Halves, halve_clusters, halve_texts
from emotion_circuits.prompts.neutral import choose_neutral
from emotion_circuits.prompts.pairing import assign_splits, limit_samples, pair_texts
from emotion_circuits.prompts.pairs import choose_pairs, pair_indices
from emotion_circuits.prompts.records import PromptSource, SourceRecord
from emotion_circuits.prompts.standard_form import COLUMNS, standard_form

__all__ = [
    "CLUSTER",
    "COLUMNS",
    "PAIR_HALVES",
    "EmotionSet",
    "Halves",
    "PromptSource",
    "SourceRecord",
    "assign_splits",
    "choose_neutral",
    "choose_pairs",
    "clusters_of",
    "emotion_word",
    "halve_clusters",
    "halve_texts",
    "limit_samples",
    "pair_indices",
    "pair_texts",
    "standard_form",
]
