"""What is nested into the contract's files is read back as the same outcomes."""

import json
from itertools import product

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.datasets import ResultJSONDataset, ResultPickleDataset
from emotion_circuits.experiments import FLUENCY, Outcomes
from emotion_circuits.experiments.contract import (
    nest_head_records,
    nest_head_result,
    nest_head_scores,
    nest_random_sweep,
    nest_residual_sweep,
    read_head_result,
    read_head_scores,
    read_random_sweep,
    read_residual_sweep,
)
from emotion_circuits.experiments.contract.heads import COMBINATION
from emotion_circuits.experiments.contract.nesting import walk
from emotion_circuits.experiments.head_sets import HeadSet
from emotion_circuits.experiments.heads import Head

METRICS = ("sentiment/positive", "goemotions/joy", "goemotions/fear")
PROMPTS = tuple(f"prompt {number}" for number in range(4))
EMOTIONS, LAYERS, ALPHAS = ("joy", "fear"), (3, 0), (2.0, -0.5)
PLACE = ["kind", "emotion", "layer", "draw", "alpha", "prompt"]


def outcomes_of(lines, seed=0):
    """Give lines texts and scores; every third text is that of the line before, scores and all."""
    rng, table = np.random.default_rng(seed), []
    for number, line in enumerate(lines):
        own = {"text": f" text {number}", "token_ids": (number, 7)}
        own |= dict(zip(("fluency", *METRICS), rng.random(4).tolist(), strict=True))
        if number % 3 == 2:
            own = {name: table[-1][name] for name in own}
        table.append({**line, **own})
    found = pd.DataFrame(table)
    return Outcomes(found.astype({n: "Int64" for n in ("layer", "head") if n in found}))


def steered(**more):
    """Coordinates of phase 5: the baseline, then every emotion, layer and strength."""
    conditions = [{"kind": "baseline", "emotion": "", "layer": None, "draw": 0, "alpha": None}]
    conditions += [
        {"kind": "emotion", "emotion": emotion, "layer": layer, "draw": 0, "alpha": alpha}
        for emotion, layer, alpha in product(EMOTIONS, LAYERS, ALPHAS)
    ]
    return [
        {"prompt": prompt, **{name: column[place] for name, column in more.items()}, **condition}
        for place, prompt in enumerate(PROMPTS)
        for condition in conditions
    ]


def assert_same_lines(seen, wanted, dropped=()):
    """The same lines with the same columns, in whatever order."""
    one, other = (
        outcomes.table.drop(columns=list(dropped), errors="ignore")
        .sort_values(PLACE)
        .reset_index(drop=True)
        for outcomes in (seen, wanted)
    )
    pd.testing.assert_frame_equal(one, other, check_like=True, check_exact=True)


def saved(result, tmp_path):
    """The result after it was written to disk and read by the catalog's dataset."""
    dataset = ResultPickleDataset(filepath=str(tmp_path / "result.pkl"))
    dataset.save(result)
    return dataset.load()


def test_a_residual_sweep_is_read_as_it_was(tmp_path):
    halves, clusters = ("select", "confirm", "confirm", "select"), ("t1", "t2", "t3", "t1")
    outcomes = outcomes_of(steered(half=halves, cluster=clusters))
    result = nest_residual_sweep(outcomes)
    assert result["halves"] == {"select": [*PROMPTS[::3]], "confirm": [*PROMPTS[1:3]]}
    assert list(result["sweep_results"]) == list(EMOTIONS)  # in their order, the rest sorted
    assert list(result["sweep_results"]["joy"]) == sorted(LAYERS)
    assert list(result["sweep_results"]["joy"][0]) == sorted(ALPHAS)
    assert_same_lines(read_residual_sweep(saved(result, tmp_path)), outcomes)


def test_a_random_sweep_is_read_as_it_was(tmp_path):
    lines = steered()
    for kind, n_draws in (("random", 3), ("shuffled", 2)):
        of_emotions = [line for line in steered() if line["kind"] == "emotion"]
        lines += [line | {"kind": kind, "draw": n} for n in range(n_draws) for line in of_emotions]
    again = [line for line in steered() if line["kind"] == "baseline"]
    lines += [line | {"kind": "reseeded", "draw": n} for n in range(2) for line in again]
    outcomes = outcomes_of(lines)
    result = nest_random_sweep(outcomes)
    assert list(result["random_results"]["joy"][3]) == [0, 1, 2]
    seen = read_random_sweep(saved(result, tmp_path))
    assert_same_lines(seen, outcomes, dropped=["token_ids"])  # the file has none


