"""Training of the embedded models: tokenizers, architectures, loops, gates and model cards."""
