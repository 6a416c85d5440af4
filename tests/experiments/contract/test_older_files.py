"""Files of the older implementation, without anything of ours, go through the statistics."""

import json

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from effect_estimates import estimate, own_metric
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.comparisons import Source, comparisons_of
from emotion_circuits.experiments.contract import (
    read_head_result,
    read_head_scores,
    read_random_sweep,
    read_residual_sweep,
)
from emotion_circuits.statistics import Comparison, Summary
from phase_results import (
    ALPHAS,
    EMOTIONS,
    LAYERS,
    PLANTED_D,
    head_ablation,
    head_scores,
    prompts,
    random_sweep,
    residual_sweep,
)

# Every key that the contract has, and no other.
KEYS = {
    "residual_sweep": "profile model prompts baseline sweep_results alpha_values patch_window "
    "sequence_length",
    "random_sweep": "profile model alpha_values random_results emotion_results num_random",
    "head_ablation": "model baseline_texts patched_texts baseline_metrics patched_metrics heads "
    "profile prompts",
    "head_scores": "profile model layers prompts sequence_length head_scores head_samples",
}
FILES = {
    "residual_sweep": residual_sweep("m"),
    "random_sweep": random_sweep("m"),
    "head_ablation": head_ablation("m"),
    "head_scores": head_scores("m"),
}
READERS = {
    "residual_sweep": read_residual_sweep,
    "random_sweep": read_random_sweep,
    "head_ablation": read_head_result,
    "head_scores": lambda result: read_head_scores(result)[0],
}
N_METRICS = 5


def read(kind, result):
    return list(comparisons_of(kind, result, Source("p", "m")))


def plain(comparisons):
    """Comparisons by their content, whatever their order."""
    return sorted(map(repr, map(vars, comparisons)))


@pytest.mark.parametrize("kind", FILES)
def test_these_files_have_the_contracts_keys_and_no_other(kind):
    result = FILES[kind]
    assert set(result) == set(KEYS[kind].split())
    cells = {
        "residual_sweep": lambda: result["sweep_results"]["anger"][2][4.0],
        "random_sweep": lambda: result["random_results"]["anger"][2][0][4.0][0],
        "head_ablation": lambda: {},
        "head_scores": lambda: result["head_scores"][0],
    }
    inner = {
        "residual_sweep": {"texts", "metrics"},
        "random_sweep": {"prompt", "text", "metrics"},
        "head_ablation": set(),
        "head_scores": {"layer", "head", "metric", "delta_mean", "delta_std", "n_samples"},
    }
    assert set(cells[kind]()) == inner[kind]


def test_every_condition_and_score_is_a_comparison():
    n_conditions = {
        "residual_sweep": len(EMOTIONS) * len(LAYERS) * (len(ALPHAS) + 1),
        "random_sweep": len(EMOTIONS) * len(LAYERS),
        "head_ablation": 1,
    }
    for kind, count in n_conditions.items():
        found = read(kind, FILES[kind])
        assert all(isinstance(item, Comparison) for item in found)
        assert len({item.key for item in found}) == len(found) == count * N_METRICS
    # Samples that are texts alone hold no scores: only the moments are compared.
    found = read("head_scores", FILES["head_scores"])
    assert [type(item) for item in found] == [Summary] * 16


def test_values_are_those_of_the_file_text_by_text():
    sweep = FILES["residual_sweep"]
    found = {item.key: item for item in read("residual_sweep", sweep)}
    (key,) = (
        key
        for key in found
        if (key.emotion, key.layer, key.alpha, key.metric_name)
        == ("anger", 2, 4.0, "goemotions.anger")
    )
    cell = sweep["sweep_results"]["anger"][2][4.0]["metrics"]
    for text in prompts(60):
        before = sweep["baseline"]["metrics"][text]["goemotions"]["anger"]
        assert found[key].baseline.values[text] == before
        assert found[key].patched.values[text] == cell[text]["goemotions"]["anger"]


def test_phase_7_estimates_what_was_planted_in_them():
    table = estimate(**{f"{kind} m": result for kind, result in FILES.items()})
    assert set(table["phase"]) == {"residual", "random", "head", "head_screening"}
    planted = own_metric(table[(table["phase"] == "residual") & (table["layer"] == 2)])
    strong = planted[planted["alpha"] == 4.0]
    assert strong["emotion"].tolist() == list(EMOTIONS)
    # The error of d at 60 texts is about 0.19.
    assert strong["cohen_d"].between(PLANTED_D - 0.5, PLANTED_D + 0.5).all()
    assert (planted.loc[planted["alpha"] == 0.0, "mean_diff"] == 0).all()
    assert table["n_effective"].max() == 60


