"""The gates of a language model as parts of its card."""

from __future__ import annotations

from typing import Any

from emotion_circuits.emotions import EMOTIONS, LABELS


def gate_parts(gates: dict[str, Any]) -> list[str]:
    """Write what was measured on a language model, gate by gate.

    Args:
        gates: What ``language_model_gates`` gives.

    Returns:
        Pieces of Markdown.
    """
    return [
        _summary(gates),
        _data(gates["data"]),
        _expressed(gates),
        _perplexity(gates["perplexity"]),
        _steering(gates["steering"]),
        _heads(gates["heads"]),
        _probes(gates["probes"]),
        _overlap(gates["overlap"]),
        _samples(gates),
    ]


def verdicts(gates: dict[str, Any]) -> list[tuple[str, str, bool]]:
    """Compare every gate's estimate with its threshold.

    Args:
        gates: What ``language_model_gates`` gives.

    Returns:
        For each gate its name with the threshold, what was measured, and whether it is reached.
    """
    shares = {label: cell["share"] for label, cell in gates["expressed_emotion"].items()}
    steering, heads = gates["steering"], gates["heads"]
    effects = steering["emotions"]
    contrasts = gates["probes"]["contrasts"]
    bag = contrasts["anger_vs_apology"]["bag_of_words"]["value"]
    auroc = min(cell["residual"]["value"] for cell in contrasts.values())
    best = gates["overlap"]["best"]
    ratio = gates["perplexity"]["ratio"]
    rows = [
        ("expressed emotion, each label ≥ 0.80", *_least(shares, 0.8)),
        ("perplexity, unseen over seen ≤ 1.10", f"{ratio:.3f}", ratio <= 1.1),
        (
            "steering: own emotion's d ≥ 0.8",
            *_least({emotion: effects[emotion]["d"]["value"] for emotion in EMOTIONS}, 0.8),
        ),
        (
            "steering: cost ≤ 0.5 nats per token",
            *_most({emotion: effects[emotion]["cost"]["value"] for emotion in EMOTIONS}, 0.5),
        ),
        (
            "steering: random directions below half of d ≥ 0.95",
            *_least({emotion: effects[emotion]["random_below_half"] for emotion in EMOTIONS}, 0.95),
        ),
        (
            "steering: own label moves most",
            ", ".join(emotion for emotion in EMOTIONS if _is_specific(steering, emotion)),
            all(_is_specific(steering, emotion) for emotion in EMOTIONS),
        ),
        (
            "most important head over median head ≥ 5",
            f"{heads['ratio']['value']:.1f}",
            heads["ratio"]["value"] >= 5,
        ),
        ("probe AUROC on implicit texts ≥ 0.90, each contrast", f"{auroc:.3f}", auroc >= 0.9),
        ("bag of words, anger against apology ≤ 0.75", f"{bag:.3f}", bag <= 0.75),
        (
            "mapped overlap minus its null's 95th percentile > 0",
            *_least(
                {emotion: best[emotion]["overlap"] - best[emotion]["null_95"] for emotion in best},
                1e-9,
            ),
        ),
    ]
    return rows


def _least(values: dict[str, float], floor: float) -> tuple[str, bool]:
    name = min(values, key=lambda key: values[key])
    return f"{values[name]:.3f} ({name})", values[name] >= floor


def _most(values: dict[str, float], ceiling: float) -> tuple[str, bool]:
    name = max(values, key=lambda key: values[key])
    return f"{values[name]:.3f} ({name})", values[name] <= ceiling


def _is_specific(steering: dict[str, Any], emotion: str) -> bool:
    row = list(steering["specificity"][emotion].values())
    return bool(row[EMOTIONS.index(emotion)] == max(row))


