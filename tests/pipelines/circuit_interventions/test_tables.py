"""Tables from lines made by hand: plain loops, planted effects, and simulated nulls."""

import numpy as np
import pandas as pd
import pytest

from emotion_circuits.experiments.comparisons import Source, comparisons_of
from emotion_circuits.pipelines.circuit_interventions.equal_cost import (
    dose_table,
    equal_cost_table,
    with_families,
)
from emotion_circuits.pipelines.circuit_interventions.interactions import interaction_table

READINGS = ("score", "masked", "markers", "preference", "fluency")


def line(what, mode, circuit, pair, *, value, base=0.9, other=0.1, loss=0.0, **more):
    made = {
        "model_name": "m", "what": what, "mode": mode, "emotion": "anger", "circuit": circuit,
        "direction": "", "nodes": "a0.h0 m1", "layer": np.nan, "dose": np.nan,
        "prompt_index": pair, "other_index": 100 + pair, "label": "anger", "pair_id": f"p{pair}",
        "cluster": f"c{pair // 2}", "half": "select" if pair % 2 else "confirm",
        "prompt": f"text {pair}", "text": "", "metric": "goemotions.anger",
    }  # fmt: skip
    for reading in READINGS:
        for end in ("baseline", "value", "other"):
            made[f"{reading}_{end}"] = np.nan
    made |= {"score_baseline": base, "score_value": value, "score_other": other}
    made |= {"fluency_baseline": 1.0, "fluency_value": 1.0 + loss, "preference_baseline": 0.5}
    return made | more


def joint_lines(rng, n_pairs=12, n_random=4, joint=0.6, singles=(0.1, 0.2), noise=0.05):
    lines = []
    sets = {"circuit": joint, "a0.h0": singles[0], "m1": singles[1]}
    sets |= {f"random {draw}": 0.05 for draw in range(n_random)}
    for name, moved in sets.items():
        nodes = name if name in ("a0.h0", "m1") else "a0.h0 m1"
        for pair in range(n_pairs):
            value = 0.9 - moved - noise * rng.normal()
            lines.append(line("ablation", "resample", name, pair, value=value, nodes=nodes,
                              loss=0.3 if name == "circuit" else 0.1))  # fmt: skip
    return pd.DataFrame(lines)


def test_interactions_are_those_of_plain_loops():
    lines = joint_lines(np.random.default_rng(0))
    (found,) = interaction_table(lines, n_bootstrap=100, seed=0).to_dict("records")
    joint, total, interaction = [], [], []
    for pair in range(12):
        own = {row["circuit"]: row for row in lines.to_dict("records")
               if row["prompt_index"] == pair}  # fmt: skip
        lost = {name: row["score_baseline"] - row["score_value"] for name, row in own.items()}
        joint.append(lost["circuit"])
        total.append(lost["a0.h0"] + lost["m1"])
        interaction.append(lost["circuit"] - lost["a0.h0"] - lost["m1"])
    assert found["joint"] == pytest.approx(np.mean(joint))
    assert found["sum_of_singles"] == pytest.approx(np.mean(total))
    assert found["interaction"] == pytest.approx(np.mean(interaction))
    assert found["share"] == pytest.approx(np.mean(joint) / 0.8)
    assert found["p_rank"] == found["p_smallest"] == 1 / 5
    assert found["largest_node"] == "m1"
    assert found["fluency_loss"] == pytest.approx(0.3)
    assert found["random_fluency_loss"] == pytest.approx(0.1)
    assert found["fluency_loss_reference"] == 0.5
    assert (found["n_pairs"], found["n_clusters"], found["n_nodes"]) == (12, 6, 2)


def test_the_sign_of_an_interaction_is_named_where_it_is_known():
    named = {}
    for joint in (0.6, 0.3, 0.1):
        lines = joint_lines(np.random.default_rng(1), joint=joint)
        (found,) = interaction_table(lines, n_bootstrap=200, seed=0).to_dict("records")
        named[joint] = found["additivity"]
    assert named == {0.6: "super", 0.3: "unresolved", 0.1: "sub"}


def test_without_single_nodes_there_is_no_interaction():
    lines = joint_lines(np.random.default_rng(0))
    whole = lines[~lines["circuit"].isin(["a0.h0", "m1"])]
    with_singles, without = (
        interaction_table(each, n_bootstrap=50, seed=0).iloc[0] for each in (lines, whole)
    )
    assert without["joint"] == with_singles["joint"]
    assert without[["interaction", "sum_of_singles", "largest_single"]].isna().all()
    assert (without["additivity"], without["largest_node"]) == ("", "")