def test_equal_texts_share_one_object_for_their_scores():
    """A pickle writes an object once, however often it is named."""
    result = nest_residual_sweep(outcomes_of(steered(half=["select"] * 4)))
    cells = [result["baseline"], *(cell for _, cell in walk(result["sweep_results"], 3))]
    distinct = {id(scores) for cell in cells for scores in cell["metrics"].values()}
    n_lines = len(PROMPTS) * (1 + len(EMOTIONS) * len(LAYERS) * len(ALPHAS))
    assert len(distinct) == n_lines - n_lines // 3


SETS = {
    "chosen": HeadSet("chosen", {"A": (Head(0, 1), Head(2, 3)), "B": (Head(2, 3),)}),
    "random 0": HeadSet("random 0", {"A": (Head(1, 1),), "B": (Head(1, 0),)}),
    "0:1": HeadSet("0:1", {"A": (Head(0, 1),)}),
}
LABELS = ("joy", "calm", "fear", "calm")


def changed_heads():
    """Outcomes of an experiment on heads: an ablation and two ways of patching."""
    own = [
        {"prompt_index": n, "prompt": text, "label": label, "pair_id": f"p{n // 2}", "half": half}
        for n, (text, label, half) in enumerate(zip(PROMPTS, LABELS, "AABB", strict=True))
    ]
    nothing = dict.fromkeys(("head_set", "heads", "ablation", "direction", "mode", "emotion"), "")
    lines = [{**where, **nothing, "kind": "baseline", "source_index": -1} for where in own]
    for name, ablation in product(("chosen", "random 0"), ("mean", "resample")):
        what = {**nothing, "kind": "ablation", "head_set": name, "ablation": ablation}
        sources = (2, 3, 0, 1) if ablation == "resample" else (-1,) * 4
        lines += [
            {**where, **what, "source_index": source}
            for where, source in zip(own, sources, strict=True)
        ]
    for name, emotion in (("chosen", "joy"), ("chosen", "fear"), ("0:1", "joy")):
        index = LABELS.index(emotion)
        what = {"kind": "patch", "direction": "emotion_to_neutral", "mode": "v_only"}
        what |= {"head_set": name, "emotion": emotion, "source_index": index}
        lines.append({**own[index + 1], **nothing, **what})
    return outcomes_of(lines)


def wanted_lines(outcomes):
    """What a reader is to get: each combination's baseline and changed lines, by loops."""
    before = outcomes.baseline.table.set_index("prompt_index")
    changed = outcomes.table[outcomes.table["kind"] != "baseline"]
    for number, (key, lines) in enumerate(changed.groupby(list(COMBINATION), sort=False)):
        where = dict(zip(COMBINATION, key, strict=True))
        for kind, table in (("baseline", before.loc[lines["prompt_index"]]), ("changed", lines)):
            for line in table.to_dict("records"):
                scores = {name: round(line[name], 6) for name in METRICS}
                emotion = where["emotion"] or line["label"]
                yield (number, kind, line["prompt"], emotion, line["text"], scores)


@pytest.mark.parametrize(
    ("kind", "told_apart"),
    [
        (
            "ablation",
            [
                ["0:1 2:3 | 2:3", "mean", False],
                ["0:1 2:3 | 2:3", "resample", False],
                ["1:1 | 1:0", "mean random 0", True],
                ["1:1 | 1:0", "resample random 0", True],
            ],
        ),
        (
            "patch",
            [
                ["0:1 2:3 | 2:3", "emotion_to_neutral v_only", False],
                ["0:1 2:3 | 2:3", "emotion_to_neutral v_only", False],
                ["0:1", "emotion_to_neutral v_only 0:1", True],
            ],
        ),
    ],
)
def test_an_experiment_on_heads_is_read_as_it_was(kind, told_apart, tmp_path):
    """Ablation and patching are files of their own."""
    whole = changed_heads()
    outcomes = whole.where(kind=["baseline", kind])
    records = nest_head_records(outcomes, SETS, "m")
    assert [record.get("source_prompts") is None for record in records] == [
        kind == "ablation" and record["ablation"] == "mean" for record in records
    ]
    seen = read_head_result(saved(nest_head_result(records, {"profile": "p"}), tmp_path)).table
    found = [
        (
            *(line[name] for name in ("record", "kind", "prompt", "emotion", "text")),
            {name: line[name] for name in METRICS},
        )
        for line in seen.to_dict("records")
    ]
    assert found == list(wanted_lines(outcomes))
    names = ["heads", "variant", "control"]
    assert seen.drop_duplicates("record")[names].to_numpy().tolist() == told_apart


