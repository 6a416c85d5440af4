"""Figures of heads, transfer and claims show the numbers of their tables, with intervals."""

import pandas as pd
import pytest

from emotion_circuits.reporting import (
    draw_claims,
    draw_head_map,
    draw_head_sets,
    draw_power,
    draw_probes,
    draw_transfer,
)
from emotion_circuits.reporting.side_effects import draw_prompting, draw_side_effects
from emotion_circuits.reporting.svg import picture_svg, read_picture
from emotion_circuits.reporting.vectors import draw_cosines, draw_norms
from study_results import (
    EMOTIONS,
    claims,
    emotions_of,
    head_scores,
    overlaps,
    probes,
    transfer,
)


def traces(figure, name):
    return [trace for trace in figure.data if trace.name == name]


def ends(values, error):
    return (
        [value - below for value, below in zip(values, error.arrayminus, strict=True)],
        [value + above for value, above in zip(values, error.array, strict=True)],
    )


def test_a_head_map_has_each_head_of_each_emotion_in_its_place():
    table = head_scores(EMOTIONS, "one", n_layers=3, n_heads=4)
    table = table[~((table["layer"] == 1) & (table["head"] == 2))]  # not screened
    figure = draw_head_map(table, EMOTIONS)
    for emotion, heat in zip(EMOTIONS.names, figure.data, strict=True):
        own = table[table["emotion"] == emotion].set_index(["layer", "head"])["drop_mean"]
        for layer, row in zip(heat.y, heat.z, strict=True):
            for head, value in zip(heat.x, row, strict=True):
                expected = own.get((layer, head), float("nan"))
                assert value == pytest.approx(expected, nan_ok=True)
        assert heat.zmax == -heat.zmin == table["drop_mean"].abs().max()


def test_a_map_of_zero_ablation_is_drawn_where_no_other_was_run():
    table = head_scores(EMOTIONS, "one", 2, 2).rename(columns={"drop_mean": "drop_zero"})
    assert "zero ablation" in draw_head_map(table, EMOTIONS).layout.title.text


def head_summary():
    line = {
        "model_name": "one",
        "what": "ablation",
        "ablation": "mean",
        "direction": None,
        "mode": None,
        "head_set": "chosen",
        "fraction": 0.8,
        "fraction_lower": 0.6,
        "fraction_upper": 0.9,
        "random_fraction": 0.1,
        "random_fraction_lower": 0.0,
        "random_fraction_upper": 0.3,
    }
    patched = {"what": "patching", "ablation": None, "mode": "v_only"}
    patched |= {"direction": "emotion_to_neutral", "fraction": 0.7}
    other = {"head_set": "single 0:1", "fraction": 9.0}
    return pd.DataFrame([line | own | {"emotion": "anger"} for own in ({}, patched, other)])


def test_chosen_heads_stand_beside_random_sets_with_intervals():
    figure = draw_head_sets(head_summary(), EMOTIONS)
    (chosen,), (random,) = (
        traces(figure, name)
        for name in ("chosen heads, 95 % interval", "random sets of heads, mean")
    )
    assert list(chosen.x) == [0.8, 0.7]
    assert list(chosen.y) == ["ablation, mean", "emotion to neutral, v only"]
    assert ends(chosen.x, chosen.error_x)[0] == pytest.approx([0.6, 0.6])
    assert list(random.x) == [0.1, 0.1]
    assert ends(random.x, random.error_x)[1] == pytest.approx([0.3, 0.3])


def test_transfer_has_interval_null_and_own_vector_by_layer():
    figure = draw_transfer(transfer(EMOTIONS), overlaps(), EMOTIONS)
    mapped = traces(figure, "mapped vector, 95 % interval")
    assert len(mapped) == 3
    assert ends(mapped[0].y, mapped[0].error_y)[1] == pytest.approx([0.8] * 3)
    assert max(traces(figure, "shuffled maps, up to 95 %")[0].y) == 0.6
    assert list(traces(figure, "two's own vector")[0].y) == [0.8] * 3


