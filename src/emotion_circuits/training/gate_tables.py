"""Model card sections that report the gates of a language model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from emotion_circuits.embedded_world.emotions import EMOTIONS, LABELS
from emotion_circuits.training.gates.overlap import K_MAX
from emotion_circuits.training.steering_tables import steering_section

ALPHA: Final = 0.05
# A contrast whose bag-of-words AUROC exceeds this can be told by words alone.
WORDS_TELL: Final = 0.75


class Verdict(NamedTuple):
    """Result of one gate.

    Attributes:
        gate: Name of the gate, with its threshold.
        value: The least favourable estimate.
        reached: Whether the estimate reaches the threshold.
        doubt: Worst end of the 95 % intervals where that misses the threshold; else empty.
    """

    gate: str
    value: str
    reached: bool
    doubt: str = ""


def gate_parts(gates: dict[str, Any]) -> list[str]:
    """Write the measurements on a language model, gate by gate.

    Args:
        gates: The result of ``language_model_gates``.

    Returns:
        Sections in Markdown.
    """
    return [
        _summary(gates),
        _data(gates["data"]),
        _expressed(gates),
        _perplexity(gates["perplexity"]),
        steering_section(gates["steering"]),
        _heads(gates["heads"]),
        _probes(gates["probes"]),
        _overlap(gates["overlap"]),
        _samples(gates),
    ]


def verdicts(gates: dict[str, Any]) -> list[Verdict]:
    """Compare each gate's estimate and interval with its threshold.

    Args:
        gates: The result of ``language_model_gates``.

    Returns:
        One verdict per gate. Overlaps and shares of random directions have no interval.
    """
    shares = {
        label: cell | {"value": cell["share"]} for label, cell in gates["expressed_emotion"].items()
    }
    steering, heads, overlap = gates["steering"], gates["heads"], gates["overlap"]
    effects, contrasts = steering["emotions"], gates["probes"]["contrasts"]
    ratio = {
        name: gates["perplexity"][key]
        for name, key in (
            ("value", "ratio"),
            ("ci_lower", "ratio_ci_lower"),
            ("ci_upper", "ratio_ci_upper"),
        )
    }
    specific = [emotion for emotion in EMOTIONS if _is_specific(steering, emotion)]
    below_half = {emotion: {"value": effects[emotion]["random_below_half"]} for emotion in EMOTIONS}
    residual = {name.replace("_", " "): cell["residual"] for name, cell in contrasts.items()}
    return [
        _at_least("expressed emotion, each label ≥ 0.80", shares, 0.8),
        _at_most("perplexity, unseen over seen ≤ 1.10", {"": ratio}, 1.1),
        _at_least("steering: own emotion's d ≥ 0.8", _each(effects, "d"), 0.8),
        _at_most("steering: cost ≤ 0.5 nats per token", _each(effects, "cost"), 0.5),
        _at_least("steering: random directions below half of d ≥ 0.95", below_half, 0.95),
        Verdict(
            "steering: own label moves most", ", ".join(specific), len(specific) == len(EMOTIONS)
        ),
        _at_least("most important head over median head ≥ 5", {"": heads["ratio"]}, 5.0, digits=1),
        _at_least("probe AUROC on implicit texts ≥ 0.90, each contrast", residual, 0.9),
        _at_most(
            "bag of words, anger against apology ≤ 0.75",
            {"": contrasts["anger_vs_apology"]["bag_of_words"]},
            0.75,
        ),
        *_shared(overlap),
    ]


def _each(cells: Mapping[str, Mapping[str, Any]], key: str) -> dict[str, Any]:
    return {emotion: cells[emotion][key] for emotion in EMOTIONS}


def _at_least(
    gate: str, cells: Mapping[str, Mapping[str, float]], floor: float, *, digits: int = 3
) -> Verdict:
    name = min(cells, key=lambda key: cells[key]["value"])
    ends = {key: cell["ci_lower"] for key, cell in cells.items() if "ci_lower" in cell}
    value, end = cells[name]["value"], min(ends, key=lambda key: ends[key], default=None)
    doubt = "" if end is None or ends[end] >= floor else f"from {_named(ends[end], end, digits)}"
    return Verdict(gate, _named(value, name, digits), value >= floor, doubt)


def _at_most(gate: str, cells: Mapping[str, Mapping[str, float]], ceiling: float) -> Verdict:
    name = max(cells, key=lambda key: cells[key]["value"])
    end = max(cells, key=lambda key: cells[key]["ci_upper"])
    value, upper = cells[name]["value"], cells[end]["ci_upper"]
    doubt = "" if upper <= ceiling else f"to {_named(upper, end, 3)}"
    return Verdict(gate, _named(value, name, 3), value <= ceiling, doubt)


def _named(value: float, name: str, digits: int) -> str:
    return f"{value:.{digits}f} ({name})" if name else f"{value:.{digits}f}"


def _shared(overlap: Mapping[str, Any]) -> list[Verdict]:
    """Judge overlaps at the layer of steering, if it was measured there, and at the best layer."""
    found = []
    places = [("best", "p_value", "at the best layer, corrected for it")]
    if "at_steering" in overlap:
        places.insert(0, ("at_steering", "p_value_layer", "at the layer of steering"))
    for key, column, where in places:
        lines = overlap[key]
        missing = [emotion for emotion in EMOTIONS if emotion not in lines]
        p_values = {emotion: lines[emotion][column] for emotion in lines}
        name = max(p_values, key=lambda emotion: p_values[emotion], default="")
        found.append(
            Verdict(
                f"mapped overlap above broken pairs {where}, p < {ALPHA:g} at k ≤ {K_MAX}, "
                "each emotion",
                f"p = {_named(p_values[name], name, 3)}" if name else "no overlap",
                not missing
                and all(lines[e][column] < ALPHA and lines[e]["k"] <= K_MAX for e in lines),
            )
        )
    return found


def _is_specific(steering: dict[str, Any], emotion: str) -> bool:
    changes = list(steering["specificity"][emotion].values())
    return bool(changes[EMOTIONS.index(emotion)] == max(changes))


def _summary(gates: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {verdict.gate} | {verdict.value} | {_word(verdict)} |" for verdict in verdicts(gates)
    )
    return (
        f"| Gate | Least favourable value | |\n|---|---|---|\n{lines}\n\n"
        "Reached is said of estimates; where the 95 % interval does not reach the threshold, its "
        f"near end follows. {_words_tell(gates['probes'])}\n"
    )


def _word(verdict: Verdict) -> str:
    word = "reached" if verdict.reached else "**not reached**"
    return f"{word} (interval {verdict.doubt})" if verdict.doubt else word


def _words_tell(probes: dict[str, Any]) -> str:
    """State in which contrasts the probe's AUROC may come from words alone."""
    bags = {name: cell["bag_of_words"]["value"] for name, cell in probes["contrasts"].items()}
    told = {name: value for name, value in bags.items() if value > WORDS_TELL}
    told = dict(sorted(told.items(), key=lambda item: -item[1]))
    if not told:
        return f"A bag of words tells no contrast (AUROC at most {max(bags.values()):.3f})."
    listed = ", ".join(f"{name.replace('_', ' ')} {value:.3f}" for name, value in told.items())
    return (
        f"A bag of words tells {len(told)} of the {len(bags)} contrasts by itself (AUROC {listed}):"
        " there the probe's AUROC shows no more than which words occur. The gate on it is of anger "
        "against apology alone."
    )