@pytest.mark.parametrize("kind", FILES)
def test_numbers_that_became_texts_on_the_way_are_numbers_again(kind):
    """JSON has no keys but texts, and lists for tuples."""
    again = json.loads(json.dumps(FILES[kind]))
    assert plain(read(kind, again)) == plain(read(kind, FILES[kind]))


@pytest.mark.parametrize("kind", ["residual_sweep", "random_sweep", "head_ablation"])
def test_the_table_that_a_file_is_read_into_gives_the_same_comparisons(kind):
    table = READERS[kind](FILES[kind]).table
    mixed = table.sample(frac=1, random_state=0)
    assert plain(read(kind, table)) == plain(read(kind, FILES[kind]))
    assert {repr(item.key) for item in read(kind, mixed)} == {
        repr(item.key) for item in read(kind, FILES[kind])
    }


# What tells how deviations were computed: nothing in older files, in which they divide by n; the
# ablation in this program's files from before the key; and the key.
DEVIATIONS = {
    "older file": ({}, 0),
    "earlier file of ours": ({"ablation": "mean"}, 1),
    "n": ({"ablation": "mean", "delta_std_ddof": 0}, 0),
    "n - 1": ({"delta_std_ddof": 1}, 1),
}


@pytest.mark.parametrize("n", [3, 60])
@pytest.mark.parametrize("made", DEVIATIONS)
def test_a_screenings_d_is_over_n_minus_1_whatever_its_file_divides_by(made, n):
    """Read as n - 1, a deviation over n would enlarge d by 22 % at 3 texts."""
    keys, ddof = DEVIATIONS[made]
    deltas = np.random.default_rng(0).normal(0.1, 0.2, n)
    score = {"layer": 1, "head": 2, "metric": "goemotions/anger", "n_samples": n}
    score |= {"delta_mean": deltas.mean(), "delta_std": deltas.std(ddof=ddof)}
    result = head_scores("m", n=n) | {"head_scores": [score], **keys}
    (found,) = read("head_scores", result)
    assert found.delta_std == pytest.approx(deltas.std(ddof=1), rel=1e-12)
    (row,) = estimate(**{"head_scores m": result}).to_dict("records")
    t = ttest_1samp(deltas, 0)
    assert row["cohen_d"] == pytest.approx(t.statistic / np.sqrt(n), rel=1e-9)
    assert row["p_value"] == pytest.approx(t.pvalue, rel=1e-6)


def test_a_deviation_over_something_else_is_one_line():
    result = FILES["head_scores"] | {"delta_std_ddof": 2}
    with pytest.raises(InputError, match=r"delta_std_ddof of the screening is 2; allowed are 0"):
        read("head_scores", result)


def test_a_table_of_samples_with_scores_is_compared_like_their_file():
    scores = head_scores("m", n=6)
    scores["head_scores"] = []
    scores["head_samples"] = [
        {
            "layer": 0,
            "head": 3,
            "samples": [
                {
                    "prompt": text,
                    "baseline": {"goemotions": {"anger": 0.1 * n}},
                    "patched": {"goemotions": {"anger": 0.2 * n}},
                }
                for n, text in enumerate(prompts(6))
            ],
        }
    ]
    table = READERS["head_scores"](scores).table
    (found,) = read("head_scores", table)
    assert plain([found]) == plain(read("head_scores", scores))
    differences = [found.patched.values[t] - found.baseline.values[t] for t in prompts(6)]
    np.testing.assert_allclose(differences, 0.1 * np.arange(6))


@pytest.mark.parametrize("kind", FILES)
def test_files_of_nothing_have_nothing_to_compare(kind):
    empty = {
        "residual_sweep": {"baseline": {"texts": {}, "metrics": {}}, "sweep_results": {}},
        "random_sweep": {"random_results": {}, "emotion_results": {}},
        "head_ablation": {"records": []},
        "head_scores": {"head_scores": [], "head_samples": []},
    }
    assert read(kind, FILES[kind] | empty[kind]) == []
