"""The shipped model that is steered, with all that belongs to it."""

from steered_model import activations, evaluator, fresh, model, models, prompts, subspaces, vectors

__all__ = [
    "activations",
    "evaluator",
    "fresh",
    "model",
    "models",
    "prompts",
    "subspaces",
    "vectors",
]
