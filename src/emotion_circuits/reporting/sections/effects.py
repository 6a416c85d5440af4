"""The section on statistics: the study's claims, their tests and their power."""

from __future__ import annotations

from typing import Any, Final

from emotion_circuits.reporting.blocks import Block, Section, TableBlock, drawing, not_run
from emotion_circuits.reporting.claims import confirmatory
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import count, estimate, p, table_of, text, value
from emotion_circuits.reporting.sections.warnings import few_texts

_KEY: Final = "statistics"
_TITLE: Final = "The claims and their statistics"


def effects_section(results: StudyResults) -> Section:
    """Return the section on phase 7."""
    power = results.get("power_analysis")
    if power is None:
        return Section(_KEY, _TITLE, (not_run("Phase 7", "statistics", results.profile),))
    claims = confirmatory(power)
    warning = few_texts(claims["n_effective"].min())
    blocks: list[Block] = [
        *drawing(
            "claims",
            results.get("claims_figure"),
            note="One claim per model and emotion: its own score at the layer and strength that "
            "other prompts chose. Under random directions, texts are the samples of the interval; "
            "whether the direction is special is in the table.",
            warning=warning,
        ),
        *drawing(
            "power",
            results.get("power_figure"),
            note="Power at the effect that was seen says no more than its p-value; plan with the "
            "smallest effect.",
            warning=warning,
        ),
    ]
    blocks += table_of(
        "Claims",
        claims,
        {
            "model": text("model_name"),
            "emotion": text("emotion"),
            "against": lambda line: (
                "random directions" if line["phase"] == "random" else "unsteered"
            ),
            "change [95 %]": estimate("mean_diff", "ci_lower", "ci_upper"),
            "d [95 %]": estimate("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
            "p": p("p_value"),
            "p, Bonferroni": p("p_value_bonferroni"),
            "p by ranks": p("p_value_rank"),
            "power": value("power"),
            "texts": count("n_effective"),
            "remark": text("reason"),
        },
    )
    return Section(_KEY, _TITLE, tuple(blocks) + _required(results))


def _required(results: StudyResults) -> tuple[TableBlock, ...]:
    """Return the number of texts that planned effects need, for the emotions' own scores."""
    requirements: list[dict[str, Any]] = (results.get("power_requirements") or {}).get(
        "requirements", []
    )
    targets = {metric.replace("/", ".") for metric in results.emotions.target_metrics.values()}
    lines = {
        (
            line["model_name"],
            f"{line['target_effect_size']:g}",
            str(line["required_n_effective"]),
        )
        for line in requirements
        if line["phase"] == "residual"
        and line["metric_name"] in targets
        and line.get("required_n_effective") is not None
    }
    if not lines:
        return ()
    columns = ("model", "d to detect", "texts needed")
    return (TableBlock("Texts that a planned effect needs", columns, tuple(sorted(lines))),)