def test_patches_move_towards_the_other_prompt():
    rng = np.random.default_rng(2)
    lines = joint_lines(rng).assign(what="patching", mode="patch", label="neutral")
    lines["score_value"] = 1.0 - lines["score_value"]
    lines["score_baseline"], lines["score_other"] = 0.1, 0.9
    (found,) = interaction_table(lines, n_bootstrap=50, seed=0).to_dict("records")
    assert found["joint"] == pytest.approx(0.6, abs=0.05)
    assert found["effect"] == pytest.approx(0.8)
    assert found["fluency_loss_reference"] == -0.5


@pytest.mark.slow
def test_a_circuit_like_random_ones_has_a_small_p_at_the_rate_of_its_level():
    rng, n_random = np.random.default_rng(3), 4
    p_values = []
    for _ in range(400):
        moved = rng.normal(size=n_random + 1)
        lines = [
            line("ablation", "resample", name, pair, value=0.9 - effect - 0.1 * rng.normal())
            for name, effect in zip(
                ["circuit", *(f"random {draw}" for draw in range(n_random))], moved, strict=True
            )
            for pair in range(3)
        ]
        lines += [
            line("ablation", "resample", node, pair, value=0.9, nodes=node)
            for node in ("a0.h0", "m1")
            for pair in range(3)
        ]
        table = interaction_table(pd.DataFrame(lines), n_bootstrap=2, seed=0)
        p_values.append(table["p_rank"].iloc[0])
    # Five sets are exchangeable, so that each is the first in a fifth of the draws.
    assert np.mean(np.array(p_values) <= 0.2 + 1e-9) == pytest.approx(0.2, abs=0.06)


def modulated(effects, n_prompts=8, **where):
    """Lines of one way of acting: by strength, its effect and its cost."""
    return [
        line("modulation", "shift", "circuit", prompt, dose=dose, value=0.1 + effect, base=0.1,
             loss=loss, direction="emotion", label="neutral", **where)
        for dose, (effect, loss) in effects.items()
        for prompt in range(n_prompts)
    ]  # fmt: skip


CIRCUIT = {1.0: (0.2, 0.1), 2.0: (0.5, 0.4), 4.0: (0.7, 2.0)}
STEERED = {1.0: (0.1, 0.2), 2.0: (0.4, 0.45), 4.0: (0.9, 0.9)}


def families():
    lines = modulated(CIRCUIT)
    for layer, weight in ((0, 0.1), (3, 1.0)):
        steered = {dose: (weight * effect, loss) for dose, (effect, loss) in STEERED.items()}
        lines += [each | {"what": "steering", "mode": "steering", "circuit": "", "direction": "",
                          "layer": layer} for each in modulated(steered)]  # fmt: skip
    for draw in range(3):
        lines += [each | {"circuit": f"random {draw}"} for each in modulated({1.0: (0.01, 0.0)})]
        lines += [each | {"direction": f"isotropic {draw}"}
                  for each in modulated({1.0: (-0.05, 0.3)})]  # fmt: skip
    return with_families(pd.DataFrame(lines))


def test_each_family_acts_as_strongly_as_its_cost_allows():
    table = equal_cost_table(families(), [0.0, 0.5, 1.0], n_bootstrap=50, seed=0)
    own = table.set_index(["family", "cost"])
    chosen = own[["layer", "dose", "change"]].to_dict("index")
    assert chosen["circuit_shift", "0"]["dose"] == 0
    assert chosen["circuit_shift", "0"]["change"] == 0
    assert chosen["circuit_shift", "0.5"]["dose"] == 2
    assert chosen["circuit_shift", "0.5"]["change"] == pytest.approx(0.5)
    assert chosen["circuit_shift", "1"]["dose"] == 2
    assert chosen["steering", "1"] == {"layer": 3, "dose": 4, "change": pytest.approx(0.9)}
    at_cost = own.loc[("circuit_shift", "0.5")]
    assert at_cost["minus_steering"] == pytest.approx(0.5 - 0.4)
    assert at_cost["fluency_loss"] == pytest.approx(0.4)
    assert at_cost["random_circuits_n"] == at_cost["isotropic_n"] == 3
    assert at_cost["random_circuits_change"] == pytest.approx(0.01)
    assert at_cost["isotropic_change"] == 0  # strength 0 does better
    assert at_cost["random_circuits_p"] == at_cost["random_circuits_p_smallest"] == 0.25