def test_a_forest_plot_has_the_claims_alone_and_their_intervals():
    table = claims(EMOTIONS, ("one",))
    exploratory = table.assign(confirmatory=False, mean_diff=9.0)
    figure = draw_claims(pd.concat([table, exploratory]))
    against_unsteered, against_random = figure.data
    for trace in (against_unsteered, against_random):
        assert list(trace.y) == ["one, gratitude", "one, anger", "one, apology"]
        assert list(trace.x) == [0.4] * 3
        assert ends(trace.x, trace.error_x) == (
            pytest.approx([0.2] * 3),
            pytest.approx([0.6] * 3),
        )


def test_power_shows_the_smallest_effect_that_can_be_detected():
    power, smallest = draw_power(claims(EMOTIONS, ("one",))).data
    assert list(power.x) == [0.9] * 3
    assert list(smallest.x) == [0.5] * 3


def test_without_claims_nothing_is_drawn():
    table = claims(EMOTIONS, ("one",)).assign(confirmatory=False)
    for figure in (draw_claims(table), draw_power(table)):
        assert not read_picture(figure).panels


def test_probes_of_many_emotions_can_be_drawn():
    many = emotions_of(27)
    assert len(read_picture(draw_probes(probes(many, "one", 2))).panels) == 27


def test_cosines_are_symmetric_whichever_way_a_pair_was_written():
    pairs = [("anger", "anger", 1.0), ("apology", "anger", 0.25), ("apology", "apology", 1.0)]
    table = pd.DataFrame(
        {"layer_a": 2, "layer_b": 2, "emotion_a": a, "emotion_b": b, "cosine": cosine}
        for a, b, cosine in pairs
    )
    (heat,) = draw_cosines(table, 2, "one", ("anger", "apology")).data
    assert [list(row) for row in heat.z] == [[1.0, 0.25], [0.25, 1.0]]


def test_norms_are_drawn_beside_what_all_emotions_share():
    table = pd.DataFrame(
        {"emotion": "anger", "layer": layer, "ratio": 0.1 * layer, "reliability": 0.5}
        for layer in range(3)
    )
    figure = draw_norms(table, {0: 0.9, 1: 0.8, 2: 0.7}, "one", ("anger",))
    assert list(traces(figure, "share common to all")[0].y) == [0.9, 0.8, 0.7]
    assert list(traces(figure, "length over neutral's")[0].y) == pytest.approx([0, 0.1, 0.2])


def test_prompting_and_side_effects_are_drawn_with_intervals_and_controls():
    prompting = pd.DataFrame(
        {
            "model_name": "one",
            "emotion": "anger",
            "condition": condition,
            "mean_diff": change,
            "ci_lower": change - 0.1,
            "ci_upper": change + 0.1,
            "fluency_loss": 0.2,
            "fluency_loss_lower": 0.1,
            "fluency_loss_upper": 0.3,
        }
        for condition, change in (("headline", 0.4), ("prompting", 0.1))
    )
    change, cost = draw_prompting(prompting, ("anger",)).data
    assert list(change.x) == [0.4, 0.1]
    assert ends(change.x, change.error_x)[0] == pytest.approx([0.3, 0.0])
    assert list(cost.x) == [0.2, 0.2]
    effects = pd.DataFrame(
        {"model_name": "one", "emotion": "anger", "kind": kind, "kl": kl}
        | {"kl_lower": kl - 0.1, "kl_upper": kl + 0.1}
        for kind, kl in (("emotion", 1.0), ("random", 0.2), ("random", 0.3))
    )
    own, random = draw_side_effects(effects, ("anger",)).data
    assert (list(own.x), list(random.x)) == ([1.0], [0.2, 0.3])
    assert picture_svg(read_picture(draw_side_effects(effects, ("anger",))))
