"""The headline of each model and emotion: probe, steering, controls, heads, circuit, overlap."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Final

import pandas as pd

from emotion_circuits.reporting.finite import to_number
from emotion_circuits.reporting.results import StudyResults

_NAN: Final = math.nan
_CHOICE: Final = "headline"


@dataclass(frozen=True)
class Headline:
    """What the study says about one emotion in one model; NaN or "" for what was not run.

    Attributes:
        model: Name of the model.
        emotion: The emotion.
        n_prompts: Prompts per emotion in the dataset.
        probe_layer: Layer of the probe: the layer of steering, or else the last one.
        probe_auroc: Held-out AUROC against neutral on implicit prompts; ``probe_lower`` and
            ``probe_upper`` are its interval.
        probe_words: The same of a bag of words.
        layer: Layer of steering, chosen on one half of the prompts; the numbers are of the other.
        alpha: Its strength, in lengths of the vector.
        n: Number of texts.
        d: Cohen's d of the emotion's own score, with ``d_lower`` and ``d_upper``.
        change: Mean change of the score, with ``change_lower`` and ``change_upper``.
        cost: Fluency lost, in nats per token, with ``cost_lower`` and ``cost_upper``.
        within_fluency: 1 if the cost where it was chosen is within the limit, 0 if not.
        p_random: Rank p among ``n_random`` uniform random directions of the same length.
        p_covariance: Rank p among ``n_covariance`` directions of the activations' covariance.
        p_claim: p-value of the study's claim, by Bonferroni over its family.
        heads: The chosen heads, as ``layer:head``.
        heads_lost: Share of the emotion's contrast that is lost when they are ablated, with
            ``heads_lower`` and ``heads_upper``.
        heads_random: Mean of the same over random sets of heads.
        heads_p: Rank p among random sets.
        circuit_nodes: Number of heads and MLPs of the circuit, of ``circuit_of`` in the model.
        faithfulness: On templates that did not choose it, with ``faithfulness_lower`` and
            ``faithfulness_upper``.
        circuit_random: Mean faithfulness of random circuits of the same size.
        circuit_p: Rank p among them.
        overlap_with: The other model of the first pair that this model is in.
        overlap: Overlap of the two models' subspaces at the layer of steering.
        overlap_null: 95th percentile of the same under maps of shuffled pairs.
        overlap_p: Its corrected p-value.
    """

    model: str
    emotion: str
    n_prompts: float = _NAN
    probe_layer: float = _NAN
    probe_auroc: float = _NAN
    probe_lower: float = _NAN
    probe_upper: float = _NAN
    probe_words: float = _NAN
    layer: float = _NAN
    alpha: float = _NAN
    n: float = _NAN
    d: float = _NAN
    d_lower: float = _NAN
    d_upper: float = _NAN
    change: float = _NAN
    change_lower: float = _NAN
    change_upper: float = _NAN
    cost: float = _NAN
    cost_lower: float = _NAN
    cost_upper: float = _NAN
    within_fluency: float = _NAN
    p_random: float = _NAN
    n_random: float = _NAN
    p_covariance: float = _NAN
    n_covariance: float = _NAN
    p_claim: float = _NAN
    heads: str = ""
    heads_lost: float = _NAN
    heads_lower: float = _NAN
    heads_upper: float = _NAN
    heads_random: float = _NAN
    heads_p: float = _NAN
    circuit_nodes: float = _NAN
    circuit_of: float = _NAN
    faithfulness: float = _NAN
    faithfulness_lower: float = _NAN
    faithfulness_upper: float = _NAN
    circuit_random: float = _NAN
    circuit_p: float = _NAN
    overlap_with: str = ""
    overlap: float = _NAN
    overlap_null: float = _NAN
    overlap_p: float = _NAN


COLUMNS: Final = tuple(field.name for field in fields(Headline))


def headlines(results: StudyResults) -> list[Headline]:
    """Return one headline per model and emotion, in the order of the study."""
    lines = []
    for model in results.models:
        for emotion in results.emotions.names:
            steering = _steering(results, model, emotion)
            parts = (
                {"n_prompts": _number(results.n_prompts)},
                steering,
                _probe(results, model, emotion, steering.get("layer")),
                _heads(results, model, emotion),
                _circuit(results, model, emotion),
                _overlap(results, model, emotion),
            )
            values: dict[str, Any] = {}
            for part in parts:
                values |= part
            lines.append(Headline(model, emotion, **values))
    return lines


def headline_table(lines: list[Headline]) -> pd.DataFrame:
    """Return headlines as a table with ``COLUMNS``."""
    return pd.DataFrame([asdict(line) for line in lines], columns=list(COLUMNS))


def read_headlines(table: pd.DataFrame) -> list[Headline]:
    """Return the headlines of a table that was written and read again."""
    texts = {"model", "emotion", "heads", "overlap_with"}
    lines = []
    for line in table.to_dict("records"):
        values: dict[str, Any] = {
            str(name): ("" if pd.isna(value) else str(value)) if name in texts else _number(value)
            for name, value in line.items()
        }
        lines.append(Headline(**values))
    return lines


def _number(value: Any) -> float:
    number = to_number(value)
    return _NAN if number is None else number


def _first(table: pd.DataFrame, **where: Any) -> Mapping[str, Any]:
    """Return the first line of a table that has these values; an empty one if there is none."""
    for column, value in where.items():
        if column not in table:
            return {}
        table = table[table[column] == value]
    return {} if table.empty else dict(table.iloc[0])


def _renamed(line: Mapping[str, Any], **names: str) -> dict[str, float]:
    """Return numbers of a line under the names of a headline."""
    return {new: _number(line.get(old)) for new, old in names.items()}


def _probe(
    results: StudyResults, model: str, emotion: str, layer: float | None
) -> dict[str, float]:
    table = results.table("probe_scores", model)
    where = {"contrast": f"{emotion}_vs_{results.emotions.neutral}", "subset": "implicit"}
    line = _first(table, probe="residual", **where, layer=layer)
    if not line and not table.empty:
        own = table[(table["probe"] == "residual") & (table["contrast"] == where["contrast"])]
        line = _first(table, probe="residual", **where, layer=own["layer"].max())
    words = _first(table, probe="bag_of_words", **where)
    found = _renamed(
        line,
        probe_layer="layer",
        probe_auroc="auroc",
        probe_lower="ci_lower",
        probe_upper="ci_upper",
    )
    return found | _renamed(words, probe_words="auroc")


def _steering(results: StudyResults, model: str, emotion: str) -> dict[str, float]:
    line = _first(results.table("residual_selection", model), choice=_CHOICE, emotion=emotion)
    claim = _first(
        results.table("power_analysis"),
        confirmatory=True,
        phase="residual",
        model_name=model,
        emotion=emotion,
    )
    names = {name: name for name in ("layer", "alpha", "n", "within_fluency")}
    found = _renamed(
        line,
        **names,
        d="cohen_d",
        d_lower="effect_size_ci_lower",
        d_upper="effect_size_ci_upper",
        change="mean_diff",
        change_lower="ci_lower",
        change_upper="ci_upper",
        cost="fluency_loss",
        cost_lower="fluency_loss_lower",
        cost_upper="fluency_loss_upper",
        p_random="random_p",
        n_random="random_n",
        p_covariance="covariance_p",
        n_covariance="covariance_n",
    )
    return found | _renamed(claim, p_claim="p_value_bonferroni")


def _heads(results: StudyResults, model: str, emotion: str) -> dict[str, Any]:
    table = results.table("head_patching_summary", model)
    where = {"what": "ablation", "head_set": "chosen", "emotion": emotion}
    line = _first(table, **where, ablation="mean") or _first(table, **where)
    found: dict[str, Any] = {"heads": str(line.get("heads", ""))}
    return found | _renamed(
        line,
        heads_lost="contrast_lost",
        heads_lower="contrast_lost_lower",
        heads_upper="contrast_lost_upper",
        heads_random="random_contrast_lost",
        heads_p="contrast_p_rank",
    )


def _circuit(results: StudyResults, model: str, emotion: str) -> dict[str, float]:
    circuit = results.get("circuit", model) or {}
    found = circuit.get("circuits", {}).get(emotion)
    if found is None:
        return {}
    faithfulness, control = found["faithfulness"], found["controls"].get("any") or {}
    return {
        "circuit_nodes": _number(len(found["consensus"])),
        "circuit_of": _number(circuit.get("n_nodes")),
        "faithfulness": _number(faithfulness["value"]),
        "faithfulness_lower": _number(faithfulness["lower"]),
        "faithfulness_upper": _number(faithfulness["upper"]),
        "circuit_random": _number(control.get("mean")),
        "circuit_p": _number(control.get("p")),
    }


def _overlap(results: StudyResults, model: str, emotion: str) -> dict[str, Any]:
    for first, second in results.pairs:
        if model not in (first, second):
            continue
        line = _first(
            results.table("overlap_places"),
            model_a=first,
            model_b=second,
            emotion=emotion,
            where="layer_of_steering",
        )
        if line:
            found: dict[str, Any] = {"overlap_with": second if model == first else first}
            return found | _renamed(
                line, overlap="overlap", overlap_null="null_p95", overlap_p="p_value_corrected"
            )
    return {}
