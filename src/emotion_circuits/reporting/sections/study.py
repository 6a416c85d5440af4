"""The whole report: the short answer, then one section per phase."""

from __future__ import annotations

from dataclasses import dataclass

from emotion_circuits.reporting.answers.cells import HEADERS, cells
from emotion_circuits.reporting.answers.headline import Headline, headlines
from emotion_circuits.reporting.answers.words import question, sentence, too_few_prompts
from emotion_circuits.reporting.blocks import Block, Drawing, Items, Paragraph, Section, TableBlock
from emotion_circuits.reporting.page import render_markdown, render_page
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.circuits import circuits_section
from emotion_circuits.reporting.sections.data import data_section
from emotion_circuits.reporting.sections.effects import effects_section
from emotion_circuits.reporting.sections.heads import heads_section
from emotion_circuits.reporting.sections.record import record_section
from emotion_circuits.reporting.sections.representation import representation_section
from emotion_circuits.reporting.sections.sharing import sharing_section
from emotion_circuits.reporting.sections.steering import steering_section
from emotion_circuits.reporting.svg import picture_svg

# Sentences of the short answer above the table; a larger study has the table alone.
_SENTENCES = 12


@dataclass(frozen=True)
class Report:
    """A report in all its forms.

    Attributes:
        headlines: One line per model and emotion.
        page: The HTML page.
        files: Texts by their path below the folder of reports: Markdown and SVG.
    """

    headlines: list[Headline]
    page: str
    files: dict[str, str]


def study_report(results: StudyResults) -> Report:
    """Write the report of a study.

    Args:
        results: The results of all phases; what was not run is named with the command that runs it.
    """
    lines = headlines(results)
    warning = too_few_prompts(results.n_prompts)
    sections = [
        _answer_section(lines, warning),
        data_section(results),
        representation_section(results),
        sharing_section(results),
        steering_section(results),
        heads_section(results),
        circuits_section(results),
        effects_section(results),
        record_section(results),
    ]
    page = render_page(
        title=f"Emotion circuits: {results.profile}",
        question=question(results.emotions.names, results.models),
        sections=sections,
    )
    files = {f"{section.key}.md": render_markdown(section) for section in sections}
    for section in sections:
        for block in section.blocks:
            if isinstance(block, Drawing):
                files[f"figures/{block.name}.svg"] = picture_svg(
                    block.picture, warning=block.warning
                )
    return Report(lines, page, files)


def _answer_section(lines: list[Headline], warning: str) -> Section:
    blocks: list[Block] = [Paragraph(warning, is_warning=True)] if warning else []
    if len(lines) <= _SENTENCES:
        blocks.append(Items(tuple(sentence(line) for line in lines)))
    table = TableBlock(
        "What was found for each emotion in each model",
        HEADERS,
        tuple(cells(line) for line in lines),
        note="`moves`: the interval of the change is above 0, the cost is within the limit, and no "
        "more than 5 % of random directions of the same length do as much. d and cost are of "
        "prompts that did not choose layer and strength. The words are of each emotion by itself; "
        "p-values that are corrected for all emotions of a model stand among the claims.",
        is_headline=True,
    )
    return Section("answer", "What was found", (*blocks, table))
