"""A section as Markdown, with its figures as files beside it."""

from __future__ import annotations

import re
from typing import Final

from emotion_circuits.errors import printable
from emotion_circuits.reporting.blocks import (
    Block,
    Drawing,
    Heading,
    Items,
    Paragraph,
    Samples,
    Section,
    TableBlock,
)

# Signs with a meaning in Markdown or HTML.
_MEANT: Final = re.compile(r"([\\*_{}\[\]<>#|~$!])")
_CODE: Final = re.compile(r"(`[^`]+`)")


def render_markdown(section: Section, *, figures: str = "figures") -> str:
    """Return a section as Markdown.

    Args:
        section: The section.
        figures: Folder of the figures, relative to the file.
    """
    parts = [f"# {_plain(section.title)}"]
    for block in section.blocks:
        parts += _block(block, figures)
    return "\n\n".join(parts) + "\n"


def _block(block: Block, figures: str) -> list[str]:
    match block:
        case Heading():
            return [f"## {_plain(block.text)}"]
        case Paragraph():
            return [f"**{_words(block.text)}**" if block.is_warning else _words(block.text)]
        case Items():
            return ["\n".join(f"- {_words(text)}" for text in block.texts)]
        case TableBlock():
            return _table(block)
        case Drawing():
            caption = _words(f"{block.picture.title}. {block.note}".strip())
            picture = f"![{_plain(block.picture.title)}]({figures}/{block.name}.svg)"
            warning = [f"**{_words(block.warning)}**"] if block.warning else []
            return [picture, caption, *warning]
        case Samples():
            lines = [
                f"- **{_plain(sample.label)}** {_plain(sample.score)}".rstrip()
                + (f": {_plain(sample.text)}" + " (patched throughout)" * sample.is_patched)
                for sample in block.samples
            ]
            return [f"### {_plain(block.title)}", f"> {_plain(block.prompt)}", "\n".join(lines)]


def _table(block: TableBlock) -> list[str]:
    lines = [block.columns, ("---",) * len(block.columns), *block.lines]
    rows = ("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)
    note = [_words(block.note)] if block.note else []
    return [f"**{_plain(block.caption)}**", "\n".join(rows), *note]


def _cell(text: str) -> str:
    return text if text == "---" else _plain(text)


def _plain(text: str) -> str:
    """Return one line in which no sign has a meaning."""
    return _MEANT.sub(r"\\\1", printable(text)).replace("`", "\\`")


def _words(text: str) -> str:
    """Return one line in which only what stands between backticks is code."""
    return "".join(
        part if part.startswith("`") and part.endswith("`") and len(part) > 2 else _plain(part)
        for part in _CODE.split(printable(text))
    )
