"""The section on two models: overlap of subspaces, and transfer of vectors."""

from __future__ import annotations

from typing import Any, Final

from emotion_circuits.reporting.blocks import Block, Heading, Paragraph, Section, drawing, not_run
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import (
    count,
    dose,
    estimate,
    p,
    steering_layers,
    table_of,
    text,
    value,
    where,
)
from emotion_circuits.reporting.sections.warnings import few_texts
from emotion_circuits.reporting.transfer import draw_transfer_steering

_KEY: Final = "alignment"
_TITLE: Final = "What two models share"


def sharing_section(results: StudyResults) -> Section:
    """Return the section on all pairs of models."""
    if not results.has("overlaps", "transfer", owners=results.pair_names):
        alone = Paragraph("The profile names no pair of models, so none were compared.")
        line = not_run("Alignment", "alignment", results.profile) if results.pairs else alone
        return Section(_KEY, _TITLE, (line,))
    blocks: list[Block] = []
    for pair in results.pairs:
        blocks += [
            Heading(f"{pair[0]} mapped onto {pair[1]}"),
            *_overlaps(results, pair),
            *_transfer(results, pair),
        ]
    return Section(_KEY, _TITLE, tuple(blocks))


def _overlaps(results: StudyResults, pair: tuple[str, str]) -> list[Block]:
    owner = "_vs_".join(pair)
    transfer = results.table("transfer", owner)
    n_test = None if transfer.empty else transfer["n_test"].min()
    layers = set(
        steering_layers(
            results.table("residual_selection", pair[0]), results.emotions.names
        ).values()
    )
    blocks: list[Block] = [
        *drawing(
            f"{owner}_overlaps",
            results.get("overlap_figure", owner),
            note="Overlap is the mean squared cosine of the principal angles. It is shared "
            "structure only above the band of shuffled pairs, and own to the emotion only above "
            "the other emotions; two halves of the second model's prompts are the ceiling.",
            warning=few_texts(n_test, "test texts an emotion"),
            keep=lambda panel: any(f"layers {layer} →" in panel.title for layer in layers),
        )
    ]
    both = {"model_a": pair[0], "model_b": pair[1]}
    blocks += table_of(
        "Overlap where the emotion acts, and where it is largest",
        where(results.table("overlap_places"), **both),
        {
            "emotion": text("emotion"),
            "place": lambda line: str(line["where"]).replace("_", " "),
            "layer": count("layer"),
            "k": count("k"),
            "overlap": value("overlap"),
            "shuffled pairs, mean": value("null_mean"),
            "up to 95 %": value("null_p95"),
            "p, corrected": p("p_value_corrected"),
            "own to the emotion, p": p("specificity_p_corrected"),
        },
    )
    blocks += table_of(
        "Number of shared directions k, over layers",
        where(results.table("k_selection"), **both),
        {
            "emotion": text("emotion"),
            "k": count("k"),
            "overlap [95 %]": estimate("mean_overlap", "ci_lower", "ci_upper"),
            "shuffled pairs": value("null_mean"),
            "p, corrected": p("p_value_corrected"),
            "chosen": text("selected"),
            "reason": text("reason"),
        },
    )
    return blocks


def _transfer(results: StudyResults, pair: tuple[str, str]) -> list[Block]:
    owner = "_vs_".join(pair)
    blocks: list[Block] = [
        *drawing(
            f"{owner}_transfer",
            results.get("transfer_figure", owner),
            note="The mapped vector carries the emotion over only where it reads better than "
            "under maps of shuffled pairs.",
            warning=few_texts(_least(results.table("transfer", owner), "n_test"), "test texts"),
        )
    ]
    steering = results.table("transfer_steering", owner)
    if steering.empty:
        blocks.append(not_run("Steering with mapped vectors", "transfer_steering", results.profile))
        return blocks
    figure = draw_transfer_steering(steering, results.emotions.names, pair)
    warning = few_texts(_least(steering, "n"))
    blocks += drawing(f"{owner}_transfer_steering", figure, warning=warning)
    own = where(steering, choice="headline", vector=["own", "mapped"])
    blocks += table_of(
        f"{pair[1]} steered with its own and with mapped vectors",
        own[~own["metric_name"].str.startswith("fluency")],
        {
            "emotion": text("emotion"),
            "vector": text("vector"),
            "layer": count("layer"),
            "α": dose,
            "change [95 %]": estimate("mean_diff", "ci_lower", "ci_upper"),
            "cost, nats per token": value("fluency_loss"),
            "p among mapped random": p("p_random"),
            "p among covariance": p("p_covariance"),
            "texts": count("n"),
        },
    )
    return blocks


def _least(table: Any, column: str) -> Any:
    return table[column].min() if column in table else None
