"""Kedro's settings for this project; see Kedro's documentation on ``settings.py``."""

import warnings

from emotion_circuits.config import ProfileConfigLoader
from emotion_circuits.hooks import (
    HubTokenHook,
    ModelResidencyHook,
    OptionalInputHook,
    PhaseTimingHook,
)
from emotion_circuits.log_lines import PlainLogHook
from emotion_circuits.provenance import ProvenanceHook
from emotion_circuits.session import StudySession
from emotion_circuits.study_check import StudyCheckHook
from emotion_circuits.tracking import TrackingHook

# Kedro 1.7 itself calls OmegaConf's deprecated function; users cannot change that.
warnings.filterwarnings("ignore", message="register_new_resolver", category=UserWarning)
# A phase over all models reads datasets from their namespaces, which Kedro writes with a dot.
warnings.filterwarnings(
    "ignore", message="One or more dataset names contain '.'", category=UserWarning
)

SESSION_CLASS = StudySession
CONFIG_LOADER_CLASS = ProfileConfigLoader
CONFIG_LOADER_ARGS = {
    "base_env": "base",
    "default_run_env": "baseline_smoke",
    "merge_strategy": {"parameters": "soft"},
}
HOOKS = (
    PlainLogHook(),
    HubTokenHook(),
    OptionalInputHook(),
    StudyCheckHook(),
    ModelResidencyHook(),
    PhaseTimingHook(),
    ProvenanceHook(),
    TrackingHook(),
)
# TrackingHook starts it for the runs that ask for it.
DISABLE_HOOKS_FOR_PLUGINS = ("kedro_mlflow",)
