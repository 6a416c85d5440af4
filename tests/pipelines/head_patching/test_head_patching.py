"""Head patching against single texts, planted effects and a head that writes nothing."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml

from effect_estimates import estimate
from embedded_heads import (
    SILENT,
    load_evaluator,
    load_model_with_a_silent_head,
    load_prompts,
    score_table,
)
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import Condition, Intervention, Prompt, Replace, Site
from emotion_circuits.pipelines.head_patching.nodes import change_heads, head_sets
from emotion_circuits.pipelines.head_patching.settings import HeadPatchingSettings
from handwritten import written_heads
from recomputation import reference_generate
from study_emotions import FOUR

SETTINGS = HeadPatchingSettings(
    sequence_length=8,
    n_bootstrap=50,
    top_k=3,
    num_random=2,
    num_other=1,
    rank_random=4,
    rank_pairs=2,
    score="drop_mean",
)
RECORD = {"model", "baseline_texts", "patched_texts", "baseline_metrics", "patched_metrics"}
RECORD |= {"heads", "profile", "prompts"}


@pytest.fixture(scope="module")
def prompts(project_root):
    return load_prompts(project_root)


@pytest.fixture(scope="module")
def model(project_root):
    return load_model_with_a_silent_head(project_root)


@pytest.fixture(scope="module")
def evaluator(project_root):
    return load_evaluator(project_root)


@pytest.fixture(scope="module")
def changed(model, evaluator, prompts):
    return change_heads(model, evaluator, prompts, score_table(model), FOUR, SETTINGS, "test")


def test_sets_of_other_heads_hold_no_chosen_ones_and_random_sets_may(model):
    many = SETTINGS.model_copy(update={"num_random": 60, "num_other": 20})
    sets = head_sets(model, score_table(model), many)
    chosen = sets[0]
    drawn = {kind: [item for item in sets if item.kind == kind] for kind in ("random", "other")}
    assert {kind: len(items) for kind, items in drawn.items()} == {"random": 60, "other": 20}
    shared = {
        kind: [
            len(set(heads) & set(chosen.of_half[half]))
            for item in items
            for half, heads in item.of_half.items()
        ]
        for kind, items in drawn.items()
    }
    assert set(shared["other"]) == {0}
    assert set(shared["random"]) >= {0, 1}
    n_shared = len(set(chosen.of_half["A"]) & set(chosen.of_half["B"]))
    for item in drawn["random"]:
        assert len(set(item.of_half["A"]) & set(item.of_half["B"])) == n_shared
    assert all(
        len(heads) == 3
        for item in sets[1:]
        for heads in item.of_half.values()
        if item.kind != "single"
    )
    singles = [item for item in sets if item.kind == "single"]
    assert [item.heads[0] for item in singles] == chosen.heads
    for item in singles:
        assert all(heads[0] in chosen.of_half[half] for half, heads in item.of_half.items())


def test_too_large_a_set_has_no_random_control(model, caplog):
    every = SETTINGS.model_copy(update={"heads": "all", "single_heads": False})
    sets = head_sets(model, score_table(model), every)
    assert [item.name for item in sets] == ["chosen"]
    assert "have only 0 random set(s) beside themselves, not 2" in caplog.text
    assert "only 0 set(s) of other heads are to be had, not 1" in caplog.text


def test_records_are_what_the_file_format_says(changed, model):
    ablation, patching, tidy, summary, *_ = changed
    assert set(ablation) >= RECORD
    assert set(patching) >= RECORD
    assert ablation["ablation"] == "mean"
    assert ablation["head_set"] == "chosen"
    for item in (*ablation["records"], *patching["records"]):
        lengths = {
            len(item[key]) for key in RECORD if key.endswith(("texts", "metrics", "prompts"))
        }
        assert len(lengths) == 1
        assert all(isinstance(head, tuple) for head in item["heads"])
    keys = {(r["direction"], r["mode"], r["emotion"], r["head_set"]) for r in patching["records"]}
    n_sets = 1 + len(ablation["heads"]) + 2 + 1
    assert len(keys) == len(patching["records"]) == 2 * 2 * 3 * n_sets
    assert {"gratitude", "anger", "apology", "pooled"} == set(summary["emotion"])
    of_ablation = ["neutral_patched_value", "neutral_shift", "contrast_drop"]
    of_ablation += ["neutral_fluency_loss"]
    unmeasured = ["recovered_masked", "recovered_markers"]
    assert tidy[unmeasured].isna().all().all()
    assert not tidy.drop(columns=[*of_ablation, *unmeasured]).isna().any().any()
    assert (tidy[of_ablation].notna().all(axis=1) == (tidy["what"] == "ablation")).all()
    assert tidy[of_ablation].isna().all(axis=1).equals(tidy["what"] == "patching")


def test_a_patched_text_is_the_recomputed_one(changed, model, prompts):
    _, patching, *_ = changed
    record = next(
        item
        for item in patching["records"]
        if (item["direction"], item["mode"]) == ("emotion_to_neutral", "pattern_v")
        and item["head_set"] == "chosen"
        and item["emotion"] == "anger"
    )
    for place in range(3):
        target, source = record["prompts"][place], record["source_prompts"][place]
        pair = dict(zip(prompts["text"], prompts["pair_id"], strict=True))
        label = dict(zip(prompts["text"], prompts["emotion"], strict=True))
        assert pair[target] == pair[source]
        assert (label[target], label[source]) == ("neutral", "anger")
        ids, others = model.encode(target), model.encode(source)
        heads, _ = written_heads(model.plain_model, "llama", others)
        n = len(ids) if len(ids) == len(others) else min(len(ids), len(others)) - 1
        changes = []
        for layer, head in record["heads_by_half"][record["halves"][place]]:
            aligned = np.zeros((len(ids), model.d_head))
            aligned[-n:] = heads[layer].z[-n:, head]
            changes.append(Intervention(Site("z", layer, head), Replace(aligned), Prompt(n)))
        condition = Condition("x", tuple(changes))
        tokens, _ = reference_generate(
            model.plain_model, "llama", ids, condition, SETTINGS.sequence_length
        )
        text = model.tokenizer.decode(list(tokens), skip_special_tokens=True)
        assert record["patched_texts"][place] == text


def test_a_head_that_writes_nothing_recovers_nothing(model, evaluator, prompts):
    alone = {"heads": f"{SILENT[0]}:{SILENT[1]}", "num_random": 0, "num_other": 0}
    silent = SETTINGS.model_copy(update=alone)
    ablation, patching, tidy, summary, ranks, _ = change_heads(
        model, evaluator, prompts, score_table(model), FOUR, silent, "test"
    )
    for record in (*ablation["records"], *patching["records"]):
        assert record["heads"] == [SILENT]
        assert record["patched_texts"] == record["baseline_texts"]
    assert np.abs(tidy["recovered"]).max() < 1e-5
    assert np.nanmax(np.abs(summary["fraction"])) < 1e-4
    assert np.nanmax(np.abs(summary["contrast_lost"])) < 1e-4
    assert (tidy["fluency_loss"] == 0).all()
    assert np.abs(ranks["moved"]).max() < 1e-5
    assert (ranks["effect"] > 0.01).all()


@pytest.mark.parametrize(
    ("change", "what"),
    [({"ablations": []}, "patching"), ({"directions": []}, "ablation")],
)
def test_ablation_and_patching_can_be_left_out(change, what, model, evaluator, prompts):
    small = {"num_random": 1, "num_other": 0, "rank_random": 1, "single_heads": False}
    few = SETTINGS.model_copy(update=small | change)
    files = change_heads(model, evaluator, prompts, score_table(model), FOUR, few, "test")
    assert [bool(result["records"]) for result in files[:2]] == [
        *(what == "ablation", what == "patching")
    ]
    assert set(files[2]["what"]) == set(files[4]["what"]) == {what}
    names = ("head_ablation", "head_patching")
    results = {f"{name} m": result for name, result in zip(names, files[:2], strict=True)}
    assert len(estimate(**results))


@pytest.mark.slow
def test_changing_heads_twice_or_in_another_order_gives_the_same(
    changed, model, evaluator, prompts
):
    shuffled = prompts.sample(frac=1, random_state=2)
    table = score_table(model).sample(frac=1, random_state=3)
    again = change_heads(model, evaluator, shuffled, table, FOUR, SETTINGS, "test")
    assert again[0] == changed[0]
    assert again[1] == changed[1]
    pd.testing.assert_frame_equal(again[2], changed[2])
    pd.testing.assert_frame_equal(again[3], changed[3])
    pd.testing.assert_frame_equal(again[4], changed[4], rtol=1e-5)  # batches differ: last bits


def test_recovered_means_towards_the_other_prompt(changed):
    _, _, tidy, *_ = changed
    for _, row in tidy.iterrows():
        own = (
            row["neutral_value"]
            if row["direction"] == "emotion_to_neutral"
            else row["emotion_value"]
        )
        moved = row["patched_value"] - own
        wanted = moved if row["direction"] == "emotion_to_neutral" else -moved
        assert row["recovered"] == pytest.approx(wanted)


def test_a_prompt_is_resampled_from_another_label_of_the_other_half(changed, prompts):
    """A prompt of its own label would bring the emotion along that ablation is to take away."""
    ablation, *_ = changed
    (record,) = (
        item
        for item in ablation["records"]
        if (item["ablation"], item["head_set"]) == ("resample", "chosen")
    )
    label = dict(zip(prompts["text"], prompts["emotion"], strict=True))
    half = dict(zip(record["prompts"], record["halves"], strict=True))
    assert record["source_labels"] == [label[text] for text in record["source_prompts"]]
    for text, source in zip(record["prompts"], record["source_prompts"], strict=True):
        assert label[text] != label[source]
        assert half[text] != half[source]


def test_what_ablation_does_to_neutral_prompts_is_beside_what_it_does_to_emotions(changed):
    """The numbers of the tidy table are those of the records, pair by pair."""
    ablation, _, tidy, *_ = changed
    record = ablation["records"][0]
    metric = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
    rows = tidy[(tidy["ablation"] == "mean") & (tidy["head_set"] == "chosen")]
    assert len(rows) == 3 * 4
    for _, row in rows.iterrows():

        def value(label, side, row=row):
            (place,) = (
                place
                for place, (pair, own) in enumerate(
                    zip(record["pair_ids"], record["labels"], strict=True)
                )
                if (pair, own) == (row["pair_id"], label)
            )
            return record[side][place]

        def score(label, side, row=row, value=value):
            return value(label, side)["goemotions"][metric[row["emotion"]]]

        before = score(row["emotion"], "baseline_metrics") - score("neutral", "baseline_metrics")
        after = score(row["emotion"], "patched_metrics") - score("neutral", "patched_metrics")
        shift = score("neutral", "patched_metrics") - score("neutral", "baseline_metrics")
        # Records are kept to six digits.
        assert row["contrast_drop"] == pytest.approx(before - after, abs=4e-6)
        assert row["neutral_shift"] == pytest.approx(shift, abs=2e-6)
        lost = value(row["emotion"], "patched_fluency") - value(row["emotion"], "baseline_fluency")
        assert row["fluency_loss"] == pytest.approx(lost)


def test_fluency_is_that_of_each_text_under_the_model_as_it_is(changed, model):
    """Recomputed token by token from the text's own tokens, where they tokenise as generated."""
    ablation, *_ = changed
    record = ablation["records"][0]
    checked = 0
    for prompt, text, seen in zip(
        record["prompts"], record["patched_texts"], record["patched_fluency"], strict=True
    ):
        ids = list(model.encode(prompt))
        said = model.tokenizer(text, add_special_tokens=False).input_ids
        if len(said) != SETTINGS.sequence_length:
            continue  # it ended, or tokenises otherwise
        with torch.no_grad():
            logits = model.plain_model(input_ids=torch.tensor([[*ids, *said]])).logits[0]
        losses = [
            -float(logits[len(ids) - 1 + place].log_softmax(-1)[token])
            for place, token in enumerate(said)
        ]
        assert seen == pytest.approx(np.mean(losses), abs=1e-4)
        checked += 1
    assert checked > 3


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"heads": "99:0"}, r"head spec '99:0': layer 99 is out of range; allowed are 0 to \d+"),
        ({"heads": "0:x"}, r"head spec '0:x' cannot be read; allowed are"),
        ({"heads": "0:5-2"}, r"head spec '0:5-2': the range runs backwards; nearest: 0:2-5"),
        (
            {"top_k": 99},
            r"top_k is 99, but the screening of model 'tiny_llama' has drop_mean of",
        ),
        ({"score": "direct_write"}, r"score 'direct_write' is not in the screening of model"),
        (
            {"ablations": [], "directions": []},
            r"ablations and directions are both empty; there is nothing to do",
        ),
    ],
)
def test_what_is_not_there_is_one_line(change, line, model, evaluator, prompts):
    with pytest.raises(InputError, match=line):
        change_heads(
            model,
            evaluator,
            prompts,
            score_table(model),
            FOUR,
            SETTINGS.model_copy(update=change),
            "test",
        )


def test_a_pair_without_its_neutral_prompt_is_one_line(model, evaluator, prompts):
    lonely = prompts[~((prompts["split"] == "test") & (prompts["emotion"] == "neutral"))]
    with pytest.raises(InputError, match=r"pair '.*' has gratitude, anger, apology but no neutral"):
        change_heads(model, evaluator, lonely, score_table(model), FOUR, SETTINGS, "test")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"score": "drop"}, "score is 'drop': known are drop_zero, drop_mean"),
        ({"modes": ["v_only", "v_only"]}, "the same value stands twice"),
        ({"topk": 3}, "parameter 'topk' is unknown; .* nearest: top_k"),
    ],
)
def test_a_wrong_setting_is_one_line(given, line):
    with pytest.raises(InputError, match=line):
        HeadPatchingSettings.model_validate(given)


@pytest.mark.parametrize("written", ["1:3", "99:0", "0:11", "'1:3'", "0:0-11", "0:*", "1:3 2:0"])
def test_heads_by_hand_survive_yaml(written):
    read = yaml.safe_load(f"heads: {written}")["heads"]
    assert HeadPatchingSettings(heads=read).heads == written.strip("'")
