"""What every test shares: shapes are checked, threads are few, nothing is written to results/."""

from jaxtyping import install_import_hook

# Shapes in annotations are checked while tests run, and cost nothing otherwise. The hook must be
# in place before the packages are imported first.
install_import_hook(
    [
        "emotion_circuits.circuits",
        "emotion_circuits.evaluation",
        "emotion_circuits.experiments",
        "emotion_circuits.geometry",
        "emotion_circuits.interventions",
        "emotion_circuits.language_models",
        "emotion_circuits.prompts",
        "emotion_circuits.statistics",
        "emotion_circuits.training",
    ],
    "beartype.beartype",
)

import os  # noqa: E402
from pathlib import Path  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402

# Tests run in several processes; more threads than cores would only slow them down.
torch.set_num_threads(1)
threadpool_limits(1)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
# Nothing in the tests may reach for the network.
os.environ["HF_HUB_OFFLINE"] = "1"

# Timing per example says nothing on a busy machine; the examples themselves are reproducible.
settings.register_profile("suite", deadline=None, derandomize=True)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def project_root() -> Path:
    """The project's folder."""
    return Path(__file__).resolve().parent.parent
