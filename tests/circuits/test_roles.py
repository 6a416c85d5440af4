"""Roles of heads against plain hooks, sums, hand-written shares, and heads that do nothing."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
import torch

from embedded_heads import SILENT, load_model_with_a_silent_head, load_prompts, vectors_of
from emotion_circuits.circuits.roles import (
    ROLES,
    HeadShares,
    Pairs,
    Probes,
    RoleReadings,
    RoleRules,
    Share,
    agreement_of,
    dissociation,
    dissociation_table,
    head_roles,
    head_shares,
    read_measures,
    read_roles,
    role_of,
    role_stability,
    roles_of_halves,
    rules_met,
    share_intervals,
)
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.heads import Head
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.prompts import PAIR_HALVES
from emotion_circuits.statistics.ratios import ratio_interval
from study_emotions import FOUR

SETTINGS = {"n_permutations": 199, "seed": 0}


@pytest.fixture(scope="module")
def table(project_root):
    return load_prompts(project_root, n_pairs=6)


@pytest.fixture(scope="module")
def prompts(project_root, table):
    model = load_model_with_a_silent_head(project_root)
    return PairedPrompts.prepare(model, table, FOUR, split="test", limit=6)


@pytest.fixture(scope="module")
def probes(prompts, table):
    vectors = vectors_of(prompts.model, table[table["split"] == "train"])
    return Probes.of(prompts.model, vectors, FOUR)


@pytest.fixture(scope="module")
def readings(prompts, probes):
    return read_roles(prompts, probes)


def streams_under(model, ids, head, value):
    """Streams after each layer and the last logits, with one head's output replaced."""
    streams = []

    def change(module, inputs):
        z = inputs[0].unflatten(-1, (model.n_heads, -1)).clone()
        z[:, :, head.head] = value
        return (z.flatten(-2),)

    block = model.plain_blocks[head.layer]
    hooks = [block.self_attn.o_proj.register_forward_pre_hook(change)]
    hooks += [
        each.register_forward_hook(lambda m, i, output: streams.append(output[0]))
        for each in model.plain_blocks
    ]
    with torch.no_grad():
        logits = model.plain_model(torch.tensor([ids])).logits[0, -1]
    for hook in hooks:
        hook.remove()
    return streams, logits


def test_measures_are_those_of_single_prompts(prompts, probes):
    model, head = prompts.model, Head(1, 3)
    values = prompts.mean_outputs(prompts.head_outputs(8))
    sets = [dict.fromkeys(PAIR_HALVES, ()), dict.fromkeys(PAIR_HALVES, (head,))]
    measures = read_measures(prompts, probes, sets, values)
    for prompt in (0, 5, 7):
        ids, half = prompts.ids[prompt], prompts.halves[prompt]
        streams, logits = streams_under(model, ids, head, values[half][1, 3])
        for number, emotion in enumerate(FOUR.names):

            def along(stream, site, emotion=emotion):
                vector = site.vectors[emotion]
                return float(stream @ vector / vector.norm())

            inner = slice(prompts.n_special, len(ids) - 1)
            late = streams[probes.late_text.layer][inner].mean(0)
            wanted = {
                "text": along(streams[probes.text.layer][inner].mean(0), probes.text),
                "late_text": along(late, probes.late_text),
                "last": along(streams[probes.last.layer][-1], probes.last),
                "output": float(logits[probes.marking[emotion]].mean() - logits.mean()),
            }
            for name, value in wanted.items():
                found = getattr(measures, name)[1, prompt, number]
                assert found == pytest.approx(value, abs=1e-3), name


