"""The whole chain on models whose truth is known: recovered against true."""

from __future__ import annotations

import logging

import pandas as pd

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.selfcheck.examination import UNPLANTED_CIRCUITS, Examination
from emotion_circuits.pipelines.selfcheck.phases import Phases
from emotion_circuits.pipelines.selfcheck.settings import SelfcheckSettings
from emotion_circuits.pipelines.selfcheck.subjects import subjects
from emotion_circuits.planted.recovery import (
    check_nothing_found,
    check_table,
    significant_circuits,
    significant_heads,
)

logger = logging.getLogger(__name__)


def examine_models(phases: Phases, settings: SelfcheckSettings) -> pd.DataFrame:
    """Run the phases on every model, and compare what they recover with what is true.

    Args:
        phases: The study's phases.
        settings: Parameters of the selfcheck.

    Returns:
        One line per comparison: ``model``, ``check``, ``subject``, ``recovered``, ``bar``,
        ``at_least`` and ``passed``. Models in which nothing is planted have one line together.

    Raises:
        InputError: If a model's folder is incomplete or invalid.
    """
    tables: list[pd.DataFrame] = []
    findings: dict[str, dict[str, int]] = {"models_with_findings": {}, "models_with_circuits": {}}
    for subject in subjects(settings):
        examination = Examination(subject, phases, settings)
        if subject.planted:
            table = check_table(examination.checks())
            table.insert(0, "model", subject.name)
            logger.info(
                "%s: %d of %d bars reached", subject.name, int(table["passed"].sum()), len(table)
            )
            tables.append(table)
        else:
            heads = significant_heads(examination.screened(), alpha=settings.alpha)
            circuits = significant_circuits(
                examination.find_circuits(UNPLANTED_CIRCUITS), alpha=settings.alpha
            )
            findings["models_with_findings"][subject.name] = len(heads)
            findings["models_with_circuits"][subject.name] = len(circuits)
            logger.info(
                "%s: significant heads: %s; circuits: %s",
                *(subject.name, heads or "none", circuits or "none"),
            )
    if findings["models_with_findings"]:
        table = check_table(
            check_nothing_found(name, of_models, alpha=settings.alpha)
            for name, of_models in findings.items()
        )
        table.insert(0, "model", "unplanted")
        tables.append(table)
    return pd.concat(tables, ignore_index=True)


def judge_recovery(recovered: pd.DataFrame) -> None:
    """Log the comparisons by kind, and refuse results that miss a bar.

    Raises:
        InputError: If a bar is missed.
    """
    logger.info("Recovered against true:\n%s", summarize(recovered).to_string(index=False))
    missed = recovered[~recovered["passed"].astype(bool)]
    if len(missed):
        logger.info("Missed:\n%s", missed.to_string(index=False))
        first = missed.iloc[0]
        sign = ">=" if first["at_least"] else "<="
        raise InputError(
            f"{len(missed)} of {len(recovered)} bars are missed, by {missed['model'].nunique()} of "
            f"{recovered['model'].nunique()} models; the first is {first['check']} of "
            f"{first['model']} ({first['subject']}): {first['recovered']:.3g}, must be {sign} "
            f"{first['bar']:g}; all are in selfcheck/recovered.csv"
        )


def summarize(recovered: pd.DataFrame) -> pd.DataFrame:
    """Return one line per kind of comparison: their number, how many passed, and the worst."""
    lines = []
    for check, part in recovered.groupby("check", sort=False):
        at_least = bool(part["at_least"].iloc[0])
        values = part["recovered"].astype(float)
        lines.append(
            {
                "check": check,
                "models": part["model"].nunique(),
                "comparisons": len(part),
                "passed": int(part["passed"].sum()),
                "mean": round(float(values.mean()), 3),
                "worst": round(float(values.min() if at_least else values.max()), 3),
                "bar": f"{'>=' if at_least else '<='} {part['bar'].iloc[0]:g}",
            }
        )
    return pd.DataFrame(lines)
