"""Comparisons with the truth, on numbers made by hand: right ones pass and wrong ones do not."""

from math import comb

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emotion_circuits.circuits.faithfulness import Verifier
from emotion_circuits.circuits.nodes import Graph
from emotion_circuits.planted import PlantedTruth
from emotion_circuits.planted.recovery import (
    Check,
    check_alignment,
    check_circuits,
    check_directions,
    check_edge_faithfulness,
    check_faithfulness,
    check_nothing_found,
    check_patching,
    check_redundant,
    check_roles,
    check_screening,
    check_significant,
    check_steering,
    check_table,
    significant_circuits,
    significant_heads,
)
from emotion_circuits.planted.recovery.significance import EFFECTS

TRUTH = PlantedTruth.model_validate(
    {
        "emotions": ["joy", "fear"],
        "n_layers": 2,
        "n_heads": 4,
        "d_model": 3,
        "cue_tokens": {"joy": [1], "fear": [2]},
        "reactions": {"joy": ["yay"], "fear": ["oh"]},
        "directions": [
            {"emotion": "joy", "layer": 0, "vector": [2, 0, 0], "steers": False},
            {"emotion": "joy", "layer": 1, "vector": [1, 1, 0], "steers": True},
            {"emotion": "fear", "layer": 1, "vector": [0, 0, 1]},
        ],
        "nodes": [
            {"node": "a0.h0", "role": "detect", "emotions": ["joy"], "ablation": "lowers",
             "attends_to_cue": True, "writes_direction": True},
            {"node": "a1.h0", "role": "express", "emotions": ["joy"], "ablation": "lowers",
             "writes_direction": True},
            {"node": "a1.h1", "role": "inhibit", "emotions": ["joy"], "ablation": "raises"},
            {"node": "a0.h1", "role": "detect", "emotions": ["fear"], "ablation": "none",
             "attends_to_cue": True, "writes_direction": True},
            {"node": "a0.h2", "role": "detect", "emotions": ["fear"], "ablation": "none",
             "attends_to_cue": True, "writes_direction": True},
            {"node": "a0.h3", "role": "decoy", "ablation": "none", "attends_to_cue": True},
        ],
        "redundant": [{"emotion": "fear", "nodes": ["a0.h1", "a0.h2"]}],
    }
)  # fmt: skip


def by_subject(checks):
    return {check.subject: check for check in checks}


def test_a_check_fails_on_the_wrong_side_of_its_bar_and_without_a_number():
    assert Check("c", "s", 0.5, 0.5).passed
    assert not Check("c", "s", 0.4, 0.5).passed
    assert Check("c", "s", 0.4, 0.5, at_least=False).passed
    for at_least in (True, False):
        assert not Check("c", "s", float("nan"), 0.5, at_least).passed
    table = check_table([Check("c", "s", 1.0, 0.5)])
    assert table.loc[0, "passed"]


def test_cosines_are_those_of_known_layers_alone():
    joy = np.array([[3.0, 0, 0], [1, 0, 0]])
    fear = np.array([[1.0, 0, 0], [0, 0, 0]])
    found = by_subject(check_directions(TRUTH, {"joy": joy, "fear": fear}, [0, 1], bar=0.95))
    assert set(found) == {"joy, layer 0", "joy, layer 1", "fear, layer 1"}
    assert found["joy, layer 0"].recovered == pytest.approx(1)
    assert found["joy, layer 1"].recovered == pytest.approx(np.sqrt(0.5))
    assert not found["joy, layer 1"].passed
    assert np.isnan(found["fear, layer 1"].recovered)
    assert not found["fear, layer 1"].passed
    only = check_directions(TRUTH, {"joy": joy[1:], "fear": fear[1:]}, [1], bar=0.95)
    assert len(list(only)) == 2


def score_table(scores, emotion="joy", **columns):
    """A table of one emotion with a score for each of the eight heads, layer by layer."""
    places = [(layer, head) for layer in range(2) for head in range(4)]
    lines = [
        {"emotion": emotion, "half": "both", "layer": layer, "head": head, **scores_of}
        for (layer, head), scores_of in zip(
            places, ({name: values[i] for name, values in scores.items()} for i in range(8)),
            strict=True,
        )
    ]  # fmt: skip
    return pd.DataFrame(lines).assign(**columns)


def counted_auroc(values, positive):
    pairs = [(a, b) for a, p in zip(values, positive, strict=True) if p
             for b, q in zip(values, positive, strict=True) if not q]  # fmt: skip
    return np.mean([1.0 if a > b else 0.5 if a == b else 0.0 for a, b in pairs])


