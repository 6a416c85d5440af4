"""The last section: time, configuration, versions, and where everything comes from."""

from __future__ import annotations

import json
from typing import Any, Final

from emotion_circuits.reporting.answers.numbers import UNKNOWN, number
from emotion_circuits.reporting.blocks import Block, Heading, Paragraph, Section, TableBlock
from emotion_circuits.reporting.results import StudyResults

_KEY: Final = "record"
_TITLE: Final = "Time, configuration and origin"
# The report's own time would change the page with each rendering.
_OWN: Final = "reporting"


def record_section(results: StudyResults) -> Section:
    """Return the section on the run itself."""
    blocks: list[Block] = [
        Heading("Time"),
        *_times(results),
        Heading("Origin"),
        *_origin(results),
        Heading("Versions"),
        TableBlock("Packages", ("package", "version"), tuple(results.versions.items())),
        Heading("Configuration"),
        *_configuration(results),
    ]
    return Section(_KEY, _TITLE, tuple(blocks))


def _times(results: StudyResults) -> list[Block]:
    events = results.table("phase_timings")
    events = events[events["phase"] != _OWN].copy() if len(events) else events
    if events.empty:
        return [Paragraph("No phase was timed.")]
    events["model"] = events["model"].fillna("")
    last = events.drop_duplicates(["phase", "model"], keep="last")
    lines = tuple(
        (
            str(line["phase"]),
            str(line["model"]) or "all",
            f"{number(line['elapsed_seconds'], 1)}",
            number((line["metadata"] or {}).get("peak_rss_mib"), 0),
            str(line["device"]),
            number(line["samples"], 0),
            str(line["timestamp"]),
            " ".join(line.get("cli_args") or ()) or UNKNOWN,
        )
        for line in last.to_dict("records")
    )
    columns = (
        "phase",
        "model",
        "seconds",
        "peak memory, MiB",
        "device",
        "texts",
        "ended, UTC",
        "arguments",
    )
    return [TableBlock("Last run of each phase", columns, lines)]


def _origin(results: StudyResults) -> list[Block]:
    lines = []
    statistics = results.get("dataset_statistics") or {}
    if statistics.get("input"):
        lines.append(("texts", str(statistics["input"]), UNKNOWN))
    for model, fields in (results.configuration.get("models") or {}).items():
        others = {name: value for name, value in fields.items() if name != "source"}
        detail = ", ".join(f"{name} {value}" for name, value in others.items())
        lines.append((model, str(fields.get("source")), detail or UNKNOWN))
    columns = ("what", "source", "how")
    return [TableBlock("Sources", columns, tuple(lines))] if lines else []


def _configuration(results: StudyResults) -> list[TableBlock]:
    lines = []
    for phase, settings in sorted(results.configuration.items()):
        for name, value in _flat(phase, settings):
            lines.append((name, value))
    return [TableBlock("Parameters of all phases", ("parameter", "value"), tuple(lines))]


def _flat(name: str, settings: Any) -> list[tuple[str, str]]:
    if isinstance(settings, dict) and settings:
        return [pair for key in settings for pair in _flat(f"{name}.{key}", settings[key])]
    value = settings if isinstance(settings, str) else json.dumps(settings, ensure_ascii=False)
    return [(name, value)]