def _data(data: dict[str, Any]) -> str:
    def shares(name: str) -> str:
        return ", ".join(f"{level} {share:.2f}" for level, share in data[name].items())

    combinations = ", ".join(f"{split} {n}" for split, n in data["combinations"].items())
    lengths = [data[f"{part}_tokens"] for part in ("situation", "reaction")]
    situation, reaction = (
        f"{cell['mean']:.1f} ({cell['q05']:.0f} to {cell['q95']:.0f})" for cell in lengths
    )
    return (
        f"### Data\n\nCounted over {data['n_texts']} training texts: {data['distinct']:.3f} of "
        f"them distinct, {data['explicit']:.2f} explicit. Tokens, mean and 5th to 95th percentile: "
        f"situation {situation}, reaction {reaction}.\n\n"
        f"- Combinations of person and object: {combinations}.\n"
        f"- Situations: {shares('emotion')}.\n- Reactions: {shares('expressed')}.\n"
        f"- Politeness: {shares('politeness')}.\n- Intensity: {shares('intensity')}.\n"
    )


def _expressed(gates: dict[str, Any]) -> str:
    columns = {
        "expressed_emotion": "read by the evaluator",
        "expressed_emotion_implicit": "implicit situations only",
        "expressed_emotion_by_words": "by the words used",
    }
    lines = []
    for emotion in LABELS:
        cells = [_share(gates[column][emotion]) for column in columns]
        lines.append(f"| {emotion} | {' | '.join(cells)} |")
    return (
        f"### Expressed emotion\n\nShare of {gates['n_texts']} situations of unseen combinations "
        "that are met with their emotion, with 95 % Wilson intervals:\n\n"
        f"| Situation | {' | '.join(columns.values())} |\n|---|---|---|---|\n"
        + "\n".join(lines)
        + "\n"
    )


