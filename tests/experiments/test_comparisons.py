"""What of the phases' results is compared with what: which prompts, which half of them."""

import numpy as np
import pytest
from scipy import stats

from effect_estimates import estimate, own_metric
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.comparisons import Source, comparisons_of
from emotion_circuits.statistics import Comparison, Summary
from phase_results import head_ablation, head_scores, prompts, random_sweep, residual_sweep

METRICS = ("patched_metrics", "baseline_metrics")


def read(kind, result):
    return list(comparisons_of(kind, result, Source("p", "m")))


def test_patching_records_are_told_apart():
    part = head_ablation("m", n=6)
    shared = {"model": "m", "profile": "p", "prompts": part["prompts"], "heads": [(2, 1)]}
    metrics = {name: part[name] for name in ("baseline_metrics", "patched_metrics")}
    record = {"emotion": "anger", "mode": "v_only", **metrics}
    result = shared | {
        "records": [
            record | {"direction": "neutral_to_emotion", "labels": ["anger"] * 6},
            record | {"direction": "emotion_to_neutral", "labels": ["neutral"] * 6},
        ]
    }
    keys = [item.key for item in read("head_ablation", result)]
    assert {key.comparison for key in keys} == {"patched_vs_neutral"}
    variants = {"neutral_to_emotion v_only", "emotion_to_neutral v_only"}
    assert {key.variant for key in keys} == variants
    assert {(key.layer, key.head, key.emotion) for key in keys} == {(2, 1, "anger")}
    assert len(set(keys)) == len(keys) == 10


def test_controls_are_a_family_of_their_own_and_each_half_keeps_its_heads():
    part = ablation_of_all_labels({"anger": -0.2, "neutral": 0.0})
    chosen = part | {"heads": [(0, 1), (2, 1)], "heads_by_half": {"A": [(2, 1)], "B": [(0, 1)]}}
    random = [
        part | {"heads": [(1, n)], "heads_by_half": {"A": [(1, n)]}, "control": f"random {n}"}
        for n in range(3)
    ]
    table = estimate(**{"head_ablation m": {**chosen, "records": [chosen, *random]}})
    assert table.groupby("control")["head_spec"].unique().map(list).to_dict() == {
        False: ["2:1 | 0:1"],
        True: ["1:0", "1:1", "1:2"],
    }
    assert table.groupby("control")["family_size"].unique().map(list).to_dict() == {
        False: [2],
        True: [6],
    }


def ablation_of_all_labels(change):
    """Change anger by ``change`` of each label, and by some noise."""
    rng = np.random.default_rng(0)
    texts = {label: [f"{label} {place}" for place in range(20)] for label in change}
    rows = [(label, text) for label, own in texts.items() for text in own]
    before = rng.random(len(rows))
    after = before + [change[label] for label, _ in rows] + rng.normal(0, 0.02, len(rows))
    return {
        "heads": [(2, 1)],
        "emotion": "",
        "ablation": "mean",
        "labels": [label for label, _ in rows],
        "prompts": [text for _, text in rows],
        "baseline_metrics": [{"goemotions": {"anger": value}} for value in before],
        "patched_metrics": [{"goemotions": {"anger": value}} for value in after],
    }


def test_an_ablation_is_compared_on_the_prompts_of_each_label_apart():
    """Over all prompts together, a head that lowers anger on angry ones seems to raise it."""
    change = {"gratitude": 0.2, "anger": -0.2, "apology": 0.2, "neutral": 0.2}
    result = ablation_of_all_labels(change)
    table = estimate(**{"head_ablation m": {**result, "records": [result]}})
    assert table["emotion"].tolist() == list(change)
    assert table["comparison"].unique().tolist() == ["patched_vs_neutral"]
    assert table["n_effective"].tolist() == [20] * 4
    np.testing.assert_allclose(table["mean_diff"], list(change.values()), atol=0.02)
    differences = {label: [] for label in change}
    for row, label in enumerate(result["labels"]):
        sides = (result[name][row]["goemotions"]["anger"] for name in METRICS)
        differences[label].append(float(np.subtract(*sides)))
    for label, row in table.set_index("emotion").iterrows():
        wanted = stats.ttest_1samp(differences[label], 0)
        assert row["p_value"] == pytest.approx(wanted.pvalue, rel=1e-8)


def test_metrics_that_are_not_as_many_as_prompts_are_one_line():
    result = ablation_of_all_labels({"anger": 0.1})
    result["patched_metrics"].pop()
    with pytest.raises(InputError, match=r"m\.head_ablation has not the format of its phase"):
        estimate(**{"head_ablation m": result})


def selected_sweeps(**metadata):
    """The emotion does nothing, but half of the prompts chose it for a lucky 0.5."""
    random = random_sweep("m", n=20)
    texts = prompts(20)
    halves = {"select": texts[::2], "confirm": texts[1::2]}
    for emotion, layers in random["emotion_results"].items():
        for strengths in layers.values():
            for record in strengths[4.0]:
                if record["prompt"] in halves["select"]:
                    record["metrics"]["goemotions"][emotion] += 0.5
    residual = residual_sweep("m", n=20) | {"halves": halves}
    return {
        "residual_sweep m": residual,
        "random_sweep m": random | ({"metadata": metadata} if metadata else {}),
    }


