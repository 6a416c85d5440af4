"""Kedro's settings for this project; see Kedro's documentation on ``settings.py``."""

from emotion_circuits.config import ProfileConfigLoader
from emotion_circuits.hooks import ModelResidencyHook, PhaseTimingHook
from emotion_circuits.session import StudySession

SESSION_CLASS = StudySession
CONFIG_LOADER_CLASS = ProfileConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "baseline_smoke",
    "merge_strategy": {"parameters": "soft"},
}
HOOKS = (ModelResidencyHook(), PhaseTimingHook())