def _share(cell: dict[str, float]) -> str:
    return f"{cell['share']:.3f} [{cell['ci_lower']:.3f}, {cell['ci_upper']:.3f}]"


def _value(cell: dict[str, float], digits: int = 2) -> str:
    value, lower, upper = (f"{cell[key]:.{digits}f}" for key in ("value", "ci_lower", "ci_upper"))
    return f"{value} [{lower}, {upper}]"


def _perplexity(perplexity: dict[str, float]) -> str:
    low, high = perplexity["ratio_ci_lower"], perplexity["ratio_ci_upper"]
    return (
        f"Perplexity of reactions per token: {perplexity['seen']:.3f} on seen combinations, "
        f"{perplexity['unseen']:.3f} on unseen ones, ratio {perplexity['ratio']:.3f} "
        f"[{low:.3f}, {high:.3f}].\n"
    )


def _heads(heads: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {layer} | {' | '.join(f'{value:.3f}' for value in changes)} |"
        for layer, changes in enumerate(heads["changes"])
    )
    names = range(len(heads["changes"][0]))
    return (
        "### Heads\n\nOne head's output is set to zero at all prompt positions; the change is the "
        "absolute mean change of the situation's own label. The most important head, chosen on "
        f"other prompts, is layer {heads['layer']} head {heads['head']}: {heads['change']:.3f}, "
        f"against {heads['median']:.4f} for the median head; ratio {_value(heads['ratio'], 1)} "
        f"({heads['n_prompts']} prompts, on which others may do more). Its ablation costs "
        f"{_value(heads['cost'], 3)} nats per token under the unpatched model. The reaction to the "
        f"neutral situation of the set costs {_value(heads['cost_reference'], 3)} there: so much "
        "does the lost emotion cost by itself.\n\n"
        f"| Layer | {' | '.join(f'head {n}' for n in names)} |\n"
        f"|{'---|' * (len(names) + 1)}\n{lines}\n"
    )


def _probes(probes: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {name.replace('_', ' ')} | {_value(cell['residual'], 3)} | "
        f"{_value(cell['bag_of_words'], 3)} |"
        for name, cell in probes["contrasts"].items()
    )
    return (
        "### Probes\n\nAUROC on test prompts whose set names no emotion, probes fitted on training "
        f"combinations; layer {probes['layer']} was chosen on validation combinations.\n\n"
        f"| Contrast | residual stream | bag of words |\n|---|---|---|\n{lines}\n"
    )


def _overlap(overlap: dict[str, Any]) -> str:
    where = [("best", "p_value", "best layer")]
    if "at_steering" in overlap:
        where.insert(0, ("at_steering", "p_value_layer", "layer of steering"))
    lines = "\n".join(
        f"| {place} | {emotion} | {line['layer']} | {line['other_layer']} | {line['k']} | "
        f"{line['overlap']:.3f} | {line['null_95']:.3f} | {line[p_value]:.3f} |"
        for key, p_value, place in where
        for emotion, line in overlap[key].items()
    )
    return (
        f"### Overlap with {overlap['other']}\n\nEmotion subspaces, mapped by a ridge regression "
        "on paired neutral prompts: mean squared cosine of the principal angles, against "
        f"{overlap['n_permutations']} maps with broken pairs. First at the layer that was chosen "
        "for steering, where the emotion acts, then at the depth where the overlap is clearest, "
        "which may be one where steering moves little; all are in gates.json. The percentile is "
        "of this depth and k alone. p is corrected by max-T: for the choice of k at the layer of "
        "steering, for the choice of depth and k at the best layer. It says that the map carries "
        "something of what is there, not that it carries this emotion and no other."
        "\n\n| Where | Emotion | layer | its layer | k | overlap | null, 95th percentile | "
        f"corrected p |\n|---|---|---|---|---|---|---|---|\n{lines}\n"
    )


def _samples(gates: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {sample['emotion']} | {sample['situation']} | {sample['said']} |"
        for sample in gates["samples"]
    )
    return f"### Samples\n\n| Emotion | Situation | What it said |\n|---|---|---|\n{lines}\n"
