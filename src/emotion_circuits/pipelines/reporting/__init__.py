"""The report of a study: headline, page, Markdown and figures."""

from emotion_circuits.pipelines.reporting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
