"""Training the embedded models: tokenizers, architectures, loops, gates and model cards.

Streams are made from seeds here, not by ``emotion_circuits.seeds``: the shipped weights and cards
were drawn from them, and another stream would not give them again.
"""