def _summary(gates: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name} | {value} | {'reached' if reached else '**not reached**'} |"
        for name, value, reached in verdicts(gates)
    )
    return f"| Gate | Least favourable value | |\n|---|---|---|\n{rows}\n"


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
    rows = []
    for emotion in LABELS:
        cells = [_share(gates[column][emotion]) for column in columns]
        rows.append(f"| {emotion} | {' | '.join(cells)} |")
    return (
        f"### Expressed emotion\n\nShare of {gates['n_texts']} situations of unseen combinations "
        "that are met with their emotion, with 95 % Wilson intervals:\n\n"
        f"| Situation | {' | '.join(columns.values())} |\n|---|---|---|---|\n"
        + "\n".join(rows)
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


def _steering(steering: dict[str, Any]) -> str:
    rows = []
    for emotion, cell in steering["emotions"].items():
        randoms = sorted(abs(value) for value in cell["random_d"])
        rows.append(
            f"| {emotion} | {_value(cell['d'])} | {_value(cell['change'])} | "
            f"{_value(cell['cost'])} | {randoms[len(randoms) // 2]:.2f}, {randoms[-1]:.2f} | "
            f"{cell['random_below_half']:.2f} |"
        )
    labels = list(next(iter(steering["specificity"].values())))
    matrix = "\n".join(
        f"| {emotion} | {' | '.join(f'{row[label]:+.3f}' for label in labels)} |"
        for emotion, row in steering["specificity"].items()
    )
    shown = "\n".join(
        f"| {row['situation']} | {row['unsteered']} | "
        f"{' | '.join(row[emotion] for emotion in EMOTIONS)} |"
        for row in steering["samples"]
    )
    return (
        "### Steering\n\nThe mean-difference vector (mean over tokens, prompts of training "
        f"combinations) is added after block {steering['layer']} with α = {steering['alpha']:g} "
        "from the last prompt token on; layer and α were chosen on validation combinations. "
        f"{steering['n_prompts']} neutral prompts of test combinations, with "
        f"{steering['distinct']} distinct unsteered continuations. d is Cohen's d of the paired "
        "difference of the emotion's own GoEmotions label; cost is the mean negative "
        "log-likelihood of the continuation under the unsteered model, steered minus unsteered; "
        f"{steering['n_random']} random directions of the same length per emotion.\n\n"
        "| Emotion | d | change of own label | cost, nats per token | random \\|d\\|: median, "
        "largest | random below half of d |\n|---|---|---|---|---|---|\n"
        + "\n".join(rows)
        + f"\n\nMean change of each label:\n\n| Steered towards | {' | '.join(labels)} |\n"
        f"|{'---|' * (len(labels) + 1)}\n{matrix}\n\n"
        f"| Neutral situation | unsteered | {' | '.join(EMOTIONS)} |\n|---|---|---|---|---|\n"
        f"{shown}\n"
    )


def _heads(heads: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {layer} | {' | '.join(f'{value:.3f}' for value in row)} |"
        for layer, row in enumerate(heads["changes"])
    )
    names = range(len(heads["changes"][0]))
    return (
        "### Heads\n\nOne head's output is set to zero at all prompt positions; the change is the "
        "absolute mean change of the situation's own label. The most important head, chosen on "
        f"other prompts, is layer {heads['layer']} head {heads['head']}: {heads['change']:.3f}, "
        f"against {heads['median']:.4f} for the median head; ratio {_value(heads['ratio'], 1)} "
        f"({heads['n_prompts']} prompts).\n\n| Layer | {' | '.join(f'head {n}' for n in names)} |\n"
        f"|{'---|' * (len(names) + 1)}\n{rows}\n"
    )


def _probes(probes: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {name.replace('_', ' ')} | {_value(cell['residual'], 3)} | "
        f"{_value(cell['bag_of_words'], 3)} |"
        for name, cell in probes["contrasts"].items()
    )
    return (
        "### Probes\n\nAUROC on test prompts whose set names no emotion, probes fitted on training "
        f"combinations; layer {probes['layer']} was chosen on validation combinations.\n\n"
        f"| Contrast | residual stream | bag of words |\n|---|---|---|\n{rows}\n"
    )


def _overlap(overlap: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {emotion} | {row['layer']} | {row['other_layer']} | {row['k']} | "
        f"{row['overlap']:.3f} | {row['null_95']:.3f} |"
        for emotion, row in overlap["best"].items()
    )
    return (
        f"### Overlap with {overlap['other']}\n\nEmotion subspaces, mapped by a ridge regression "
        "on paired neutral prompts: mean squared cosine of the principal angles, against the 95th "
        f"percentile of {overlap['n_permutations']} maps with broken pairs. The best depth and k "
        "of each emotion; all are in gates.json.\n\n"
        f"| Emotion | layer | its layer | k | overlap | null |\n|---|---|---|---|---|---|\n{rows}\n"
    )


def _samples(gates: dict[str, Any]) -> str:
    rows = "\n".join(
        f"| {row['emotion']} | {row['situation']} | {row['said']} |" for row in gates["samples"]
    )
    return f"### Samples\n\n| Emotion | Situation | What it said |\n|---|---|---|\n{rows}\n"
