"""Run the study from any folder of the project: ``python -m emotion_circuits --env=…``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from kedro.framework.cli.utils import find_run_command
from kedro.framework.project import configure_project
from kedro.utils import find_kedro_project


def main(*args: Any, **kwargs: Any) -> Any:
    """Run ``kedro run`` with the arguments from the command line."""
    root = find_kedro_project(Path.cwd())
    if root is not None:
        sys.path.insert(0, str(root / "src"))
    configure_project(Path(__file__).parent.name)
    return find_run_command(Path(__file__).parent.name)(*args, **kwargs)


if __name__ == "__main__":
    main()
