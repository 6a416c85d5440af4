"""Gates: abilities that the embedded models must show on texts they were not trained on."""

from emotion_circuits.training.gates.evaluators import evaluator_gates
from emotion_circuits.training.gates.language_models import language_model_gates

__all__ = ["evaluator_gates", "language_model_gates"]
