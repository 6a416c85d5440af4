"""Temporary files that killed runs left in a results folder."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Final

logger = logging.getLogger(__name__)

# Names that ``atomic_path`` and ``Checkpoint`` give to files before they are renamed.
_TEMPORARY: Final = re.compile(r"\..+\.[a-z0-9_]{8}\.tmp(\.[^.]+)?|\..+\.checkpoint\.new")


def remove_leftovers(folder: Path) -> list[Path]:
    """Delete temporary files of killed runs; checkpoints, which hold finished work, remain.

    Args:
        folder: A results folder whose lock this process holds, so that no file is in use.

    Returns:
        The deleted files.
    """
    paths = [path for path in sorted(folder.rglob(".*")) if _TEMPORARY.fullmatch(path.name)]
    removed = [path for path in paths if path.is_file() and not path.is_symlink()]
    for path in removed:
        path.unlink()
    if removed:
        logger.info("%d temporary files of a killed run were removed", len(removed))
    return removed
