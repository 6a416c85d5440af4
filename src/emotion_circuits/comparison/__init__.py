"""Comparison of two sets of results, value by value."""

from emotion_circuits.comparison.folders import compare_results
from emotion_circuits.comparison.nested import compare_nested
from emotion_circuits.comparison.tables import compare_tables
from emotion_circuits.comparison.tally import Tally

__all__ = ["Tally", "compare_nested", "compare_results", "compare_tables"]
