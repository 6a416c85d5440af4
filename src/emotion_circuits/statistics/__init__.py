"""Effect sizes, intervals and tests; pure numpy and pandas."""

from emotion_circuits.statistics.auroc import AurocEstimate, auroc, estimate_auroc

__all__ = ["AurocEstimate", "auroc", "estimate_auroc"]
