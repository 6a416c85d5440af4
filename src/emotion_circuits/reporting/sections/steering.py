"""The section on steering: dose, controls, specificity, prompting, texts and side effects."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from emotion_circuits.reporting.answers.numbers import number
from emotion_circuits.reporting.blocks import (
    Block,
    Heading,
    Paragraph,
    Sample,
    Samples,
    Section,
    drawing,
    not_run,
)
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import (
    count,
    dose,
    estimate,
    p,
    table_of,
    text,
    value,
    where,
)
from emotion_circuits.reporting.sections.warnings import few_texts
from emotion_circuits.reporting.side_effects import draw_prompting, draw_side_effects

_KEY: Final = "residual_patching"
_TITLE: Final = "What steering does"


def steering_section(results: StudyResults) -> Section:
    """Return the section on phase 5 of all models."""
    if not results.has("residual_selection", owners=results.models):
        return Section(_KEY, _TITLE, (not_run("Phase 5", "residual_patching", results.profile),))
    blocks: list[Block] = []
    for model in results.models:
        blocks.append(Heading(model))
        if results.get("residual_selection", model) is None:
            blocks.append(not_run(f"Steering of {model}", "residual_patching", results.profile))
            continue
        blocks += _effects(results, model)
        blocks += _prompting(results, model)
        blocks += _side_effects(results, model)
        blocks += _continuations(results, model)
    return Section(_KEY, _TITLE, tuple(blocks))


def _effects(results: StudyResults, model: str) -> list[Block]:
    selection = results.table("residual_selection", model)
    warning = few_texts(selection["n"].min())
    blocks: list[Block] = list(
        table_of(
            "Layer and strength are chosen on one half of the prompts; effects are of the other",
            selection,
            {
                "choice": lambda line: str(line["choice"]).replace("_", " "),
                "emotion": text("emotion"),
                "layer": count("layer"),
                "α": dose,
                "relative dose": value("relative_dose"),
                "change [95 %]": estimate("mean_diff", "ci_lower", "ci_upper"),
                "d [95 %]": estimate("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
                "cost, nats per token [95 %]": estimate(
                    "fluency_loss", "fluency_loss_lower", "fluency_loss_upper"
                ),
                "within the limit": text("within_fluency"),
                "p, uniform": p("random_p"),
                "of": count("random_n"),
                "p, covariance": p("covariance_p"),
                "p, shuffled labels": p("shuffled_p"),
                "texts": count("n"),
            },
            note="Relative dose is the length of what is added over that of the residual stream. "
            "The p-values are ranks among control directions of the same length.",
        )
    )
    figures = (
        (
            "dose_response",
            "residual_dose_figure",
            "Bands are the middle 95 % of control directions; intervals are 95 %.",
        ),
        (
            "specificity",
            "residual_specificity_figure",
            "A specific effect is large in the emotion's own column and small elsewhere.",
        ),
        (
            "said_or_expressed",
            "residual_readings_figure",
            "If the score moves and the score with masked emotion words does not, the model says "
            "the word and does not express the emotion.",
        ),
    )
    for name, dataset, note in figures:
        figure = results.get(dataset, model)
        blocks += drawing(f"{model}_{name}", figure, note=note, warning=warning)
    return blocks


def _prompting(results: StudyResults, model: str) -> list[Block]:
    table = results.table("residual_prompting", model)
    if table.empty:
        return [
            Paragraph(
                "Steering was not compared with prompting: `residual_patching.instructions` names "
                "no instruction for an emotion."
            )
        ]
    targets = {
        emotion: metric.replace("/", ".")
        for emotion, metric in results.emotions.target_metrics.items()
    }
    own = table[table["metric_name"] == table["emotion"].map(targets)]
    if own.empty:
        return []
    blocks: list[Block] = [
        *drawing(
            f"{model}_prompting",
            draw_prompting(own, results.emotions.names),
            warning=few_texts(own["n"].min()),
        )
    ]
    return blocks + list(
        table_of(
            "Steering against prompting, on the same prompts",
            own,
            {
                "emotion": text("emotion"),
                "condition": lambda line: str(line["condition"]).replace("_", " "),
                "change [95 %]": estimate("mean_diff", "ci_lower", "ci_upper"),
                "d [95 %]": estimate("cohen_d", "effect_size_ci_lower", "effect_size_ci_upper"),
                "cost, nats per token [95 %]": estimate(
                    "fluency_loss", "fluency_loss_lower", "fluency_loss_upper"
                ),
            },
        )
    )


def _side_effects(results: StudyResults, model: str) -> list[Block]:
    table = results.table("residual_side_effects", model)
    if table.empty:
        return []
    blocks: list[Block] = [
        *drawing(
            f"{model}_side_effects",
            draw_side_effects(table, results.emotions.names),
            note="Divergence of the next-token distribution on neutral texts, steered against "
            "unsteered.",
            warning=few_texts(table["n"].min()),
        )
    ]
    return blocks + list(
        table_of(
            "Side effects of the chosen steering on neutral texts",
            where(table, kind="emotion"),
            {
                "emotion": text("emotion"),
                "layer": count("layer"),
                "α": dose,
                "divergence, nats per token [95 %]": estimate("kl", "kl_lower", "kl_upper"),
                "likelihood lost, nats per token [95 %]": estimate(
                    "nll_change", "nll_change_lower", "nll_change_upper"
                ),
                "texts": count("n"),
            },
        )
    )


def _continuations(results: StudyResults, model: str) -> list[Block]:
    chosen: Mapping[str, Any] | None = results.get("continuations", model)
    if not chosen:
        return []
    return [
        Paragraph(
            "Continuations of the reporting half's first prompts. Marked text was written while "
            f"the patch was on. {chosen['patch']}"
        ),
        *(
            Samples(
                f"{item['emotion']}, layer {item['layer']}, α {item['alpha']:g}",
                item["prompt"],
                tuple(
                    Sample(
                        line["condition"],
                        line["text"],
                        bool(line["is_patched"]),
                        _score(line),
                    )
                    for line in item["texts"]
                ),
            )
            for item in chosen["items"]
        ),
    ]


def _score(line: Mapping[str, Any]) -> str:
    parts = []
    if line.get("score") is not None:
        parts.append(f"score {number(line['score'])}")
    if line.get("fluency") is not None:
        parts.append(f"{number(line['fluency'])} nats per token")
    return ", ".join(parts)
