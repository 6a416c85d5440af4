"""``head_ablation`` and ``head_patching``: continuations with a set of heads changed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from emotion_circuits.experiments.contract.nesting import Line, flat, outcomes_of
from emotion_circuits.experiments.head_sets import CHOSEN, HeadSet
from emotion_circuits.experiments.heads import format_heads
from emotion_circuits.experiments.outcomes import BASELINE_KIND, Outcomes, nest

# Coordinates that identify a combination of a head experiment.
COMBINATION = ("kind", "head_set", "ablation", "direction", "mode", "emotion")
_DIGITS = 6


def nest_head_result(
    records: Sequence[Mapping[str, Any]], common: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the file's content: the first combination at the top, and all under ``records``."""
    return {**(records[0] if records else {}), **common, "records": list(records)}


def nest_head_records(
    outcomes: Outcomes, sets: Mapping[str, HeadSet], model: str
) -> list[dict[str, Any]]:
    """Return each combination of an experiment on heads as lists with one entry per prompt.

    Args:
        outcomes: The baseline of every prompt, and lines of kind ``ablation`` and ``patch`` with
            ``prompt_index``, ``label``, ``pair_id``, ``half``, ``head_set``, ``ablation``,
            ``direction``, ``mode``, ``emotion`` and ``source_index`` (index of the prompt whose
            activations were patched in, or -1).
        sets: Sets of heads, by the name in ``head_set``.
        model: The model's name.
    """
    baseline = outcomes.baseline.table.set_index("prompt_index")
    changed = Outcomes(outcomes.table[outcomes.table["kind"] != BASELINE_KIND])
    return [
        _record(lines, baseline, sets[where["head_set"]], where, model)
        for where, lines in changed.groups(COMBINATION)
    ]


def _record(
    outcomes: Outcomes,
    baseline: pd.DataFrame,
    heads: HeadSet,
    where: Mapping[str, Any],
    model: str,
) -> dict[str, Any]:
    table = outcomes.table
    before = Outcomes(baseline.loc[table["prompt_index"]])
    record: dict[str, Any] = {
        "model": model,
        "heads": [tuple(head) for head in heads.heads],
        "heads_by_half": {
            half: [tuple(head) for head in own] for half, own in heads.of_half.items()
        },
        "head_set": heads.name,
        "control": "" if heads.kind == CHOSEN else heads.name,
        "emotion": where["emotion"],
        "prompts": table["prompt"].tolist(),
        "labels": table["label"].tolist(),
        "pair_ids": table["pair_id"].tolist(),
        "halves": table["half"].tolist(),
        "baseline_texts": before.table["text"].tolist(),
        "patched_texts": table["text"].tolist(),
        "baseline_metrics": nested_scores(before),
        "patched_metrics": nested_scores(outcomes),
        "baseline_fluency": before.table["fluency"].tolist(),
        "patched_fluency": table["fluency"].tolist(),
    }
    if where["kind"] == "ablation":
        record["ablation"] = where["ablation"]
    else:
        record |= {"direction": where["direction"], "mode": where["mode"]}
    if (table["source_index"] >= 0).any():
        sources = baseline.loc[table["source_index"]]
        record["source_prompts"] = sources["prompt"].tolist()
        record["source_labels"] = sources["label"].tolist()
        record["source_texts"] = sources["text"].tolist()
    return record


def nested_scores(
    outcomes: Outcomes, metrics: Sequence[str] | None = None
) -> list[dict[str, dict[str, float]]]:
    """Return ``{metric: {label: value}}`` of each line, rounded as in the files of phase 6."""
    names = outcomes.metrics if metrics is None else metrics
    return [
        nest(dict(zip(names, values, strict=True)), _DIGITS) for values in outcomes.values(names)
    ]


def read_head_result(result: Mapping[str, Any]) -> Outcomes:
    """Read an experiment on heads, of this program or of the older implementation.

    Args:
        result: One combination, or several under ``records`` that share the other keys.

    Returns:
        Baseline lines and changed lines of each combination, numbered by ``record``. ``emotion``
        is that of the combination, or else the prompt's label; ``layer`` and ``head`` are empty
        unless a single one was changed; ``heads`` lists all changed heads; ``variant`` joins
        direction, mode, ablation and control.

    Raises:
        KeyError: If the result does not have the form of the file.
        TypeError: If the numbers of prompts and scores differ.
    """

    def lines() -> Iterator[Line]:
        for number, record in enumerate(result.get("records", [result])):
            whole = {**result, **record}
            where = {"record": number, **_changed_heads(whole)}
            for name, kind in (("baseline", BASELINE_KIND), ("patched", "changed")):
                yield from _lines_of_record(whole, name, {**where, "kind": kind})

    return outcomes_of(lines())


def _lines_of_record(
    record: Mapping[str, Any], name: str, where: Mapping[str, Any]
) -> Iterator[Line]:
    prompts, scores = record["prompts"], record[f"{name}_metrics"]
    if len(prompts) != len(scores):
        raise TypeError("prompts and metrics are not as many")
    own = str(record.get("emotion") or "")
    labels = record.get("labels") or [""] * len(prompts)
    texts = record.get(f"{name}_texts") or [""] * len(prompts)
    fluency = record.get(f"{name}_fluency") or [float("nan")] * len(prompts)
    columns = zip(prompts, labels, texts, fluency, scores, strict=True)
    for prompt, label, text, nll, metrics in columns:
        line = {"prompt": prompt, **where, "emotion": own or str(label), "text": text}
        yield line | {"fluency": nll} | flat(metrics)


def _changed_heads(record: Mapping[str, Any]) -> dict[str, Any]:
    heads = sorted((int(layer), int(head)) for layer, head in record["heads"])
    names = ("direction", "mode", "ablation", "control")
    return {
        "layer": heads[0][0] if len({layer for layer, _ in heads}) == 1 else None,
        "head": heads[0][1] if len(heads) == 1 else None,
        "heads": _head_spec(record),
        "variant": " ".join(str(record[name]) for name in names if record.get(name)),
        "control": bool(record.get("control")),
    }


def _head_spec(record: Mapping[str, Any]) -> str:
    """Write the changed heads; if the halves have different sets, write both sets."""
    sets = (record.get("heads_by_half") or {"": record["heads"]}).values()
    specs = [format_heads((int(layer), int(head)) for layer, head in own) for own in sets]
    return " | ".join(dict.fromkeys(specs))
