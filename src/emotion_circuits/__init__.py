"""Locate, compare and steer emotions in language models, and find the heads that carry them."""

__version__ = "0.1.0"
