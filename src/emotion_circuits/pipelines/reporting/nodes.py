"""The report of a study, from whatever results there are."""

from __future__ import annotations

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import pandas as pd
from pydantic import BaseModel

from emotion_circuits.errors import InputError
from emotion_circuits.node_marks import reads_more_than_its_inputs, takes_what_is_there
from emotion_circuits.prompts import EmotionSet
from emotion_circuits.redaction import without_secrets
from emotion_circuits.reporting.answers import headline_table
from emotion_circuits.reporting.continuations import pick_continuations
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections import study_report

# Between a result's name and its owner in the names of inputs; no owner's name holds a blank.
OF: Final = " of "
AND: Final = " and "

# Packages whose versions may change a result.
_PACKAGES: Final = (
    *("emotion-circuits", "kedro", "numpy", "pandas", "scikit-learn", "scipy", "statsmodels"),
    *("torch", "transformer-lens", "transformers"),
)


@takes_what_is_there
def choose_continuations(
    emotions: EmotionSet,
    residual_sweep: Mapping[str, Any] | None,
    random_sweep: Mapping[str, Any] | None,
    residual_selection: pd.DataFrame | None,
    residual_prompting_texts: pd.DataFrame | None,
) -> dict[str, Any]:
    """Choose the continuations that the report shows; an empty table without a sweep.

    Raises:
        InputError: If a sweep has no texts for what its selection chose.
    """
    if residual_sweep is None or residual_selection is None:
        return {}
    try:
        return pick_continuations(
            residual_sweep,
            random_sweep,
            residual_selection,
            residual_prompting_texts,
            emotions.target_metrics,
        )
    except KeyError as error:
        raise InputError(
            f"the residual sweep has no texts for {error}, which its selection chose; run "
            "--pipelines=residual_patching again"
        ) from error


# Its log of times, and the parameters of all phases, are others after each run.
@reads_more_than_its_inputs
@takes_what_is_there
def write_report(
    profile: str,
    emotions: EmotionSet,
    parameters: Mapping[str, Any],
    model_table: Mapping[str, Mapping[str, Any]],
    **results: Any,
) -> tuple[pd.DataFrame, str, dict[str, str]]:
    """Write the report of a study.

    Args:
        profile: Name of the profile.
        emotions: The study's emotions.
        parameters: The parameters of all phases.
        model_table: The profile's models.
        results: Results by their name, ``<name> of <model>`` or ``<name> of <A> and <B>``; None for
            a missing one.

    Returns:
        The headline of each model and emotion; the page; and Markdown and figures by file name.
    """
    pairs = tuple(
        (first, second)
        for first, _, second in (
            owner.partition(AND) for owner in dict.fromkeys(map(_owner, results))
        )
        if second
    )
    report = study_report(
        StudyResults(
            profile=profile,
            emotions=emotions,
            models=tuple(model_table),
            pairs=pairs,
            values={_catalog_name(name): value for name, value in results.items()},
            configuration=_configuration(parameters, emotions, model_table),
            versions={"python": platform.python_version()}
            | {name: version(name) for name in _PACKAGES},
        )
    )
    return headline_table(report.headlines), report.page, report.files


def _owner(name: str) -> str:
    return name.partition(OF)[2]


def _catalog_name(name: str) -> str:
    result, _, owner = name.partition(OF)
    return f"{owner.replace(AND, '_vs_')}.{result}" if owner else result


def _configuration(
    parameters: Mapping[str, Any],
    emotions: EmotionSet,
    model_table: Mapping[str, Mapping[str, Any]],
) -> dict[str, Any]:
    """Return all parameters as plain data; Kedro has validated those of the requested phases."""
    plain = {name: _plain(value) for name, value in parameters.items()}
    return plain | {"emotions": _plain(emotions), "models": _plain(model_table)}


def _plain(value: Any) -> Any:
    """Return plain data in which a parameter looks the same whether it was validated or not."""
    if isinstance(value, BaseModel):
        # Dumped by fields, since a validated default is no part of the configuration.
        return {name: _plain(getattr(value, name)) for name in sorted(value.model_fields_set)}
    if isinstance(value, Mapping):
        return {str(name): _plain(item) for name, item in sorted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float) and value.is_integer():
        return int(value)
    return without_secrets(value) if isinstance(value, str) else value
