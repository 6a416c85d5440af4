"""Ranks of a set among random sets: what is read, and what the table makes of it."""

import numpy as np
import pandas as pd
import pytest
import torch

from embedded_heads import load_model, load_prompts
from emotion_circuits.experiments.head_plans import HeadPlanner
from emotion_circuits.experiments.head_sets import HeadSet, heads_by_hand
from emotion_circuits.experiments.reactions import Reactions
from emotion_circuits.experiments.set_readings import (
    Combination,
    Readings,
    combinations,
    first_scenarios,
    read_sets,
)
from emotion_circuits.interventions import Checkpoint, Row, generate_rows
from emotion_circuits.pipelines.head_patching.ranks import rank_table
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from handwritten import written_heads
from study_emotions import FOUR

SETTINGS = HeadPatchingSettings(n_bootstrap=100, sequence_length=8, rank_pairs=2)
EMOTIONS = ("gratitude", "anger", "apology")
ABLATION = Combination("ablation", "", "", "zero")
PATCHING = Combination("patching", "emotion_to_neutral", "pattern_v", "")


WAYS = combinations(SETTINGS.ablations, SETTINGS.directions, SETTINGS.modes)


def read_all(planner, reactions, sets, checkpoint):
    return read_sets(planner, reactions, sets, WAYS, checkpoint, max_scenarios=2, seed=0)


@pytest.fixture(scope="module")
def model(project_root):
    return load_model(project_root)


@pytest.fixture(scope="module")
def reactions(model, project_root):
    data = SETTINGS.paired_prompts(model, load_prompts(project_root), FOUR)
    said = generate_rows(model, [Row(ids) for ids in data.ids], max_new_tokens=8)
    return Reactions(data, [item.token_ids for item in said])


@pytest.fixture(scope="module")
def planner(reactions):
    return HeadPlanner(reactions.prompts, needs_v=True, batch_size=8, seed=0)


@pytest.fixture(scope="module")
def sets(model):
    return [heads_by_hand(model, "2:3 4:1"), heads_by_hand(model, "0:0")]


@pytest.fixture(scope="module")
def readings(planner, reactions, sets):
    return read_all(planner, reactions, sets, None)


class Recomputation:
    """Reads texts with heads changed by hooks on the output projection."""

    def __init__(self, reactions, heads):
        self.reactions, self.model, self.heads = reactions, reactions.prompts.model, heads
        self.ids = reactions.prompts.ids

    @torch.no_grad()
    def log_prob(self, prompt, reaction, change):
        """Mean log-probability of one prompt's reaction after another prompt."""
        ids, said = self.ids[prompt], self.reactions.tokens[reaction]
        handles = [
            self.model.plain_blocks[layer].self_attn.o_proj.register_forward_pre_hook(
                self.hook(layer, head, change)
            )
            for layer, head in self.heads
            if change is not None
        ]
        logits = self.model.plain_model(input_ids=torch.tensor([[*ids, *said]])).logits[0]
        for handle in handles:
            handle.remove()
        log_probs = logits.log_softmax(-1)[len(ids) - 1 : -1]
        return float(log_probs[range(len(said)), list(said)].mean())

    def hook(self, layer, head, change):
        width = self.model.d_head

        def patch(_module, args):
            z = args[0].clone()
            change(z[0, :, head * width : (head + 1) * width], layer, head)
            return (z, *args[1:])

        return patch

    def preference(self, prompt, pair, change=None):
        return self.log_prob(prompt, pair[0], change) - self.log_prob(prompt, pair[1], change)


def pairs_of(reactions):
    chosen = first_scenarios(reactions.prompts.table, SETTINGS.rank_pairs)
    return [
        pair
        for emotion in EMOTIONS
        for pair in reactions.prompts.pairs(emotion)
        if reactions.prompts.table["pair_id"].iloc[pair[0]] in chosen
    ]


