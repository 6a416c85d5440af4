"""Recording activations and gradients, without changing what a model computes."""