def test_drops_are_differences_of_contrasts(prompts, probes, readings):
    """One head by hand, of both ablations, and a head after the probe that cannot change it."""
    model, head = prompts.model, Head(2, 1)
    column = readings.heads.index(head)
    values = prompts.mean_outputs(prompts.head_outputs(8))
    empty = dict.fromkeys(PAIR_HALVES, ())
    measures = read_measures(prompts, probes, [empty, dict.fromkeys(PAIR_HALVES, (head,))], values)
    pair = 0
    for emotion, name in enumerate(FOUR.names):
        for emotional, neutral in prompts.pairs(name):
            before = measures.text[0, emotional, emotion] - measures.text[0, neutral, emotion]
            after = measures.text[1, emotional, emotion] - measures.text[1, neutral, emotion]
            assert readings.text_effect[pair] == pytest.approx(before, abs=1e-5)
            assert readings.text_drop[pair, column] == pytest.approx(before - after, abs=1e-5)
            pair += 1
    late = [index for index, each in enumerate(readings.heads) if each.layer > probes.text.layer]
    assert late
    assert not readings.text_drop[:, late].any()
    assert readings.last_drop[:, late].any()
    assert pair == len(readings.text_effect)
    assert model.n_layers - 1 > probes.last.layer


def test_a_head_that_writes_nothing_has_no_share_and_no_role(readings):
    silent = readings.heads.index(Head(*SILENT))
    for values in (readings.text_drop, readings.last_drop, readings.output_write):
        assert np.abs(values[:, silent]).max() < 1e-4  # the sum of 17 other writes, in float32
    assert head_roles(readings, RoleRules(), **SETTINGS)[silent] == "none"


def test_writes_of_all_nodes_are_the_contrast_of_the_logits(prompts, probes, readings):
    """Direct logit attribution: heads, MLPs and embeddings add up."""
    model = prompts.model
    norm = model.plain_model.model.norm
    unembed = model.plain_model.lm_head.weight
    total = np.zeros(len(readings.pairs.emotional))
    for pair, (emotional, neutral, number, *_) in enumerate(zip(*readings.pairs, strict=True)):
        for prompt, sign in ((emotional, 1), (neutral, -1)):
            _, cache = model.bridge.run_with_cache(torch.tensor([prompts.ids[prompt]]))
            last = f"blocks.{model.n_layers - 1}.hook_resid_post"
            stream = cache[last][0, -1]
            scale = float((stream.square().mean() + norm.variance_epsilon).sqrt())
            tokens = probes.marking[FOUR.names[number]]
            target = unembed[tokens].mean(0) - unembed.mean(0)
            parts = [cache["blocks.0.hook_resid_pre"][0, -1]]
            parts += [cache[f"blocks.{n}.hook_mlp_out"][0, -1] for n in range(model.n_layers)]
            rest = sum(float(part * norm.weight @ target) for part in parts)
            total[pair] += sign * rest / scale
    heads = readings.output_write.sum(1)
    np.testing.assert_allclose(heads + total, readings.output_effect, atol=1e-3)


def test_attention_is_that_of_the_pattern(prompts, readings):
    pair = 1
    ids = prompts.ids[readings.pairs.emotional[pair]]
    _, cache = prompts.model.bridge.run_with_cache(torch.tensor([ids]))
    for column, head in enumerate(readings.heads):
        pattern = cache[f"blocks.{head.layer}.attn.hook_pattern"][0, head.head]
        moved = float(pattern[-1, prompts.n_special : -1].sum())
        assert readings.moved[pair, column] == pytest.approx(moved, abs=1e-4)
    assert 0 < readings.cue_uniform[pair] < 1


def shares(detect=0.0, aggregate=0.0, express=0.0, *, cue_ratio=2.0, moved=0.5, p=0.01):
    return HeadShares(
        *(Share(value, p) for value in (detect, aggregate, express)), cue_ratio, moved
    )


