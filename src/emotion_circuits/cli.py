"""The project's command line: Kedro's, and ``kedro run --verbose``."""

from __future__ import annotations

import logging
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import CONTEXT_SETTINGS

from emotion_circuits.progress import show_all_bars

_HELP = "Log each node and what Kedro does, and keep all progress bars."


@click.group(context_settings=CONTEXT_SETTINGS, name=__file__)
def cli() -> None:
    """Commands of the project."""


@cli.command(
    name="run",
    params=[*kedro_run.params, click.Option(["--verbose"], is_flag=True, help=_HELP)],
    help=kedro_run.help,
)
def run(*, verbose: bool, **arguments: Any) -> Any:
    """Run pipelines as ``kedro run`` does; with ``verbose``, say more."""
    if verbose:
        _say_more()
    assert kedro_run.callback is not None
    return kedro_run.callback(**arguments)


def _say_more() -> None:
    show_all_bars()
    for name in ("kedro", "emotion_circuits.runners"):
        logging.getLogger(name).setLevel(logging.INFO)
    logging.getLogger("emotion_circuits").setLevel(logging.DEBUG)
    for handler in logging.getLogger().handlers:
        handler.setLevel(logging.DEBUG)
