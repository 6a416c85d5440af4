"""Interventions on planted circuits: what must come out is known."""

import numpy as np
import pytest

from emotion_circuits.pipelines.circuit_interventions.nodes import change_circuits
from emotion_circuits.pipelines.circuit_interventions.settings import CircuitInterventionSettings
from emotion_circuits.planted import PlantedShape
from planted_circuits import N_PAIRS, STEERING, circuit_file, own_lines, plant, planted_nodes

SETTINGS = CircuitInterventionSettings(
    max_samples_per_emotion=N_PAIRS,
    sequence_length=3,
    num_random=6,
    num_controls=4,
    betas=[2.0],
    costs=[0.5, 8.0],
    max_prompts=8,
    n_bootstrap=200,
)
SHAPES = {
    "gpt2": PlantedShape(n_layers=5),
    "llama": PlantedShape(architecture="llama", n_layers=5, n_heads=8, n_kv_heads=2, d_model=96),
}


@pytest.fixture(scope="module", params=SHAPES)
def planted(request, tmp_path_factory):
    return plant(tmp_path_factory.mktemp("planted"), SHAPES[request.param])


def change(planted, nodes, **updates):
    return change_circuits(
        planted.model,
        planted.evaluator,
        planted.built.prompts,
        circuit_file(planted, nodes),
        planted.vectors,
        planted.activations,
        planted.sweep,
        planted.emotions,
        SETTINGS.model_copy(update=updates),
        STEERING,
    )


@pytest.fixture(scope="module")
def whole(planted):
    """Changes of each emotion's whole circuit."""
    return change(planted, planted_nodes(planted))


@pytest.fixture(scope="module")
def redundant(planted):
    """Changes of the two redundant heads alone, in the place of each emotion's circuit."""
    (group,) = planted.built.truth.redundant
    nodes = dict.fromkeys(planted.emotions.names, group.nodes)
    return group, change(planted, nodes, modulations=[]).interactions


def test_a_circuit_carries_the_whole_effect(whole):
    table = own_lines(whole.interactions, reading="score")
    assert len(table) == 3 * 3
    assert (table["effect"] > 0.5).all()
    assert (table["share"] >= 0.9).all()


def test_random_circuits_without_a_node_of_the_emotion_do_nothing(planted, whole):
    lines = whole.lines[whole.lines["circuit"].str.startswith("random", na=False)]
    lines = lines[lines["what"].isin(["ablation", "patching"])]
    n_seen = 0
    for emotion, names in planted_nodes(planted).items():
        of_emotion = lines[lines["emotion"] == emotion]
        without = of_emotion["nodes"].map(
            lambda nodes, own=names: not set(nodes.split()) & set(own)
        )
        moved = of_emotion.loc[without, "score_value"] - of_emotion.loc[without, "score_baseline"]
        n_seen += len(moved)
        assert moved.abs().max() <= 0.01
    assert n_seen >= 2 * N_PAIRS


def test_nodes_in_series_are_subadditive(planted, whole):
    """Each node that is lost alone breaks the chain, so their losses sum to more than the whole."""
    first = planted.emotions.names[1]  # one detect head, and no head that inhibits
    table = own_lines(whole.interactions, emotion=first, reading="preference", mode="resample")
    (line,) = table.to_dict("records")
    assert line["additivity"] == "sub"
    assert line["sum_of_singles"] >= 2 * line["joint"]


def test_redundant_heads_matter_only_together(redundant):
    """One is enough, so the loss of both does more than their losses, and the gain of both less."""
    group, table = redundant
    for reading in ("score", "preference"):
        own = own_lines(table, emotion=group.emotion, reading=reading)
        (lost,) = own_lines(own, mode="resample").to_dict("records")
        assert lost["share"] >= 0.9
        assert abs(lost["largest_single"]) <= 0.1 * lost["effect"]
        assert lost["additivity"] == "super"
        (gained,) = own_lines(own, mode="patch").to_dict("records")
        assert gained["share"] >= 0.9
        assert gained["sum_of_singles"] >= 1.9 * gained["joint"]
        assert gained["additivity"] == "sub"


def test_heads_of_another_emotion_do_nothing(redundant):
    group, table = redundant
    others = table[table["emotion"] != group.emotion]
    assert len(others)
    assert (others["joint"].abs() <= 0.01 * others["effect"]).all()
    assert (others["additivity"] == "unresolved").all()


def test_a_shifted_circuit_says_the_emotion_as_steering_does_and_controls_do_not(whole):
    table = own_lines(whole.equal_cost, reading="score", cost="8")
    for family in ("circuit_shift", "steering"):
        assert (own_lines(table, family=family)["change"] >= 0.9).all()
    shifted = own_lines(table, family="circuit_shift")
    assert (shifted["minus_steering"].abs() <= 0.1).all()
    for control in ("random_circuits", "isotropic", "covariance"):
        assert (shifted[f"{control}_n"] == SETTINGS.num_controls).all()
        assert shifted[f"{control}_change"].mean() <= 0.4
    # Speaking of an emotion in a neutral text costs more than this, whatever brings it about.
    cheap = own_lines(whole.equal_cost, reading="score", cost="0.5")
    cheap = cheap[cheap["family"].isin(["circuit_shift", "steering"])]
    assert (cheap[["dose", "change", "fluency_loss"]] == 0).all(axis=None)


def test_texts_are_tested_with_circuits_that_their_templates_did_not_choose(planted):
    """Circuits of halves differ here, so that each line shows which one it was changed by."""
    file = circuit_file(planted, planted_nodes(planted))
    for found in file["circuits"].values():
        found["halves"]["A"]["members"] = [{"node": "a0.h0"}]
        found["halves"]["B"]["members"] = [{"node": "a1.h1"}]
        found["nodes"] = [{"node": "m2"}]
    settings = SETTINGS.model_copy(
        update={"num_random": 0, "num_controls": 0, "betas": [1.0], "ablations": []}
    )
    lines = change_circuits(
        *(planted.model, planted.evaluator, planted.built.prompts, file, planted.vectors),
        *(planted.activations, planted.sweep, planted.emotions, settings, STEERING),
    ).lines
    pairs = own_lines(lines, what="patching", circuit="circuit")
    assert set(pairs["half"]) == {"A", "B"}
    assert (pairs["nodes"] == pairs["half"].map({"A": "a1.h1", "B": "a0.h0"})).all()
    half_of = dict(zip(pairs["cluster"], pairs["half"], strict=True))
    neutral = own_lines(lines, what="modulation")
    wanted = neutral["cluster"].map(half_of).map({"A": "a1.h1", "B": "a0.h0"}).fillna("m2")
    assert (neutral["nodes"] == wanted).all()
    assert len(set(wanted)) >= 2


def test_every_reading_has_its_unchanged_value_beside_it(planted, whole):
    lines = whole.lines
    joint = lines[lines["what"].isin(["ablation", "patching"])]
    for reading in ("score", "fluency"):
        by_prompt = joint.groupby("prompt")[f"{reading}_baseline"].nunique()
        assert reading == "score" or (by_prompt == 1).all()
    modulated = own_lines(lines, what="modulation")
    unchanged = planted.sweep["baseline"]["metrics"]
    for line in modulated.iloc[::97].to_dict("records"):
        wanted = unchanged[line["prompt"]]["markers"][line["emotion"]]
        assert line["score_baseline"] == pytest.approx(wanted, abs=1e-6)
    assert np.isfinite(modulated["score_value"]).all()
