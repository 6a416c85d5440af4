"""Interventions on planted circuits: what must come out is known."""

import numpy as np
import pytest
from kedro.io import DataCatalog, MemoryDataset
from kedro.runner import SequentialRunner

from emotion_circuits.errors import InputError
from emotion_circuits.pipelines.circuit_interventions import create_pipeline
from emotion_circuits.pipelines.circuit_interventions.nodes import change_circuits, draw
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


@pytest.fixture(scope="module", params=["gpt2", pytest.param("llama", marks=pytest.mark.slow)])
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


SMALL = {"num_random": 1, "num_controls": 1, "max_prompts": 4, "n_bootstrap": 20}


def test_the_pipeline_runs_from_data_in_memory_and_draws_every_emotion(planted):
    settings = SETTINGS.model_copy(update={**SMALL, "ablations": ["resample"], "patch": False})
    data = {
        "language_model": planted.model,
        "text_evaluator": planted.evaluator,
        "prompts": planted.built.prompts,
        "circuit": circuit_file(planted, planted_nodes(planted)),
        "emotion_vectors": planted.vectors,
        "activations": planted.activations,
        "residual_sweep": planted.sweep,
        "params:emotions": planted.emotions,
        "params:circuit_interventions": settings,
        "params:residual_patching": STEERING,
        "circuit_checkpoint": None,
    }
    catalog = DataCatalog({name: MemoryDataset(value, copy_mode="assign")
                           for name, value in data.items()})  # fmt: skip
    written = SequentialRunner().run(create_pipeline(), catalog)
    for name in ("circuit_interaction_figure", "circuit_modulation_figure"):
        figure = written[name].load()
        titles = {note["text"] for note in figure.layout.annotations}
        assert set(planted.emotions.names) <= titles
        assert len(figure.data) >= 3 * len(planted.emotions.names)


def test_without_a_part_its_tables_are_empty_and_the_figures_too(planted):
    parts = change(planted, planted_nodes(planted), **SMALL, modulations=[], ablations=[])
    assert set(parts.lines["what"]) == {"patching"}
    assert parts.doses.empty
    assert parts.equal_cost.empty
    assert len(draw(*parts[1:], planted.emotions)[1].data) == 0
    parts = change(planted, planted_nodes(planted), **SMALL, patch=False, ablations=[])
    assert parts.interactions.empty
    assert set(parts.lines["what"]) == {"modulation", "steering"}
    assert len(draw(*parts[1:], planted.emotions)[0].data) == 0


def test_an_instruction_is_compared_at_its_own_cost(planted):
    """A text that shows the emotion stands in front of the prompt."""
    emotion = planted.emotions.names[1]
    table = planted.built.prompts
    shown = table[(table["emotion"] == emotion) & (table["split"] == "train")]["text"].iloc[0]
    found = change_circuits(
        *(planted.model, planted.evaluator, planted.built.prompts),
        circuit_file(planted, planted_nodes(planted)),
        *(planted.vectors, planted.activations, planted.sweep, planted.emotions),
        SETTINGS.model_copy(update={**SMALL, "ablations": [], "patch": False}),
        STEERING.model_copy(update={"instructions": {emotion: shown}}),
    )
    own = own_lines(found.equal_cost, emotion=emotion, reading="score", cost="prompting")
    at_cost = own.set_index("family")
    asked = own_lines(found.lines, what="prompting")
    assert set(asked["emotion"]) == {emotion}
    assert len(asked) == SMALL["max_prompts"]
    select = asked[asked["half"] == "select"]
    cost = (select["fluency_value"] - select["fluency_baseline"]).mean()
    assert at_cost["cost_limit"].unique() == pytest.approx([cost])
    assert at_cost.loc["prompting", "change"] >= 0.5
    others = found.equal_cost[found.equal_cost["emotion"] != emotion]
    assert "prompting" not in set(others["cost"])


def test_mistakes_are_one_line(planted):
    nodes = planted_nodes(planted)
    with pytest.raises(InputError, match="there is nothing to do"):
        change(planted, nodes, ablations=[], patch=False, modulations=[])
    with pytest.raises(InputError, match=r"leave half \w empty; at least two pairs are needed"):
        change(planted, nodes, max_samples_per_emotion=1)
    for wrong, line in (
        ({"costs": [-1.0]}, "costs are 0 or more"),
        ({"betas": [0.0, 1.0]}, "0 is the unmodulated model"),
        ({"betas": [1.0, 1.0]}, "the same value stands twice"),
        ({"circuit": "node"}, "circuit is 'node'"),
        ({"max_prompts": 1}, "max_prompts"),
        ({"beta": [1.0]}, "parameter 'beta' is unknown.*nearest: betas"),
    ):
        with pytest.raises(InputError, match=line):
            CircuitInterventionSettings(**wrong)