def test_what_is_chosen_on_one_half_is_reported_on_the_other():
    """On the half that reports, the chosen strength does nothing and another one does."""
    table = families()
    own = (table["family"] == "circuit_shift") & (table["control"] == "")
    confirm = own & (table["half"] == "confirm")
    table.loc[confirm & (table["dose"] == 2.0), "score_value"] = 0.1
    table.loc[confirm & (table["dose"] == 1.0), "score_value"] = 0.9
    found = equal_cost_table(table, [0.5], n_bootstrap=20, seed=0)
    line_of = found[found["family"] == "circuit_shift"].iloc[0]
    assert (line_of["dose"], line_of["change"]) == (2.0, 0.0)
    assert line_of["select_change"] == pytest.approx(0.5)


def test_the_cost_of_prompting_is_one_more_cost():
    lines = families()
    asked = [each | {"what": "prompting", "mode": "prompting", "circuit": "", "direction": ""}
             for each in modulated({np.nan: (0.3, 0.45)})]  # fmt: skip
    lines = pd.concat([lines, with_families(pd.DataFrame(asked))], ignore_index=True)
    table = equal_cost_table(lines, [1.0], n_bootstrap=20, seed=0)
    at_prompting = table[table["cost"] == "prompting"].set_index("family")
    assert at_prompting["cost_limit"].unique() == pytest.approx([0.45])
    assert at_prompting.loc["prompting", "change"] == pytest.approx(0.3)
    assert at_prompting.loc["steering", "change"] == pytest.approx(0.4)
    assert at_prompting.loc["circuit_shift", "dose"] == 2.0
    assert set(table.loc[table["cost"] == "1", "family"]) == {"circuit_shift", "steering"}


def test_doses_are_means_on_the_half_that_reports():
    table = families()
    doses = dose_table(table, n_bootstrap=20, seed=0)
    own = doses[(doses["family"] == "circuit_shift") & (doses["control"] == "")]
    assert own.set_index("dose")["change"].round(9).to_dict() == {1.0: 0.2, 2.0: 0.5, 4.0: 0.7}
    assert (doses["n"] == 4).all()
    assert len(doses) == 3 + 2 * 3 + 3 + 3


@pytest.mark.slow
def test_circuits_like_their_controls_rank_first_at_the_rate_of_the_level():
    """Effects and costs of all circuits are drawn alike; each chooses for itself."""
    rng, n_random, firsts = np.random.default_rng(5), 3, []
    for _ in range(150):
        lines = []
        for name in ("circuit", *(f"random {draw}" for draw in range(n_random))):
            drawn = {dose: (rng.normal(), 0.5 * rng.random()) for dose in (1.0, 2.0)}
            lines += [each | {"circuit": name, "score_value": each["score_value"] + rng.normal()}
                      for each in modulated(drawn, n_prompts=4)]  # fmt: skip
        table = equal_cost_table(with_families(pd.DataFrame(lines)), [0.3], n_bootstrap=2, seed=0)
        firsts.append(table["random_circuits_p"].iloc[0] <= 0.25 + 1e-9)
    # Ties, where none helps, make the test conservative.
    assert 0.1 <= np.mean(firsts) <= 0.33


def test_phase_7_compares_each_reading_with_and_without_the_change(tmp_path):
    lines = pd.concat([joint_lines(np.random.default_rng(6)), families()], ignore_index=True)
    lines.to_csv(tmp_path / "lines.csv", index=False)
    read = pd.read_csv(tmp_path / "lines.csv")
    found = list(comparisons_of("circuit_interventions", read, Source("profile", "m")))
    keys = [each.key for each in found]
    assert {key.phase for key in keys} == {"circuit"}
    assert {key.comparison for key in keys} == {"patched_vs_neutral"}
    assert {key.metric_name for key in keys} == {"goemotions.anger", "fluency.nll"}
    by_variant = {(key.variant, key.alpha, key.metric_name): each
                  for key, each in zip(keys, found, strict=True)}  # fmt: skip
    joint = by_variant["ablation resample circuit", None, "goemotions.anger"]
    wanted = lines[lines["circuit"] == "circuit"].iloc[:12]
    assert dict(joint.patched.values) == pytest.approx(
        dict(zip(wanted["prompt"], wanted["score_value"], strict=True))
    )
    assert set(joint.baseline.values.values()) == {0.9}
    (single,) = {key for key in keys if key.variant == "ablation resample a0.h0"
                 and key.metric_name == "goemotions.anger"}  # fmt: skip
    assert (single.layer, single.head, single.head_spec, single.control) == (0, 0, "a0.h0", False)
    assert by_variant["ablation resample random 1", None, "fluency.nll"].key.control
    # Steering is phase 5's, and draws of modulation have their ranks.
    modulated_keys = {(key.variant, key.alpha) for key in keys if "modulation" in key.variant}
    assert modulated_keys == {("modulation shift circuit", dose) for dose in (1.0, 2.0, 4.0)}
    assert not any("steering" in key.variant for key in keys)
