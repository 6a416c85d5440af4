"""Find, compare, move and dissect emotions inside language models."""

__version__ = "0.1.0"
