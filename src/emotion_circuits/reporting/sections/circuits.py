"""The section on circuits: faithfulness, graphs, roles, and changed circuits."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import pandas as pd

from emotion_circuits.reporting.answers.numbers import number, p_value, with_interval
from emotion_circuits.reporting.blocks import (
    Block,
    Heading,
    Section,
    TableBlock,
    drawing,
    not_run,
)
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import (
    count,
    estimate,
    p,
    table_of,
    text,
    value,
    where,
)
from emotion_circuits.reporting.sections.warnings import few_texts

_KEY: Final = "circuits"
_TITLE: Final = "Circuits"
_FIGURES: Final = (
    (
        "curves",
        "circuit_curve_figure",
        "A circuit is faithful if it keeps the behaviour on templates that did not choose it, and "
        "more of it than random orders of nodes.",
    ),
    ("graph", "circuit_graph_figure", "Blue raises the target, orange lowers it."),
    (
        "interactions",
        "circuit_interaction_figure",
        "Where the joint effect is not the sum of single nodes, nodes replace or need each other.",
    ),
    (
        "modulation",
        "circuit_modulation_figure",
        "An intervention is better the more it moves the score at the same cost.",
    ),
)


def circuits_section(results: StudyResults) -> Section:
    """Return the section on phase 8 of all models."""
    if not results.has("circuit", owners=results.models):
        return Section(_KEY, _TITLE, (not_run("Phase 8", "circuits", results.profile),))
    blocks: list[Block] = []
    for model in results.models:
        blocks.append(Heading(model))
        circuit = results.get("circuit", model)
        if circuit is None:
            blocks.append(not_run(f"Circuits of {model}", "circuits", results.profile))
            continue
        found = circuit["circuits"]
        n = min((int(one["n_pairs"]) for one in found.values()), default=None)
        for name, dataset, note in _FIGURES:
            figure = results.get(dataset, model)
            warning = few_texts(n, "pairs of texts")
            blocks += drawing(f"{model}_{name}", figure, note=note, warning=warning)
        blocks.append(_table(circuit))
        blocks += _roles(results, model)
        blocks += _equal_cost(results, model)
    return Section(_KEY, _TITLE, tuple(blocks))


def _table(circuit: Mapping[str, Any]) -> TableBlock:
    lines = []
    for emotion, found in circuit["circuits"].items():
        control = found["controls"].get("any") or {}
        lines.append(
            (
                emotion,
                f"{len(found['consensus'])} of {circuit['n_nodes']}",
                _estimate(found["faithfulness"]),
                number(control.get("mean")),
                p_value(control.get("p")),
                _estimate(found["remaining"]),
                _estimate(found["stability"]["jaccard"]),
                str(found["n_pairs"]),
            )
        )
    columns = (
        "emotion",
        "nodes",
        "faithfulness on other templates [95 %]",
        "random circuits",
        "p",
        "what the rest keeps [95 %]",
        "overlap of resamples [95 %]",
        "pairs",
    )
    return TableBlock("Circuits of heads and MLPs", columns, tuple(lines))


def _estimate(found: Mapping[str, Any]) -> str:
    return with_interval(found.get("value"), found.get("lower"), found.get("upper"))


def _roles(results: StudyResults, model: str) -> list[TableBlock]:
    heads = results.table("circuit_heads", model)
    if "role" not in heads:
        return []
    own = heads[heads["role"].fillna("none") != "none"]
    if own.empty:
        line = pd.DataFrame([{"role": "none", "n": len(heads)}])
        return table_of("Roles of heads", line, {"role": text("role"), "heads": count("n")})
    return table_of(
        "Heads with a role",
        own,
        {
            "head": text("node"),
            "role": text("role"),
            "detects [95 %]": estimate("detect_share", "detect_share_lower", "detect_share_upper"),
            "aggregates [95 %]": estimate(
                "aggregate_share", "aggregate_share_lower", "aggregate_share_upper"
            ),
            "expresses [95 %]": estimate(
                "express_share", "express_share_lower", "express_share_upper"
            ),
            "its weights raise": text("ov_writes"),
        },
    )


def _equal_cost(results: StudyResults, model: str) -> list[TableBlock]:
    table = where(results.table("circuit_equal_cost", model), reading="score")
    return table_of(
        "Changed circuits, steering and prompting at equal cost",
        table,
        {
            "emotion": text("emotion"),
            "largest cost, nats per token": value("cost_limit"),
            "what": lambda line: str(line["family"]).replace("_", " "),
            "change [95 %]": estimate("change", "change_lower", "change_upper"),
            "cost": value("fluency_loss"),
            "minus steering [95 %]": estimate(
                "minus_steering", "minus_steering_lower", "minus_steering_upper"
            ),
            "p, random circuits": p("random_circuits_p"),
            "texts": count("n"),
        },
    )
