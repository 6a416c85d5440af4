"""The section on heads: screening of each head, and the chosen set beside random sets."""

from __future__ import annotations

from typing import Final

from emotion_circuits.reporting.blocks import Block, Heading, Section, drawing, not_run
from emotion_circuits.reporting.heads import SCORES, draw_head_map, main_score
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

_KEY: Final = "heads"
_TITLE: Final = "Which heads carry it"
_TOP: Final = 3


def heads_section(results: StudyResults) -> Section:
    """Return the section on phase 6 of all models."""
    names = ("head_score_table", "head_patching_summary")
    if not results.has(*names, owners=results.models):
        return Section(_KEY, _TITLE, (not_run("Phase 6", "head_patching", results.profile),))
    blocks: list[Block] = []
    for model in results.models:
        blocks += [Heading(model), *_screening(results, model), *_sets(results, model)]
    return Section(_KEY, _TITLE, tuple(blocks))


def _screening(results: StudyResults, model: str) -> list[Block]:
    table = results.table("head_score_table", model)
    if table.empty:
        return [not_run(f"Screening of {model}'s heads", "head_screening", results.profile)]
    blocks: list[Block] = []
    warning = few_texts(where(table, half="both")["n_pairs"].min(), "pairs of texts")
    main = main_score(table)
    blocks += drawing(
        f"{model}_head_map_{main}", results.get("head_map_figure", model), warning=warning
    )
    for score in SCORES:
        if score != main and score in table and table[score].notna().any():
            figure = draw_head_map(table, results.emotions, score)
            blocks += drawing(f"{model}_head_map_{score}", figure, warning=warning)
    kind = main.removeprefix("drop_")
    both = where(table, half="both", emotion=list(results.emotions.names))
    ranked = both.sort_values([main, "layer", "head"], ascending=[False, True, True])
    top = ranked.groupby("emotion", sort=False).head(_TOP)
    order = {name: index for index, name in enumerate(results.emotions.names)}
    top = top.sort_values("emotion", key=lambda names: names.map(order), kind="stable")
    blocks += table_of(
        f"The {_TOP} heads without which each emotion's score falls most ({kind} ablation)",
        top,
        {
            "emotion": text("emotion"),
            "head": lambda line: f"{line['layer']}:{line['head']}",
            "decrease [95 %]": estimate(main, f"{main}_lower", f"{main}_upper"),
            "same on neutral texts": value(f"neutral_shift_{kind}"),
            "cost, nats per token": value(f"fluency_loss_{kind}"),
            "of which the lost emotion": value("fluency_loss_reference"),
            "cost on neutral texts": value(f"neutral_fluency_loss_{kind}"),
            "pairs": count("n_pairs"),
        },
        note=f"The largest of {len(both) // max(1, both['emotion'].nunique())} heads are picked by "
        "the number that is shown, so it is too large; the sets below are chosen and tested on "
        "different halves.",
    )
    return blocks


def _sets(results: StudyResults, model: str) -> list[Block]:
    table = results.table("head_patching_summary", model)
    if table.empty:
        return [not_run(f"Patching of {model}'s heads", "head_patching", results.profile)]
    chosen = where(table, head_set="chosen")
    blocks: list[Block] = [
        *drawing(
            f"{model}_head_sets",
            results.get("head_set_figure", model),
            note="The heads carry the emotion if the share lies above that of random sets.",
            warning=few_texts(chosen["n_pairs"].min(), "pairs of texts"),
        )
    ]
    blocks += table_of(
        "The chosen heads, ablated and patched",
        chosen,
        {
            "emotion": text("emotion"),
            "intervention": lambda line: _intervention(line),
            "heads": text("heads"),
            "share [95 %]": estimate("fraction", "fraction_lower", "fraction_upper"),
            "random sets": value("random_fraction"),
            "p": p("p_rank"),
            "smallest p": p("p_smallest"),
            "cost, nats per token": value("fluency_loss"),
            "beyond the lost emotion": value("fluency_loss_excess"),
            "pairs": count("n_pairs"),
        },
    )
    ranks = where(results.table("head_ranks", model), layers="any")
    blocks += table_of(
        "The same by preferences, among more random sets",
        ranks,
        {
            "emotion": text("emotion"),
            "intervention": lambda line: _intervention(line),
            "share [95 %]": estimate("fraction", "fraction_lower", "fraction_upper"),
            "random sets": value("random_fraction"),
            "random sets, 95 %": value("random_95"),
            "p": p("p_rank"),
            "p, max-T": p("p_rank_max"),
            "of": count("n_random"),
        },
    )
    return blocks


def _intervention(line: object) -> str:
    assert isinstance(line, dict)
    if line["what"] == "ablation":
        return f"{line['ablation']} ablation"
    return f"{str(line['direction']).replace('_', ' ')}, {str(line['mode']).replace('_', ' ')}"
