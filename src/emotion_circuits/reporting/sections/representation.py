"""The section on what is readable: probes, vectors and subspaces."""

from __future__ import annotations

from typing import Any, Final

import pandas as pd

from emotion_circuits.reporting.answers.numbers import number
from emotion_circuits.reporting.blocks import Block, Heading, Section, drawing, not_run
from emotion_circuits.reporting.results import StudyResults
from emotion_circuits.reporting.sections.tables import (
    estimate,
    steering_layers,
    table_of,
    text,
    value,
    where,
)
from emotion_circuits.reporting.sections.warnings import few_texts
from emotion_circuits.reporting.vectors import draw_cosines, draw_norms, draw_variance

_KEY: Final = "emotion_vectors"
_TITLE: Final = "What can be read"


def representation_section(results: StudyResults) -> Section:
    """Return the section on probes, vectors and subspaces of all models."""
    names = ("probe_scores", "vector_norms", "emotion_subspaces")
    if not results.has(*names, owners=results.models):
        return Section(_KEY, _TITLE, (not_run("Phase 3", "emotion_vectors", results.profile),))
    blocks: list[Block] = []
    for model in results.models:
        blocks += [Heading(model), *_probes(results, model), *_vectors(results, model)]
    return Section(_KEY, _TITLE, tuple(blocks))


def _probes(results: StudyResults, model: str) -> list[Block]:
    table = results.table("probe_scores", model)
    if table.empty:
        return [not_run(f"Probing of {model}", "emotion_vectors", results.profile)]
    neutral = results.emotions.neutral
    implicit = where(table, subset="implicit")
    residual = where(implicit, probe="residual")
    warning = few_texts(residual["n_test"].min(), "test texts a contrast")
    figure: list[Block] = [
        *drawing(
            f"{model}_probe_auroc",
            results.get("probe_figure", model),
            note="Texts that name no emotion, of templates that the probe was not fitted on.",
            warning=warning,
            keep=lambda panel: panel.title.endswith(f" – {neutral}"),
        )
    ]
    chosen = steering_layers(results.table("residual_selection", model), results.emotions.names)
    lines = []
    for emotion in results.emotions.names:
        contrast = f"{emotion}_vs_{neutral}"
        own = where(residual, contrast=contrast)
        layer = chosen.get(emotion, own["layer"].max())
        shuffled = where(table, probe="residual_shuffled_labels", contrast=contrast, layer=layer)
        for line in where(own, layer=layer).to_dict("records"):
            words = where(implicit, probe="bag_of_words", contrast=contrast)
            line |= {"words": _first(words, "auroc"), "shuffled": _first(shuffled, "ci_upper")}
            lines.append(line | {"style": _style(results, contrast)})
    return figure + list(
        table_of(
            "Held-out AUROC at the layer of steering (without one, the last layer)",
            pd.DataFrame(lines),
            {
                "contrast": text("contrast"),
                "layer": value("layer", 0),
                "residual stream [95 %]": estimate("auroc", "ci_lower", "ci_upper"),
                "bag of words": value("words"),
                "style": value("style"),
                "shuffled labels, up to": value("shuffled"),
                "test texts": value("n_test", 0),
            },
            note="A probe finds the emotion if its interval lies above words, style and shuffled "
            "labels. Style was measured on all texts of the dataset.",
        )
    )


def _first(table: pd.DataFrame, column: str) -> Any:
    return None if table.empty else table[column].iloc[0]


def _style(results: StudyResults, contrast: str) -> Any:
    probes = pd.DataFrame((results.get("dataset_statistics") or {}).get("word_probes") or [])
    return _first(where(probes, view="style", subset="implicit", contrast=contrast), "auroc")


def _vectors(results: StudyResults, model: str) -> list[Block]:
    blocks: list[Block] = []
    emotions = results.emotions.names
    norms, vectors = results.table("vector_norms", model), results.get("emotion_vectors", model)
    metadata = (vectors or {}).get("metadata") or {}
    if not norms.empty:
        shares = {int(k): float(v) for k, v in (metadata.get("common_share") or {}).items()}
        blocks += drawing(
            f"{model}_vectors",
            draw_norms(norms, shares, model, emotions),
            note="Reliability is the agreement of vectors from two halves of the templates, "
            "corrected for their length; a vector of noise has none.",
        )
    cosines = results.table("vector_cosines", model)
    if not cosines.empty:
        chosen = steering_layers(results.table("residual_selection", model), emotions)
        layer = max(set(chosen.values()), key=list(chosen.values()).count, default=None)
        layer = int(cosines["layer_a"].max()) if layer is None else layer
        figure = draw_cosines(cosines, layer, model, emotions)
        blocks += drawing(f"{model}_cosines", figure)
    subspaces = results.get("emotion_subspaces", model)
    if subspaces is not None:
        figure = draw_variance(subspaces, model, results.emotions.labels)
        note = f"Of paired differences of {_texts(subspaces)} training texts."
        blocks += drawing(f"{model}_variance", figure, note=note)
    return blocks


def _texts(subspaces: Any) -> str:
    n = (subspaces.get("metadata") or {}).get("n_train")
    counts = [int(value) for value in n.values()] if isinstance(n, dict) else []
    return number(min(counts), 0) if counts else "the"