def test_rules_are_thresholds_and_the_largest_factor_wins():
    rules = RoleRules(detect_share=0.1, aggregate_share=0.1, express_share=0.2)
    assert role_of(shares(0.1), rules) == "detect"
    assert role_of(shares(0.09), rules) == "none"
    assert role_of(shares(0.5, cue_ratio=0.9), rules) == "none"
    assert role_of(shares(0.5, cue_ratio=float("nan")), rules) == "none"
    assert role_of(shares(0.5, p=0.06), rules) == "none"
    assert role_of(shares(0.5, p=float("nan")), rules) == "none"
    loose = rules.model_copy(update={"alpha": None})
    assert role_of(shares(0.5, p=float("nan")), loose) == "detect"
    assert role_of(shares(aggregate=0.3), rules) == "aggregate"
    assert role_of(shares(aggregate=0.3, moved=0.05), rules) == "none"
    assert role_of(shares(aggregate=0.3, express=0.4), rules) == "aggregate"
    assert role_of(shares(aggregate=0.3, express=0.8), rules) == "express"
    assert rules_met(shares(0.2, 0.3, 0.4), rules) == pytest.approx(
        {"detect": 2, "aggregate": 3, "express": 2}
    )
    with pytest.raises(InputError, match="detect_share is 0: input should be greater than 0"):
        RoleRules(detect_share=0)


