"""``head_scores``: effects of ablating each head on every score."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from emotion_circuits.errors import InputError
from emotion_circuits.experiments.contract.heads import nested_scores
from emotion_circuits.experiments.contract.nesting import Line, flat, outcomes_of
from emotion_circuits.experiments.outcomes import BASELINE_KIND, FLUENCY, Outcomes

ALL: Final = "all"
# Key of what n is reduced by where deviations divide by it. The older implementation divides by n
# and has no such key; nor have earlier files of this program, which name the ablation.
DDOF: Final = "delta_std_ddof"
# Keys of a score; strings under other keys distinguish scores of one head.
_KNOWN: Final = {"layer", "head", "metric", "prompt", "text"}


def nest_head_scores(
    outcomes: Outcomes, *, targets: Sequence[str], metrics: Sequence[str], labels: Sequence[str]
) -> dict[str, Any]:
    """Nest the ablations of single heads in the form of the file.

    ``head_scores`` and ``head_samples`` hold one entry per head and metric, and per head, for the
    main ablation over prompts of all labels. The main ablation is ``mean``, if it was run.

    Args:
        outcomes: The baseline of every prompt, and for each ``ablation``, ``layer`` and ``head``
            a line of kind ``ablation`` for every prompt, in the same order.
        targets: Metrics whose scores are kept for every prompt.
        metrics: Metrics whose mean effects are listed.
        labels: The study's labels in order.

    Returns:
        ``head_scores``: the mean change, its standard deviation over prompts (None for one
        prompt) and the number of prompts; ``head_scores_by_label``: the same for each ablation
        and label of the prompts; ``head_samples``: each prompt's label, target metrics and texts;
        ``other_head_samples``: the same under the other ablations; ``delta_std_ddof``, which is 1:
        deviations divide by n - 1; and the layers, ablation and prompts with their labels, pairs
        and halves.
    """
    baseline = outcomes.baseline
    by_ablation = {
        where["ablation"]: lines
        for where, lines in outcomes.where(kind="ablation").groups(["ablation"])
    }
    main = "mean" if "mean" in by_ablation else next(iter(by_ablation))
    of_prompt = baseline.table["label"].to_numpy()
    selections = {label: of_prompt == label for label in labels if (of_prompt == label).any()}
    everywhere = np.ones(len(of_prompt), dtype=bool)
    return {
        "layers": sorted(set(map(int, by_ablation[main].table["layer"]))),
        "prompts": baseline.table["prompt"].tolist(),
        "ablation": main,
        DDOF: 1,
        "labels": of_prompt.tolist(),
        "pair_ids": baseline.table["pair_id"].tolist(),
        "halves": baseline.table["half"].tolist(),
        "head_scores": list(
            _scores(by_ablation[main], baseline, metrics, everywhere, ablation=main, label=ALL)
        ),
        "head_samples": list(_samples(by_ablation[main], baseline, targets, main)),
        "head_scores_by_label": [
            entry
            for ablation, lines in by_ablation.items()
            for label, chosen in selections.items()
            for entry in _scores(lines, baseline, metrics, chosen, ablation=ablation, label=label)
        ],
        "other_head_samples": [
            entry
            for ablation, lines in by_ablation.items()
            if ablation != main
            for entry in _samples(lines, baseline, targets, ablation)
        ],
    }


def _scores(
    outcomes: Outcomes,
    baseline: Outcomes,
    metrics: Sequence[str],
    chosen: np.ndarray,
    **what: str,
) -> Iterator[dict[str, Any]]:
    """Yield each head's mean change of each metric over the chosen prompts."""
    n = int(chosen.sum())
    heads = list(outcomes.groups(["layer", "head"]))
    for metric in metrics:
        before = baseline.values([metric])[chosen, 0]
        for where, lines in heads:
            deltas = lines.values([metric])[chosen, 0] - before
            yield {
                "layer": int(where["layer"]),
                "head": int(where["head"]),
                "metric": metric,
                "delta_mean": float(deltas.mean()),
                "delta_std": float(deltas.std(ddof=1)) if n > 1 else None,
                "n_samples": n,
                **what,
            }


def _samples(
    outcomes: Outcomes, baseline: Outcomes, targets: Sequence[str], ablation: str
) -> Iterator[dict[str, Any]]:
    """Yield each head's samples over all prompts."""
    unique = list(dict.fromkeys(targets))
    before = nested_scores(baseline, unique)
    for where, lines in outcomes.groups(["layer", "head"]):
        columns = zip(
            *(baseline.table[name] for name in ("prompt", "label")),
            *(before, nested_scores(lines, unique)),
            *(baseline.table["text"], lines.table["text"]),
            strict=True,
        )
        names = ("prompt", "label", "baseline", "patched", "baseline_text", "patched_text")
        yield {
            "layer": int(where["layer"]),
            "head": int(where["head"]),
            "ablation": ablation,
            "samples": [dict(zip(names, values, strict=True)) for values in columns],
        }


