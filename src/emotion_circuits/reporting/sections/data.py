"""The section on the texts: how many, and what words and style alone tell."""

from __future__ import annotations

import pandas as pd

from emotion_circuits.reporting.blocks import Block, Paragraph, Section, TableBlock, not_run
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import estimate, table_of, text, where


def data_section(results: StudyResults) -> Section:
    """Return the section on the dataset."""
    statistics = results.get("dataset_statistics")
    if statistics is None:
        return Section("dataset", "Texts", (not_run("The dataset", "dataset", results.profile),))
    counts = statistics["emotion_counts"]
    blocks: list[Block] = []
    line = tuple(str(counts.get(label, 0)) for label in results.emotions.labels)
    blocks.append(TableBlock("Texts of each label", results.emotions.labels, (line,)))
    probes = pd.DataFrame(statistics.get("word_probes") or [])
    known = where(probes, subset="implicit")
    if not known.empty and known["auroc"].notna().any():
        blocks += table_of(
            "What words and style alone tell of implicit texts, held-out AUROC",
            known[known["auroc"].notna()],
            {
                "contrast": text("contrast"),
                "view": text("view"),
                "AUROC [95 %]": estimate("auroc", "ci_lower", "ci_upper"),
            },
        )
    elif not known.empty:
        blocks.append(Paragraph(f"Words and style were not probed: {known['reason'].iloc[0]}."))
    return Section("dataset", "Texts", tuple(blocks))