def simulated(rng, *, carried=(), n_pairs=24, n_heads=12):
    """Readings of noise alone, but for heads that carry a share of the effect of each pair."""
    clusters = np.repeat(np.arange(n_pairs // 2), 2).astype(str)
    pairs = Pairs(
        np.arange(n_pairs),
        np.arange(n_pairs),
        np.tile([0, 1], n_pairs // 2),
        clusters,
        np.where(np.arange(n_pairs) < n_pairs // 2, "A", "B"),
    )
    effect = 1 + 0.2 * rng.normal(size=n_pairs)
    drops = {name: 0.3 * rng.normal(size=(n_pairs, n_heads)) for name in "tlo"}
    for name, head, share in carried:
        drops[name][:, head] += share * effect
    flat = np.full((n_pairs, n_heads), 0.5)
    heads = [Head(0, head) for head in range(n_heads)]
    return RoleReadings(
        heads,
        pairs,
        effect,
        drops["t"],
        effect,
        drops["l"],
        effect,
        drops["o"],
        flat,
        np.full(n_pairs, 0.25),
        flat,
    )


def test_shares_are_ratios_of_means_over_the_pairs():
    readings = simulated(np.random.default_rng(0))
    readings = replace(readings, text_effect=np.where(np.arange(24) == 3, np.nan, 1.0))
    found = head_shares(readings, **SETTINGS)[4]
    assert found.detect.value == pytest.approx(np.delete(readings.text_drop[:, 4], 3).mean())
    intervals = share_intervals(readings, n_bootstrap=100, seed=0)
    assert intervals["detect"][4].value == pytest.approx(found.detect.value)
    assert intervals["express"][4] == ratio_interval(
        readings.output_write[:, 4],
        readings.output_effect,
        clusters=readings.pairs.clusters.tolist(),
        n_bootstrap=100,
        seed=0,
    )
    assert found.cue_ratio == pytest.approx(2)
    assert found.moved == pytest.approx(0.5)


def test_p_is_that_of_all_sign_flips_of_clusters_by_loops():
    """Four clusters have sixteen patterns; the largest |t| of all heads is ranked."""
    readings = simulated(np.random.default_rng(5), n_pairs=8, n_heads=3)
    part, reached = readings.text_drop, np.zeros(3)

    def t(values):
        return np.abs(values.mean(0) / (values.std(0, ddof=1) / np.sqrt(len(values))))

    observed = t(part)
    for signs in itertools.product((1, -1), repeat=4):
        largest = t(part * np.repeat(signs, 2)[:, None]).max()
        reached += largest >= observed - 1e-9
    found = [of_head.detect.p for of_head in head_shares(readings, **SETTINGS)]
    assert found == pytest.approx(list(reached / 16))


def test_heads_that_carry_nothing_seldom_have_a_role():
    """In 5 % of models, at most, a head of noise has one given role; 3 standard errors more."""
    rng = np.random.default_rng(1)
    families = [head_shares(simulated(rng), **SETTINGS) for _ in range(100)]
    for role in ROLES:
        false = [any(getattr(each, role).p <= 0.05 for each in family) for family in families]
        assert np.mean(false) <= 0.05 + 3 * np.sqrt(0.05 * 0.95 / 100)
    heads = [role_of(each, RoleRules()) for family in families for each in family]
    assert np.mean([role != "none" for role in heads]) <= 0.02


def test_planted_roles_are_found_and_stable():
    carried = [("t", 0, 0.8), ("t", 1, 0.7), ("l", 2, 0.9), ("o", 3, 0.8), ("o", 4, 0.6)]
    readings = simulated(np.random.default_rng(2), carried=carried, n_pairs=48)
    roles = head_roles(readings, RoleRules(), **SETTINGS)
    assert roles[:5] == ["detect", "detect", "aggregate", "express", "express"]
    strict = RoleRules(detect_share=0.3, aggregate_share=0.3, express_share=0.3)
    kappas = role_stability(readings, strict, n_splits=5, n_permutations=199)
    assert len(kappas) == 5
    assert np.mean(kappas) > 0.8
    noise = simulated(np.random.default_rng(3), n_pairs=48)
    loose = RoleRules(alpha=None)
    assert abs(np.mean(role_stability(noise, loose, n_splits=5, n_permutations=9))) < 0.3


def test_agreement_is_cohens_kappa():
    first = ["detect", "none", "none", "express", "none"]
    second = ["detect", "none", "detect", "none", "none"]
    observed = 3 / 5
    expected = (1 * 2 + 3 * 3 + 1 * 0) / 25
    assert agreement_of(first, second) == pytest.approx((observed - expected) / (1 - expected))
    assert np.isnan(agreement_of(["none"] * 3, ["none"] * 3))


def test_roles_of_one_half_are_tested_on_the_other():
    carried = [("t", 0, 0.9), ("o", 3, 0.9)]
    readings = simulated(np.random.default_rng(4), carried=carried, n_pairs=48)
    only_a = readings.text_drop.copy()
    only_a[readings.pairs.halves == "A", 5] += 2
    readings = replace(readings, text_drop=only_a)
    roles = roles_of_halves(readings, RoleRules(detect_share=0.3), **SETTINGS)
    assert Head(0, 5) in roles["detect"]["B"]
    assert Head(0, 5) not in roles["detect"]["A"]
    assert Head(0, 0) in roles["detect"]["A"]


def test_ablation_of_roles_dissociates_and_swapped_roles_do_not(prompts, probes):
    """Layer 2's heads carry the probe; heads of the last layers are after it."""
    early = dict.fromkeys(PAIR_HALVES, (Head(2, 2), Head(2, 5), Head(1, 3)))
    late = dict.fromkeys(PAIR_HALVES, (Head(3, 4), Head(3, 5)))
    silent = dict.fromkeys(PAIR_HALVES, (Head(*SILENT),))
    roles = {"detect": early, "aggregate": silent, "express": late}
    table = dissociation_table(prompts, probes, roles, n_random=9, n_bootstrap=200)
    judged = dissociation(table, roles, probes)
    assert judged.is_double
    assert not judged.probe_sees_express
    by = table.set_index(["role", "measure"])
    assert np.abs(by.loc["aggregate", "share"]).max() < 1e-4
    assert by.loc[("express", "text"), "share"] == 0
    assert by.loc[("detect", "text"), "p"] == pytest.approx(0.1)  # above all 9
    difference = by.loc[("detect - express", "output"), "share"]
    apart = by.loc[("detect", "output"), "share"] - by.loc[("express", "output"), "share"]
    assert difference == pytest.approx(apart)
    swapped = {"detect": late, "express": early}
    table = dissociation_table(prompts, probes, swapped, n_random=1, n_bootstrap=200)
    judged = dissociation(table, swapped, probes)
    assert not judged.is_double
    assert not judged.detect_lowers_probe
    assert not judged.express_spares_probe
    assert judged.probe_sees_express


def test_without_heads_there_is_no_line_and_no_dissociation(prompts, probes):
    roles = {role: dict.fromkeys(PAIR_HALVES, ()) for role in ("detect", "express")}
    table = dissociation_table(prompts, probes, roles)
    assert len(table) == 0
    assert not dissociation(table, roles, probes).is_double