def test_what_an_ablation_moves_is_what_recomputing_four_texts_gives(reactions, sets, readings):
    def silence(z, _layer, _head):
        z[:] = 0

    pairs = pairs_of(reactions)
    assert len(pairs) == len(readings.pairs) == 2 * 3
    for number, heads in enumerate(sets):
        texts = Recomputation(reactions, heads.heads)
        for place, pair in enumerate(pairs):
            before = texts.preference(pair[0], pair) - texts.preference(pair[1], pair)
            after = texts.preference(pair[0], pair, silence)
            after -= texts.preference(pair[1], pair, silence)
            assert readings.pairs["effect"][place] == pytest.approx(before, abs=1e-4)
            seen = readings.moved[ABLATION][number, place]
            assert seen == pytest.approx(before - after, abs=1e-4)
    assert np.abs(readings.moved[ABLATION]).max() > 1e-2


def test_what_patching_moves_is_what_recomputing_two_texts_gives(reactions, sets, readings):
    checked = 0
    for number, heads in enumerate(sets):
        texts = Recomputation(reactions, heads.heads)
        for place, pair in enumerate(pairs_of(reactions)):
            ids, others = (reactions.prompts.ids[index] for index in (pair[1], pair[0]))
            if len(ids) != len(others):
                continue
            written, _ = written_heads(texts.model.plain_model, "llama", others)

            def replace(z, layer, head, written=written):
                source = torch.as_tensor(np.asarray(written[layer].z))[:, head].to(z)
                z[: len(source)] = source

            moved = texts.preference(pair[1], pair, replace) - texts.preference(pair[1], pair)
            seen = readings.moved[PATCHING][number, place]
            assert seen == pytest.approx(moved, abs=1e-4)
            checked += 1
    assert checked > 1


def test_patching_every_head_moves_the_whole_effect_at_equal_lengths(model, planner, reactions):
    """With all heads' outputs of the other prompt, little but the word before the last is left."""
    (every,) = (heads_by_hand(model, "all"),)
    found = read_all(planner, reactions, [every], None)
    shares = found.moved[PATCHING].mean() / found.pairs["effect"].mean()
    assert 0.5 < shares < 1.5


def test_scenarios_are_equally_many_of_both_halves(reactions):
    table = reactions.prompts.table
    for limit, n in ((2, 2), (3, 3), (None, 4), (99, 4)):
        names = first_scenarios(table, limit)
        assert len(names) == n
        halves = table[table["pair_id"].isin(names)].drop_duplicates("pair_id")["half"]
        counts = halves.value_counts()
        assert counts.max() - counts.min() <= 1


def test_a_killed_reading_goes_on_where_it_stopped(
    planner, reactions, sets, readings, tmp_path, monkeypatch
):
    preferences, n_calls = Reactions.preferences, []

    def read(limit=None):
        n_calls.clear()

        def count(self, rows, pairs):
            if limit is not None and len(n_calls) >= limit:
                raise KeyboardInterrupt
            n_calls.append(len(rows))
            return preferences(self, rows, pairs)

        monkeypatch.setattr(Reactions, "preferences", count)
        checkpoint = Checkpoint(tmp_path / "checkpoint", every_seconds=0.0)
        return read_all(planner, reactions, sets, checkpoint)

    with pytest.raises(KeyboardInterrupt):
        read(limit=2)
    again = read()
    assert len(n_calls) == len(readings.moved) - 2
    for way, moved in readings.moved.items():
        np.testing.assert_array_equal(again.moved[way], moved)


def readings_of(moved, effect=1.0):
    """Readings of pairs of three emotions; ``moved`` is ``[set, pair]``."""
    n = moved.shape[1]
    pairs = pd.DataFrame(
        {
            "emotion": [EMOTIONS[place % 3] for place in range(n)],
            "cluster": [f"s{place // 3}" for place in range(n)],
            "effect": np.full(n, effect),
        }
    )
    return Readings(pairs, {ABLATION: moved, PATCHING: moved + 0.0})


