"""The report's sections, one per phase, and the whole report in order."""

from emotion_circuits.reporting.sections.study import Report, study_report

__all__ = ["Report", "study_report"]