def test_aurocs_are_those_of_counting_pairs_of_heads():
    rng = np.random.default_rng(0)
    drop, attention = rng.normal(size=8), rng.normal(size=8)
    table = score_table({"logit_drop_mean": drop, "cue_attention_last": attention})
    found = by_subject(check_screening(TRUTH, table, bar=0.95))
    lowers = [True, False, False, False, True, False, False, False]
    raises = [False, False, False, False, False, True, False, False]
    attends = [True, False, False, True, False, False, False, False]  # the decoy too
    assert set(found) == {
        "joy, logit_drop_mean",
        "joy, -logit_drop_mean",
        "joy, cue_attention_last",
    }
    for name, values, positive in (
        ("joy, logit_drop_mean", drop, lowers),
        ("joy, -logit_drop_mean", -drop, raises),
        ("joy, cue_attention_last", attention, attends),
    ):
        assert found[name].recovered == pytest.approx(counted_auroc(values, positive))


def test_a_head_without_a_score_comes_last_and_wrong_heads_fail():
    right = [2.0, 0, 0, 0, 2.0, -1, 0, np.nan]
    found = by_subject(check_screening(TRUTH, score_table({"direct_write": right}), bar=0.95))
    assert found["joy, direct_write"].passed
    wrong = [np.nan, 0, 0, 0, 2.0, -1, 0, 0]
    found = by_subject(check_screening(TRUTH, score_table({"direct_write": wrong}), bar=0.95))
    assert not found["joy, direct_write"].passed


def ranks(**changes):
    line = {"ablation": "mean", "direction": np.nan, "mode": np.nan, "fraction": 1.0,
            "other_fraction": 0.0, "n_other": 5, "effect": 4.0}  # fmt: skip
    return pd.DataFrame(
        [{**line, "emotion": emotion, **changes} for emotion in ("joy", "fear", "pooled")]
    )


def test_all_planted_heads_move_the_effect_and_others_do_not():
    def passed(table):
        checks = list(check_patching(TRUTH, table, bar=0.9, others_bar=0.2))
        assert len(checks) == 4  # the pooled line is left out
        return {check.check: check.passed for check in checks}

    assert passed(ranks()) == {"planted_heads_share": True, "other_heads_share": True}
    assert passed(ranks(fraction=0.5))["planted_heads_share"] is False
    assert passed(ranks(other_fraction=0.5))["other_heads_share"] is False


def test_a_model_with_too_few_other_heads_has_no_such_comparison():
    checks = check_patching(TRUTH, ranks(n_other=0, other_fraction=np.nan), bar=0.9, others_bar=0.2)
    assert {check.check for check in checks} == {"planted_heads_share"}


def test_redundant_heads_matter_together_and_not_alone():
    def checks(table, drop):
        scores = score_table({"reaction_drop_mean": [0, drop, 0.1, 0, 0, 0, 0, 0]}, "fear")
        return [*check_redundant(TRUTH.redundant[0], table, scores, bar=0.9, alone_bar=0.2)]

    found = checks(ranks(), 0.2)
    assert [check.recovered for check in found] == pytest.approx([1.0, 0.05, 0.025])
    assert all(check.passed for check in found)
    assert not checks(ranks(fraction=0.1), 0.2)[0].passed
    assert not checks(ranks(), 2.0)[1].passed
    assert not checks(ranks(), -2.0)[1].passed


def test_vectors_steer_where_they_are_read_and_nowhere_else():
    def sweep(joy, fear):
        metrics = {f"prompt {i}": {"markers": {"joy": joy, "fear": fear}} for i in range(3)}
        layers = {layer: {1.0: {"metrics": metrics}} for layer in (0, 1)}
        return {"sweep_results": {"joy": layers, "fear": layers}}

    def passed(joy, fear):
        checks = check_steering(TRUTH, sweep(joy, fear), alpha=1.0, bar=0.9, nothing_bar=0.1)
        return [(check.check, check.subject[-1], check.passed) for check in checks]

    # Of fear, it is not known where its direction steers.
    assert passed(1.0, 0.0) == [
        ("steered_nothing", "0", False), ("steered_others", "0", True),
        ("steered_share", "1", True), ("steered_others", "1", True),
    ]  # fmt: skip
    assert passed(0.0, 0.5) == [
        ("steered_nothing", "0", True), ("steered_others", "0", False),
        ("steered_share", "1", False), ("steered_others", "1", False),
    ]  # fmt: skip


