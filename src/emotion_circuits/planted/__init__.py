"""Models whose emotion directions and circuits are known by construction."""

from emotion_circuits.planted.model import PlantedModel, build_planted
from emotion_circuits.planted.prompts import neutral_prompts, planted_prompts
from emotion_circuits.planted.shape import PlantedShape
from emotion_circuits.planted.truth import TRUTH_FILE, PlantedNode, PlantedTruth
from emotion_circuits.planted.vocabulary import Vocabulary, planted_emotions

__all__ = [
    "TRUTH_FILE",
    "PlantedModel",
    "PlantedNode",
    "PlantedShape",
    "PlantedTruth",
    "Vocabulary",
    "build_planted",
    "neutral_prompts",
    "planted_emotions",
    "planted_prompts",
]