class ScoreSummary(NamedTuple):
    """Mean and deviation of the effect of ablating one head on one metric.

    Attributes:
        layer: Counted from 0.
        head: Counted from 0.
        metric: ``metric/label``.
        variant: Further description, such as the kind of ablation.
        delta_mean: Mean change.
        delta_std: Standard deviation of the change over distinct texts, with n - 1.
        n_samples: Number of distinct texts.
    """

    layer: int
    head: int
    metric: str
    variant: str
    delta_mean: float
    delta_std: float
    n_samples: int


def read_head_scores(result: Mapping[str, Any]) -> tuple[Outcomes, list[ScoreSummary]]:
    """Read a screening, of this program or of the older implementation.

    Args:
        result: The file's content with ``head_scores``; ``head_samples`` may hold texts alone or
            scores.

    Returns:
        For samples with scores, lines of kind ``baseline`` and ``changed``, numbered by
        ``record`` for each head and label; and every score's mean and deviation, which divides by
        n - 1 whatever the file's divides by.

    Raises:
        KeyError: If the result does not have the form of the file.
        InputError: If ``delta_std_ddof`` is neither 0 nor 1.
    """
    entries = [*(result.get("head_samples") or []), *(result.get("other_head_samples") or [])]

    def lines() -> Iterator[Line]:
        for number, entry in enumerate(entries):
            yield from _lines_of_entry(entry, number)

    # Scores over all labels would repeat those of each label.
    scores = result.get("head_scores_by_label") or result["head_scores"]
    prompts, ddof = result.get("prompts") or [], _ddof(result, scores)
    return outcomes_of(lines()), [_summary(score, prompts, ddof) for score in scores]


def _ddof(result: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> int:
    """Return 1 if the file's deviations divide by n - 1, and 0 if by n."""
    if DDOF in result:
        if result[DDOF] not in (0, 1):
            raise InputError(
                f"{DDOF} of the screening is {result[DDOF]!r}; allowed are 0 (deviations divide "
                "by n) and 1 (by n - 1)"
            )
        return int(result[DDOF])
    return int(any("ablation" in part for part in (result, *scores)))


def _lines_of_entry(entry: Mapping[str, Any], number: int) -> Iterator[Line]:
    head = {"layer": int(entry["layer"]), "head": int(entry["head"])}
    for item in entry["samples"]:
        if not isinstance(item["patched"], Mapping):
            continue  # a text without scores
        label = str(item.get("label", ""))
        where = {
            "record": f"{number} {label}",
            **head,
            "variant": _variant({"label": label, **entry}),
        }
        for side, kind in (("baseline", BASELINE_KIND), ("patched", "changed")):
            line = {"prompt": item["prompt"], "kind": kind, **where}
            yield line | {"text": item.get(f"{side}_text", "")} | _flat_scores(item[side])


def _flat_scores(nested_side: Mapping[str, Any]) -> dict[str, float]:
    """Return the scores of one text; fluency is a column of its own in ``Outcomes``."""
    return {"fluency" if key == FLUENCY else key: score for key, score in flat(nested_side).items()}


def _summary(score: Mapping[str, Any], prompts: Sequence[str], ddof: int) -> ScoreSummary:
    n, factor = _distinct(int(score["n_samples"]), prompts, ddof)
    mean, std = (_number(score[name]) for name in ("delta_mean", "delta_std"))
    return ScoreSummary(
        int(score["layer"]),
        int(score["head"]),
        str(score["metric"]),
        _variant(score),
        mean,
        std * factor,
        n,
    )


def _variant(entry: Mapping[str, Any]) -> str:
    """Join the strings that describe a score further, such as the kind of ablation."""
    names = sorted(name for name in entry if name not in _KNOWN and isinstance(entry[name], str))
    return " ".join(entry[name] for name in names if entry[name])


def _number(value: Any) -> float:
    return float("nan") if value is None else float(value)


def _distinct(n_samples: int, prompts: Sequence[str], ddof: int) -> tuple[int, float]:
    """Return the number of distinct texts and a factor for the standard deviation.

    The factor makes the deviation divide by n - 1 for n distinct texts. If each of them is repeated
    r times, the deviation that divides by the number of values is the same over all n r values,
    and √(n r / (n r - 1)) times it is the one that divides by n r - 1.
    """
    counts = Counter(prompts)
    n = min(n_samples, len(counts)) if counts else n_samples
    times = set(counts.values())
    if n < 2:
        return n, float("nan")  # one text has no deviation
    widen = float(np.sqrt(n / (n - 1)))
    if not ddof:
        return n, widen
    is_repeated = n != n_samples and times == {n_samples // n}
    return n, widen * float(np.sqrt((n_samples - 1) / n_samples)) if is_repeated else 1.0