@pytest.mark.parametrize(
    ("metadata", "n", "shift"),
    [
        ({"random_layers": "selected", "random_alphas": "selected"}, 10, 0.0),
        ({"random_layers": "selected", "random_alphas": "all"}, 10, 0.0),
        ({"random_layers": [0], "random_alphas": "selected"}, 10, 0.0),
        ({"random_layers": "all", "random_alphas": "all"}, 20, 0.25),
        ({}, 20, 0.25),
    ],
)
def test_what_one_half_chose_is_compared_with_random_directions_on_the_other(metadata, n, shift):
    table = estimate(**selected_sweeps(**metadata))
    random = table[table["phase"] == "random"]
    assert random["n_effective"].unique().tolist() == [n]
    unplanted = own_metric(random[random["layer"] == 0])
    np.testing.assert_allclose(unplanted["mean_diff"], shift, atol=0.1)
    # No row of the sweep was chosen.
    assert (table.loc[table["phase"] == "residual", "n_effective"] == 20).all()


def test_chosen_conditions_without_the_halves_are_one_line():
    results = selected_sweeps(random_layers="selected")
    results["residual_sweep m"] = None
    with pytest.raises(InputError, match=r"run --pipelines=residual_patching first"):
        estimate(**results)


def test_screening_uses_values_where_it_has_them():
    scores = head_scores("m", n=6)
    scores["head_scores"] = [score | {"ablation": "zero"} for score in scores["head_scores"]]
    scores["head_samples"] = [
        {
            "layer": 0,
            "head": 3,
            "ablation": "zero",
            "samples": [
                {
                    "prompt": text,
                    "baseline": {"goemotions": {"anger": 0.1 * place}},
                    "patched": {"goemotions": {"anger": 0.2 * place}},
                }
                for place, text in enumerate(prompts(6))
            ],
        }
    ]
    found = read("head_scores", scores)
    sampled = {item.key.head_spec for item in found if isinstance(item, Comparison)}
    assert sampled == {"0:3"}
    assert sum(isinstance(item, Summary) for item in found) == 15
    assert {item.key.variant for item in found} == {"zero"}


def test_screening_is_compared_label_by_label_where_labels_are_known():
    """Scores over all labels, which stand first for readers that know no labels, add nothing."""
    texts = prompts(6)
    scores = head_scores("m", n=6)

    def entry(ablation):
        samples = [
            {
                "prompt": text,
                "label": "anger" if place < 3 else "neutral",
                "baseline": {"goemotions": {"anger": 0.1 * place}},
                "patched": {"goemotions": {"anger": 0.2 * place}},
            }
            for place, text in enumerate(texts)
        ]
        return {"layer": 0, "head": 3, "ablation": ablation, "samples": samples}

    row = {"layer": 0, "head": 3, "delta_mean": 0.1, "delta_std": 0.1, "n_samples": 3}
    scores["head_samples"], scores["other_head_samples"] = [entry("mean")], [entry("zero")]
    scores["head_scores_by_label"] = [
        row | {"metric": metric, "ablation": ablation, "label": label}
        for metric in ("goemotions/anger", "goemotions/joy")
        for ablation in ("mean", "zero")
        for label in ("anger", "neutral")
    ]
    found = read("head_scores", scores)
    variants = {"mean anger", "mean neutral", "zero anger", "zero neutral"}
    sampled = [item for item in found if isinstance(item, Comparison)]
    summed = [item for item in found if isinstance(item, Summary)]
    assert {item.key.variant for item in sampled} == variants
    assert len(sampled) == 4
    assert [item.key.metric_name for item in summed] == ["goemotions.joy"] * 4
    assert {item.key.variant for item in summed} == variants


@pytest.mark.parametrize("ddof", [0, 1])
def test_screening_counts_repeated_prompts_once(ddof):
    """Each text thrice: the deviation over n is that of the texts, over n - 1 it is smaller."""
    once, thrice = (head_scores("m", n=10) | {"delta_std_ddof": ddof} for _ in range(2))
    thrice["prompts"] = thrice["prompts"] * 3
    for score in thrice["head_scores"]:
        score["n_samples"] = 30
        if ddof:
            score["delta_std"] *= np.sqrt(30 / 29 * 9 / 10)
    seen, wanted = (read("head_scores", scores) for scores in (thrice, once))
    for one, other in zip(seen, wanted, strict=True):
        assert one.n_samples == other.n_samples == 10
        assert one.delta_std == pytest.approx(other.delta_std, rel=1e-12)


def test_a_missing_score_is_a_dropped_pair():
    result = head_ablation("m", n=6)
    result["patched_metrics"][0] = {"goemotions": {"anger": None}}
    table = estimate(**{"head_ablation m": result}).set_index("metric_name")
    assert table.loc["goemotions.anger", ["n_effective", "n_nan_dropped"]].tolist() == [5, 1]


def test_fluency_beside_the_metrics_is_compared_too():
    result = residual_sweep("m", n=8)
    result["baseline"]["fluency"] = {text: 2.0 + 0.1 * n for n, text in enumerate(prompts(8))}
    for layers in result["sweep_results"].values():
        for strengths in layers.values():
            for cell in strengths.values():
                worse = {text: 2.5 + 0.12 * n for n, text in enumerate(prompts(8))}
                cell["fluency"] = worse
    table = estimate(**{"residual_sweep m": result})
    fluency = table[table["metric_name"] == "fluency.nll"]
    assert len(fluency) == 3 * 2 * 3
    np.testing.assert_allclose(fluency["mean_diff"], 0.5 + 0.02 * 3.5)


def test_flat_and_nested_metrics_have_the_same_names():
    """Older files hold some scores by ``metric/label`` or ``metric.label``."""
    values = [{"goemotions": {"joy": 0.5}}, {"goemotions/joy": 0.5}, {"goemotions.joy": 0.5}]
    part = {"prompts": ["a"], "heads": [(0, 1)]}
    nested, *others = (
        read("head_ablation", part | {"baseline_metrics": [one], "patched_metrics": [one]})
        for one in values
    )
    assert [item.key.metric_name for item in nested] == ["goemotions.joy"]
    for other in others:
        assert list(map(vars, other)) == list(map(vars, nested))