def test_the_table_ranks_means_and_corrects_for_the_family():
    """Against ranks and largest standardized values, straight from their definition."""
    rng = np.random.default_rng(0)
    moved = rng.normal(size=(41, 12))
    moved[0] += 0.5
    other = rng.normal(size=(41, 12))
    readings = readings_of(moved)
    readings.moved[PATCHING] = other
    table = rank_table(readings, {"any": range(1, 31)}, range(31, 41), SETTINGS)
    assert len(table) == 2 * (len(EMOTIONS) + 1)
    emotions = readings.pairs["emotion"].to_numpy()
    means = {
        (what, emotion): values[:31, (emotions == emotion) | (emotion == "pooled")].mean(1)
        for what, values in (("ablation", moved), ("patching", other))
        for emotion in (*EMOTIONS, "pooled")
    }
    for row in table.to_dict("records"):
        own = means[row["what"], row["emotion"]]
        assert row["p_rank"] == pytest.approx(np.mean(own >= own[0]))
        assert row["p_smallest"] == pytest.approx(1 / 31)
        family = [
            (values - values.mean()) / values.std()
            for (_, emotion), values in means.items()
            if (emotion == "pooled") == (row["emotion"] == "pooled")
        ]
        largest = np.max(family, axis=0)
        own = (own - own.mean()) / own.std()
        assert row["p_rank_max"] == pytest.approx(np.mean([1, *(largest[1:] >= own[0])]))
        assert row["family_size"] == len(family) == (2 if row["emotion"] == "pooled" else 6)
        assert row["n_other"] == 10


def test_a_planted_set_survives_its_familys_correction():
    rng = np.random.default_rng(0)
    moved = rng.normal(0, 0.1, size=(201, 12))
    moved[0] += 1
    table = rank_table(readings_of(moved), {"any": range(1, 201)}, [], SETTINGS)
    assert table["p_rank_max"].tolist() == pytest.approx([1 / 201] * len(table))
    assert table["fraction"].between(0.8, 1.2).all()
    assert (table["random_largest"] < 0.3).all()
    assert table["other_fraction"].isna().all()


@pytest.mark.slow
def test_sets_that_are_alike_survive_the_correction_at_the_rate_of_alpha():
    """The chosen set is one more random set: any p of a family is at most 0.05 in 5 % of studies.

    p as small in any of the family's six lines without the correction: far more often.
    """
    rng = np.random.default_rng(1)
    corrected, alone = [], []
    for _ in range(300):
        moved = rng.standard_t(2, size=(40, 1)) + rng.standard_t(2, size=(40, 12))
        readings = readings_of(moved)
        readings.moved[PATCHING] = rng.standard_t(2, size=(40, 12))
        settings = SETTINGS.model_copy(update={"n_bootstrap": 2})
        table = rank_table(readings, {"any": range(1, 40)}, [], settings)
        family = table[table["family"] == "emotions"]
        corrected.append(family["p_rank_max"].min() <= 0.05 + 1e-9)
        alone.append(family["p_rank"].min() <= 0.05 + 1e-9)
    # 300 studies have a standard error of 0.013.
    assert np.mean(corrected) <= 0.09
    assert np.mean(alone) > 0.12


def test_without_random_sets_there_is_no_p():
    table = rank_table(readings_of(np.ones((1, 12))), {"same": []}, [], SETTINGS)
    assert table[["p_rank", "p_rank_max", "p_smallest", "random_95"]].isna().all().all()
    assert (table["n_random"] == 0).all()
    assert table["fraction"].tolist() == pytest.approx([1.0] * len(table))


def test_the_halves_heads_are_read_on_their_half(planner, reactions, model):
    """A set whose heads for the other half change moves pairs of that half alone."""
    both = heads_by_hand(model, "2:3")
    changed = HeadSet("chosen", both.of_half | {"B": heads_by_hand(model, "4:1").of_half["B"]})
    one, two = (read_all(planner, reactions, [own], None) for own in (both, changed))
    table = reactions.prompts.table
    half = one.pairs["cluster"].map(dict(zip(table["cluster"], table["half"], strict=True)))
    differ = np.abs(one.moved[ABLATION][0] - two.moved[ABLATION][0]) > 1e-6
    assert differ.tolist() == (half == "B").tolist()
