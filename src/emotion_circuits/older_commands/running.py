"""Reading an older command line and running its pipeline."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import click
from kedro.framework.project import settings
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project
from omegaconf import OmegaConf

from emotion_circuits.config import ProfileConfigLoader
from emotion_circuits.errors import InputError
from emotion_circuits.older_commands.commands import COMMANDS, Command
from emotion_circuits.older_commands.inputs import set_inputs
from emotion_circuits.older_commands.targets import model_named, namespaces_of
from emotion_circuits.session import StudySession
from emotion_circuits.study import read_study


class Main(Protocol):
    """The function that a command's module calls."""

    def __call__(self, arguments: Sequence[str] | None = None) -> None:
        """Run the command with these arguments; None for those of the process."""


def command_line(name: str) -> Main:
    """Return the function ``main(arguments=None)`` of an older command.

    Args:
        name: Name of the command, such as ``run_phase2_activations``.

    Returns:
        A function that reads arguments (those of the process for None) and runs the command's
        pipeline. A wrong value ends the process with status 2 and argparse's message; other
        mistakes, such as a model that the profile lacks, with status 1 and one line.
    """
    command = COMMANDS[name]

    def main(arguments: Sequence[str] | None = None) -> None:
        parser = parser_of(name)
        asked = parser.parse_args(arguments)
        try:
            run(command, asked)
        except InputError as error:
            parser.exit(1, f"Error: {error}\n")
        except click.ClickException as error:
            parser.exit(error.exit_code, f"Error: {error.format_message()}\n")

    return main


def parser_of(name: str) -> ArgumentParser:
    """Build the parser of a command."""
    command = COMMANDS[name]
    parser = ArgumentParser(
        prog=name,
        description=command.about,
        epilog="Options without a default leave the profile's parameters as they are.",
        allow_abbrev=False,
    )
    parser.add_argument("--profile", default="baseline", help="folder in conf/ (default: baseline)")
    if command.scope != "none":
        parser.add_argument("--model", help="a model of the profile; else all of them")
    for option in command.options:
        option.add_to(parser)
    parser.add_argument(
        "--params",
        nargs="+",
        default=[],
        metavar="NAME=VALUE",
        type=_assignment,
        help="further parameters of the run, as of kedro run; they override options",
    )
    return parser


def _assignment(text: str) -> str:
    name, sign, _ = text.partition("=")
    if not name or not sign:
        raise ValueError(text)
    return text


def run(command: Command, asked: Namespace) -> None:
    """Run a command's pipeline with the parameters of its command line.

    Raises:
        InputError: If there is no project here, or the command line does not fit the profile.
        click.ClickException: If the run's input is wrong.
    """
    root = find_kedro_project(Path.cwd())
    if root is None:
        raise InputError(
            f"no Kedro project in {Path.cwd()} or above it; run from the project's folder"
        )
    bootstrap_project(root)
    namespaces, parameters = translate(command, asked, root)
    with StudySession.create(root, env=asked.profile, runtime_params=parameters) as session:
        assert isinstance(session, StudySession)
        # As ever, each command makes its files anew, from whatever the commands before it made.
        session.run(
            pipeline_names=[command.pipeline],
            namespaces=namespaces,
            wanted={"fresh": True, "accept_mixed": True},
        )


def translate(
    command: Command, asked: Namespace, root: Path
) -> tuple[list[str] | None, dict[str, Any]]:
    """Translate a command line into a run's namespaces and parameters.

    Args:
        command: The command.
        asked: Its command line.
        root: The project's folder.

    Returns:
        Models or pairs that the run is limited to, None for all; and nested runtime parameters.
    """
    loader = ProfileConfigLoader(
        str(root / settings.CONF_SOURCE), env=asked.profile, **settings.CONFIG_LOADER_ARGS
    )
    globals_ = loader["globals"]
    study = read_study(asked.profile, globals_)
    namespaces = namespaces_of(command, asked, study)
    parameters: dict[str, Any] = {}
    for option in command.options:
        option.set_in(parameters, getattr(asked, option.name), loader["parameters"])
    if command.scope == "results" and asked.model is not None:
        parameters["statistics"]["models"] = [model_named(asked.model, study)]
    set_inputs(parameters, asked, globals_, _models_of(namespaces, study.models))
    merged = OmegaConf.merge(OmegaConf.create(parameters), OmegaConf.from_dotlist(asked.params))
    return namespaces, dict(OmegaConf.to_container(merged))  # type: ignore[arg-type]


def _models_of(namespaces: list[str] | None, models: Sequence[str]) -> list[str]:
    """Return the models with a part in the namespaces, which are models or pairs."""
    if namespaces is None:
        return list(models)
    parts = {part for name in namespaces for part in name.split("_vs_")}
    return [model for model in models if model in parts]