def test_mapped_vectors_are_compared_with_the_other_models_directions():
    def passed(vector, after=1.0, null=0.1):
        mapped = {
            "emotion_vectors": {"joy": [vector], "fear": [[0.0, 0.0, 5.0]]},
            "metadata": {"layer_pairs": [[0, 1]]},
        }
        lines = [
            {"layer_b": 1, "emotion": emotion, "k": k, "overlap_after": after, "null_mean": null}
            for emotion in TRUTH.emotions
            for k in (1, 2)
        ]
        checks = check_alignment(TRUTH, mapped, pd.DataFrame(lines), bar=0.95, shuffled_bar=0.2)
        return {(c.check, c.subject[:3]): c.passed for c in checks}

    right = passed([2.0, 2.0, 0.0])
    assert len(right) == 6
    assert all(right.values())
    assert not passed([1.0, 0.0, 0.0])["mapped_cosine", "joy"]
    assert not passed([0.0, 0.0, 0.0])["mapped_cosine", "joy"]
    assert not passed([2.0, 2.0, 0.0], after=0.5)["mapped_overlap", "joy"]
    assert not passed([2.0, 2.0, 0.0], null=0.5)["shuffled_overlap", "joy"]


def effect_table(draws):
    """What screening reports of effects [effect, head, pair]; the bootstrap's limit as interval."""
    n = draws.shape[-1]
    columns = {"n_pairs": np.full(draws.shape[1], n)}
    for name, values in zip(EFFECTS, draws, strict=True):
        half = stats.norm.ppf(0.975) * values.std(-1) / np.sqrt(n)
        mean = values.mean(-1)
        columns |= {name: mean, f"{name}_lower": mean - half, f"{name}_upper": mean + half}
    table = pd.DataFrame(columns)
    return table.assign(
        emotion="joy", half="both", layer=np.arange(len(table)) // 4, head=np.arange(len(table)) % 4
    )


def test_significance_is_the_t_test_times_the_number_of_tests():
    draws = np.random.default_rng(1).normal(size=(3, 8, 12))
    draws[1, 4] += 3
    found = significant_heads(effect_table(draws), alpha=0.05)
    assert [(effect.head, effect.effect) for effect in found] == [("a1.h0", EFFECTS[1])]
    p = stats.ttest_1samp(draws[1, 4], 0).pvalue
    assert found[0].p_value == pytest.approx(24 * p)
    assert found[0].size == pytest.approx(draws[1, 4].mean())


def test_heads_without_any_effect_are_not_significant():
    assert significant_heads(effect_table(np.zeros((3, 8, 12))), alpha=0.05) == []


def test_nothing_is_found_in_ninety_five_percent_of_tables_without_effects():
    rng = np.random.default_rng(2)
    n_tables = 300
    n_found = sum(
        bool(significant_heads(effect_table(rng.normal(size=(3, 8, 24))), alpha=0.05))
        for _ in range(n_tables)
    )
    # 300 tables at 5 %: 15 on average; three standard deviations are 11.
    assert 4 <= n_found <= 26


def test_significant_planted_heads_are_counted():
    draws = np.random.default_rng(3).normal(size=(3, 8, 12))
    draws[0, 0] += 5
    draws[0, 4] += 5
    checks = by_subject(check_significant(TRUTH, effect_table(draws), alpha=0.05, bar=0.95))
    assert checks["joy"].recovered == pytest.approx(2 / 3)  # the inhibiting head is missed
    assert set(checks) == {"joy"}


@pytest.mark.parametrize(("n_models", "allowed"), [(1, 0), (2, 1), (10, 2), (20, 3)])
def test_findings_are_compared_with_what_chance_gives(n_models, allowed):
    def chance(least):
        """Chance of at least this many findings, term by term."""
        terms = (comb(n_models, k) * 0.05**k * 0.95 ** (n_models - k) for k in range(least))
        return 1 - sum(terms)

    assert chance(allowed) > 0.05 >= round(chance(allowed + 1), 12)
    names = [f"model {index}" for index in range(n_models)]
    as_many = dict.fromkeys(names, 0) | dict.fromkeys(names[:allowed], 3)
    check = check_nothing_found("models_with_findings", as_many, alpha=0.05)
    assert (check.recovered, check.bar, check.passed) == (allowed, allowed, True)
    one_more = dict.fromkeys(names, 0) | dict.fromkeys(names[: allowed + 1], 1)
    assert not check_nothing_found("models_with_findings", one_more, alpha=0.05).passed


def circuits_of(joy, fear):
    return {
        name: {"nodes": [{"node": node} for node in nodes]}
        for name, nodes in (("joy", joy), ("fear", fear))
    }


