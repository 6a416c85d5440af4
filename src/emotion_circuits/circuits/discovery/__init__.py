"""Circuits found on one half of the pairs, and tested on the other against controls."""
