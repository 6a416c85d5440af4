"""The whole chain on models whose emotion directions and heads are known by construction."""

from emotion_circuits.pipelines.selfcheck.pipeline import create_pipeline

__all__ = ["create_pipeline"]