def test_circuits_are_compared_by_members_and_edges_by_rank():
    truth = TRUTH.model_copy(update={"edges": {"joy": ("input->a0.h0<v>", "a1.h0->logits")}})
    edges = pd.DataFrame(
        {
            "emotion": ["joy", "joy", "joy", "fear"],
            "edge": ["a1.h0->logits", "input->m0", "input->a0.h0<v>", "a1.h0->logits"],
            "rank": [1, 2, 3, 1],
        }
    )
    circuits = circuits_of(["a0.h0", "a1.h0", "a1.h1", "m0"], ["a0.h1"])
    checks = list(check_circuits(truth, circuits, edges, bar=0.7, edge_bar=0.8))
    found = {(check.check, check.subject): check for check in checks}
    assert found["circuit_precision", "joy"].recovered == 0.75
    assert found["circuit_recall", "joy"].recovered == 1
    assert found["circuit_precision", "fear"].passed
    # One of two redundant heads is not enough.
    assert found["circuit_recall", "fear"].recovered == 0.5
    assert found["edge_recall", "joy"].recovered == 0.5  # of the first two edges
    assert not found["edge_recall", "joy"].passed
    assert ("edge_recall", "fear") not in found
    nothing = list(check_circuits(truth, circuits_of([], []), edges, bar=0.7, edge_bar=0.8))
    assert not any(check.passed for check in nothing if check.check != "edge_recall")


def test_roles_are_compared_for_each_emotion_that_a_head_carries():
    heads = pd.DataFrame(
        {
            "node": ["a0.h0", "a0.h1", "a0.h2", "a0.h3", "a1.h0", "a1.h1"],
            "role_joy": ["detect", "none", "none", "detect", "express", "express"],
            "role_fear": ["none", "detect", "aggregate", "none", "none", "none"],
        }
    )
    (check,) = check_roles(TRUTH, heads, bar=0.9)
    assert (check.recovered, check.subject) == (0.75, "4 heads")
    assert not check.passed


class Counting(Verifier):
    """The metric is the share of the planted nodes that are kept."""

    def __init__(self, planted, n_pairs=3):
        self.planted = frozenset(planted)
        self.full, self.empty = np.ones(n_pairs), np.zeros(n_pairs)

    def keep(self, circuits, pairs=None):
        shares = [len(self.planted & set(each)) / len(self.planted) for each in circuits]
        return np.repeat(np.array(shares)[:, None], len(self.full), axis=1)


def test_a_true_circuit_is_faithful_and_a_wrong_one_is_not():
    nodes = Graph(4, 4).nodes()[1:-1]
    bars = {"bar": 0.9, "random_bar": 0.4, "distance_bar": 0.05, "seed": 0}

    def checks(circuit):
        verifier = Counting(nodes[:4])
        found = check_faithfulness("joy", verifier, circuit, nodes, **bars)
        return {check.check: check for check in found}

    right = checks(nodes[:4])
    assert right["circuit_faithfulness"].recovered == 1
    assert right["circuit_model_distance"].recovered == 0
    # Four of twenty nodes, drawn from all: a fifth of the planted ones on average.
    assert right["random_faithfulness"].recovered == pytest.approx(0.2, abs=0.08)
    assert all(check.passed for check in right.values())
    wrong = checks(nodes[2:6])
    assert wrong["circuit_faithfulness"].recovered == 0.5
    assert not wrong["circuit_faithfulness"].passed
    assert not wrong["circuit_model_distance"].passed


class CountingEdges(Counting):
    def remove(self, circuits, pairs=None):
        return 1 - self.keep(circuits)


def test_planted_edges_are_faithful_and_wrong_ones_are_not():
    edges = Graph(2, 2).edges()

    def checks(circuit):
        runs = CountingEdges(edges[:4])
        bars = {"bar": 0.9, "random_bar": 0.2, "seed": 0}
        found = check_edge_faithfulness("joy", runs, circuit, edges, **bars)
        return {check.check: check for check in found}

    assert all(check.passed for check in checks(edges[:4]).values())
    wrong = checks(edges[2:6])
    assert wrong["edge_circuit_faithfulness"].recovered == 0.5
    assert not wrong["edge_circuit_faithfulness"].passed
    assert not wrong["without_edges_remaining"].passed
    assert not checks(edges)["random_edge_faithfulness"].passed


def test_circuits_are_significant_after_a_correction_for_emotions():
    def found(*p):
        circuits = {f"emotion {i}": {"controls": {"any": {"p": each}}} for i, each in enumerate(p)}
        return significant_circuits(circuits, alpha=0.05)

    assert found(0.016, 0.2, 0.017) == ["emotion 0"]
    # A metric that does not change has no p.
    assert found(None, 0.5, 0.9) == []
