"""What heads read and write, from weights: QK, OV, composition, copying and the logit lens."""

from emotion_circuits.circuits.reading.composition import chance_score, composition_scores
from emotion_circuits.circuits.reading.copying import Copying, copying
from emotion_circuits.circuits.reading.lens import direction_logits, token_words
from emotion_circuits.circuits.reading.ov import (
    direction_gain,
    head_values,
    mean_write,
    random_gain,
    top_writes,
    unembedding,
)
from emotion_circuits.circuits.reading.qk import (
    TopScores,
    attention_scores,
    mean_preferences,
    top_pairs,
)
from emotion_circuits.circuits.reading.self_check import check_reading
from emotion_circuits.circuits.reading.vocabulary import Streams, token_streams
from emotion_circuits.circuits.reading.weights import AttentionWeights, attention_weights

__all__ = [
    "AttentionWeights",
    "Copying",
    "Streams",
    "TopScores",
    "attention_scores",
    "attention_weights",
    "chance_score",
    "check_reading",
    "composition_scores",
    "copying",
    "direction_gain",
    "direction_logits",
    "head_values",
    "mean_preferences",
    "mean_write",
    "random_gain",
    "token_streams",
    "token_words",
    "top_pairs",
    "top_writes",
    "unembedding",
]