def test_what_was_put_in_a_heads_place_is_named():
    records = nest_head_records(changed_heads(), SETS, "m")
    assert records[1]["source_prompts"] == [PROMPTS[n] for n in (2, 3, 0, 1)]
    assert records[1]["source_labels"] == [LABELS[n] for n in (2, 3, 0, 1)]
    assert records[-1]["source_prompts"] == [PROMPTS[0]]


def test_a_screening_is_read_as_it_was(tmp_path):
    own = [
        {"prompt": text, "label": label, "pair_id": f"p{n // 2}", "half": half}
        for n, (text, label, half) in enumerate(zip(PROMPTS, LABELS, "AABB", strict=True))
    ]
    lines = [{**where, "kind": "baseline", "ablation": ""} for where in own]
    heads = list(product((0, 2), (0, 1)))
    lines += [
        {**where, "kind": "ablation", "ablation": ablation, "layer": layer, "head": head}
        for ablation in ("zero", "mean")
        for where in own
        for layer, head in heads
    ]
    outcomes = outcomes_of(lines)
    target, listed = METRICS[1], [*METRICS[:2], FLUENCY]
    result = nest_head_scores(
        outcomes, targets=[target, FLUENCY], metrics=listed, labels=("joy", "fear", "calm")
    )
    assert result["ablation"] == "mean"
    assert result["layers"] == [0, 2]
    dataset = ResultJSONDataset(filepath=str(tmp_path / "scores.json"))
    dataset.save(result)
    seen, summaries = read_head_scores(dataset.load())

    table = outcomes.table
    before = table[table["kind"] == "baseline"].set_index("prompt")
    wanted = []
    for ablation, (layer, head) in product(("mean", "zero"), heads):
        of_head = table[(table["ablation"] == ablation) & (table["layer"] == layer)]
        for line in of_head[of_head["head"] == head].to_dict("records"):
            variant = f"{ablation} {line['label']}"
            for kind, each in (("baseline", before.loc[line["prompt"]]), ("changed", line)):
                scores = [round(each[name], 6) for name in (target, "fluency")]
                wanted.append((layer, head, variant, kind, line["prompt"], each["text"], *scores))
    names = ["layer", "head", "variant", "kind", "prompt", "text", target, "fluency"]
    assert list(map(tuple, seen.table[names].to_numpy().tolist())) == wanted
    assert seen.metrics == (target,)

    moments = {(s.layer, s.head, s.metric, s.variant): s for s in summaries}
    assert len(moments) == len(summaries) == 2 * len(heads) * len(listed) * 3
    for (layer, head, metric, variant), found in moments.items():
        ablation, label = variant.split()
        of_head = table[(table["ablation"] == ablation) & (table["label"] == label)]
        of_head = of_head[(of_head["layer"] == layer) & (of_head["head"] == head)]
        name = "fluency" if metric == FLUENCY else metric
        deltas = of_head[name].to_numpy() - before.loc[of_head["prompt"], name].to_numpy()
        assert found.n_samples == len(deltas)
        assert found.delta_mean == pytest.approx(deltas.mean(), rel=1e-12)
        deviation = deltas.std(ddof=1) if len(deltas) > 1 else np.nan
        assert found.delta_std == pytest.approx(deviation, rel=1e-9, nan_ok=True)
    json.dumps(result, allow_nan=False)


@pytest.mark.parametrize(
    ("read", "result"),
    [
        (read_random_sweep, {"random_results": {}, "emotion_results": {}}),
        (read_residual_sweep, {"baseline": {"metrics": {}}, "sweep_results": {}}),
        (read_head_result, nest_head_result([], {"profile": "p", "model": "m"})),
        (lambda result: read_head_scores(result)[0], {"head_scores": []}),
    ],
)
def test_a_file_without_results_is_a_table_without_lines(read, result):
    outcomes = read(result)
    assert len(outcomes) == len(outcomes.baseline) == 0
    assert list(outcomes.groups(["emotion", "layer"])) == []
