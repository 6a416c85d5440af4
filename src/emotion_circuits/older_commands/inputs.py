"""Options that name files, folders and labels."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from emotion_circuits.errors import InputError
from emotion_circuits.older_commands.options import set_nested


def set_inputs(
    parameters: dict[str, Any],
    asked: Namespace,
    globals_: Mapping[str, Any],
    models: Sequence[str],
) -> None:
    """Write a command's files, folders and labels into its parameters.

    Args:
        parameters: Nested parameters, which are changed.
        asked: The command line's values.
        globals_: The profile's ``globals.yml``.
        models: Models that the command runs.

    Raises:
        InputError: If a file is missing, or one file stands for several models.
    """
    options = vars(asked)
    if options.get("activations"):
        parameters["activations_file"] = activations_file(Path(asked.activations), models)
    if options.get("subspace_dir"):
        folder = Path(asked.subspace_dir)
        for model in models:
            _check_file(folder / f"{model}_subspaces.pkl")
        parameters["subspaces_root"] = str(folder)
    if options.get("prefer_prompts"):
        beside = Path(asked.input or globals_["dataset_input"]).with_suffix(".json")
        if beside.is_file():
            set_nested(parameters, "dataset.input", str(beside))
            set_nested(parameters, "dataset.format", "prompt_json")
    if options.get("emotions"):
        neutral = globals_.get("neutral") or "neutral"
        names = [label for label in asked.emotions if label != neutral]
        set_nested(parameters, "emotions.names", names)
        set_nested(parameters, "dataset.other_labels", "drop")


def activations_file(path: Path, models: Sequence[str]) -> str:
    """Return the pattern of the files of activations, with ``{model}`` for the model's name.

    Args:
        path: A file, or a folder with ``<model>.pkl``.
        models: Models that are run.

    Raises:
        InputError: If a file is missing, or one file is given for several models.
    """
    if path.is_dir():
        for model in models:
            _check_file(path / f"{model}.pkl")
        return str(path / "{model}.pkl")
    _check_file(path)
    if len(models) != 1:
        raise InputError(
            f"--activations is one file, {str(path)!r}, for models {', '.join(models)}; give "
            "--model, or a folder with a file <model>.pkl of each"
        )
    return str(path)


def _check_file(path: Path) -> None:
    if not path.is_file():
        raise InputError(f"there is no file {str(path)!r}")
