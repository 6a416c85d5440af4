"""Head screening against single texts, and against a head that writes nothing."""

import json

import numpy as np
import pytest
import torch

from embedded_heads import (
    SILENT,
    load_evaluator,
    load_model_with_a_silent_head,
    load_prompts,
    vectors_of,
)
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.paired_prompts import PairedPrompts
from emotion_circuits.interventions import (
    Checkpoint,
    Condition,
    Everywhere,
    Intervention,
    Site,
    ablate_mean,
)
from emotion_circuits.interventions.engine import run as engine
from emotion_circuits.pipelines.head_screening.ablations import ablation_values
from emotion_circuits.pipelines.head_screening.nodes import screen_heads
from emotion_circuits.pipelines.head_screening.settings import HeadScreeningSettings
from emotion_circuits.pipelines.head_screening.tables import _averages
from emotion_circuits.prompts import EmotionSet, clusters_of
from emotion_circuits.statistics.ratios import mean_interval
from recomputation import reference_generate
from study_emotions import FOUR

SETTINGS = HeadScreeningSettings(sequence_length=8, n_bootstrap=50, batch_size=7)


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
def vectors(model, prompts):
    return vectors_of(model, prompts)


@pytest.fixture(scope="module")
def screened(model, evaluator, prompts, vectors):
    return screen_heads(model, evaluator, prompts, vectors, FOUR, SETTINGS, "test")


def test_the_json_is_what_the_file_format_says(screened, model, evaluator):
    scores, _, _ = screened
    assert {"profile", "model", "layers", "prompts", "sequence_length"} <= set(scores)
    assert scores["layers"] == list(range(model.n_layers))
    rows = scores["head_scores_by_label"]
    n_heads = model.n_layers * model.n_heads
    n_scores = len(evaluator.keys) + 1  # and fluency
    assert len(rows) == n_heads * 2 * len(FOUR.labels) * n_scores
    assert scores["delta_std_ddof"] == 1
    keys = {"layer", "head", "metric", "delta_mean", "delta_std", "n_samples"}
    assert all(keys <= set(row) for row in (*rows, *scores["head_scores"]))
    distinct = {(r["layer"], r["head"], r["metric"], r["ablation"], r["label"]) for r in rows}
    assert len(distinct) == len(rows)
    samples = scores["head_samples"][0]
    assert {"layer", "head", "samples"} <= set(samples)
    assert {"prompt", "baseline", "patched"} <= set(samples["samples"][0])
    json.dumps(scores, allow_nan=False)


def test_the_keys_that_readers_know_are_unique(screened, model, evaluator):
    """A reader that keeps the last row of each head and metric loses nothing."""
    scores, _, _ = screened
    n_heads = model.n_layers * model.n_heads
    rows = {(row["layer"], row["head"], row["metric"]): row for row in scores["head_scores"]}
    assert len(rows) == len(scores["head_scores"]) == n_heads * (len(evaluator.keys) + 1)
    assert {(row["ablation"], row["label"]) for row in rows.values()} == {("mean", "all")}
    samples = {(item["layer"], item["head"]): item for item in scores["head_samples"]}
    assert len(samples) == len(scores["head_samples"]) == n_heads
    for item in samples.values():
        assert [sample["prompt"] for sample in item["samples"]] == scores["prompts"]
    assert {item["ablation"] for item in scores["other_head_samples"]} == {"zero"}
    assert len(scores["other_head_samples"]) == n_heads


def all_samples(scores):
    return [*scores["head_samples"], *scores["other_head_samples"]]


def test_scores_are_means_of_the_samples(screened):
    scores, _, _ = screened
    samples = {
        (item["layer"], item["head"], item["ablation"]): item["samples"]
        for item in all_samples(scores)
    }
    checked = set()
    for row in (*scores["head_scores"], *scores["head_scores_by_label"]):
        if row["metric"] not in (*FOUR.target_metrics.values(), "fluency/nll"):
            continue
        metric, label = row["metric"].split("/")
        deltas = [
            item["patched"][metric][label] - item["baseline"][metric][label]
            for item in samples[row["layer"], row["head"], row["ablation"]]
            if row["label"] in ("all", item["label"])
        ]
        # Samples are kept to six digits.
        assert row["delta_mean"] == pytest.approx(np.mean(deltas), abs=2e-6)
        assert row["delta_std"] == pytest.approx(np.std(deltas, ddof=1), abs=1e-5)
        assert row["n_samples"] == len(deltas)
        checked.add(row["label"])
    assert checked == {"all", *FOUR.labels}


def test_ablated_texts_are_those_of_recomputing_each_alone(screened, model, evaluator, prompts):
    scores, _, _ = screened
    data = SETTINGS.paired_prompts(model, prompts, FOUR)
    values = ablation_values(data, ["mean"], 7)
    halves = dict(zip(scores["prompts"], scores["halves"], strict=True))
    wanted = (2, 3)
    (entry,) = (item for item in scores["head_samples"] if (item["layer"], item["head"]) == wanted)
    samples = [sample for sample in entry["samples"] if sample["label"] == "anger"]
    for sample in samples[:3]:
        value = values["mean", halves[sample["prompt"]]][wanted]
        change = Intervention(Site("z", *wanted), ablate_mean(value), Everywhere())
        ids, _ = reference_generate(
            model.plain_model,
            "llama",
            model.encode(sample["prompt"]),
            Condition("x", (change,)),
            SETTINGS.sequence_length,
        )
        text = model.tokenizer.decode(list(ids), skip_special_tokens=True)
        assert sample["patched_text"] == text
        score = evaluator.evaluate_batch([text])["goemotions/anger"][0]
        assert sample["patched"]["goemotions"]["anger"] == pytest.approx(score, abs=1e-5)


def test_intervals_resample_templates_and_not_pairs(screened, prompts):
    """Three emotions share a neutral prompt, and pairs a template: these are the samples."""
    scores, table, _ = screened
    template = dict(zip(prompts["text"], clusters_of(prompts), strict=True))
    metric = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
    for entry in scores["head_samples"][::5]:
        drops, templates = [], []
        for item in entry["samples"]:
            if item["label"] in metric:
                before, after = item["baseline"]["goemotions"], item["patched"]["goemotions"]
                name = metric[item["label"]]
                drops.append(before[name] - after[name])
                templates.append(template[item["prompt"]])
        assert 3 * len(set(templates)) == len(templates)
        _, lower, upper = mean_interval(
            np.array(drops), n_bootstrap=SETTINGS.n_bootstrap, seed=0, clusters=templates
        )
        row = table[
            (table["layer"] == entry["layer"])
            & (table["head"] == entry["head"])
            & (table["emotion"] == "pooled")
            & (table["half"] == "both")
        ].iloc[0]
        assert row["drop_mean_lower"] == pytest.approx(lower, abs=2e-6)
        assert row["drop_mean_upper"] == pytest.approx(upper, abs=2e-6)


def test_scenarios_of_a_template_are_one_sample():
    """Twelve pairs of three templates that decide their drops: the interval knows three."""
    templates = np.repeat(["a", "b", "c"], 4)
    drops = np.repeat([0.0, 0.3, 0.9], 4)[:, None] + np.arange(12)[:, None] * [[1e-3, 0.0]]
    found = _averages({"half": templates, "cluster": templates, "drop_mean": drops}, SETTINGS)
    options = {"n_bootstrap": SETTINGS.n_bootstrap, "seed": SETTINGS.seed}
    mean, lower, upper = mean_interval(drops.T, **options, clusters=templates.tolist())
    assert found["drop_mean"] == pytest.approx(mean)
    assert found["drop_mean_lower"] == pytest.approx(lower)
    assert found["drop_mean_upper"] == pytest.approx(upper)
    _, low, high = mean_interval(drops.T, **options)
    assert ((high - low) < 0.7 * (upper - lower)).all()


def test_a_reaction_drop_is_what_recomputing_two_texts_gives(screened, model):
    """The own reaction and the neutral one, read by the model with the head taken out by hand.

    Without the ablation, their difference is what the lost emotion alone costs.
    """
    scores, table, _ = screened
    layer, head = 2, 3
    (entry,) = (
        item
        for item in scores["other_head_samples"]
        if (item["layer"], item["head"]) == (layer, head)
    )
    said = {item["prompt"]: item["baseline_text"] for item in entry["samples"]}
    place = {
        (pair, label): text
        for text, pair, label in zip(
            scores["prompts"], scores["pair_ids"], scores["labels"], strict=True
        )
    }

    def log_prob(prompt, text, is_ablated):
        ids = model.encode(prompt)
        forced = model.tokenizer(text, add_special_tokens=False).input_ids

        def silence(module, args):
            z = args[0].clone()
            z[..., head * model.d_head : (head + 1) * model.d_head] = 0
            return (z,)

        projection = model.plain_blocks[layer].self_attn.o_proj
        handle = projection.register_forward_pre_hook(silence) if is_ablated else None
        with torch.no_grad():
            logits = model.plain_model(input_ids=torch.tensor([[*ids, *forced]])).logits[0]
        if handle is not None:
            handle.remove()
        log_probs = logits.log_softmax(-1)[len(ids) - 1 : -1]
        return float(log_probs[range(len(forced)), forced].mean())

    drops, references = [], []
    for (pair, label), prompt in place.items():
        if label == "anger":
            own, other = said[prompt], said[place[pair, "neutral"]]
            before, after = (
                log_prob(prompt, own, is_ablated) - log_prob(prompt, other, is_ablated)
                for is_ablated in (False, True)
            )
            drops.append(before - after)
            references.append(before)
    row = table[
        (table["layer"] == layer)
        & (table["head"] == head)
        & (table["emotion"] == "anger")
        & (table["half"] == "both")
    ].iloc[0]
    # At eight new tokens no text ends, and each tokenises as it was generated.
    assert row["reaction_drop_zero"] == pytest.approx(np.mean(drops), abs=1e-4)
    assert row["fluency_loss_reference"] == pytest.approx(np.mean(references), abs=1e-4)
    assert scores["fluency_loss_reference"]["anger"] == row["fluency_loss_reference"]
    assert list(scores["fluency_loss_reference"]) == list(FOUR.names)


def test_costs_are_those_of_the_samples_on_both_kinds_of_prompts(screened):
    scores, table, _ = screened
    chosen = table[(table["emotion"] == "apology") & (table["half"] == "both")]
    costs = {
        (item["layer"], item["head"]): {
            label: np.mean(
                [
                    sample["patched"]["fluency"]["nll"] - sample["baseline"]["fluency"]["nll"]
                    for sample in item["samples"]
                    if sample["label"] == label
                ]
            )
            for label in ("apology", "neutral")
        }
        for item in scores["head_samples"]
    }
    for row in chosen.to_dict("records"):
        own = costs[row["layer"], row["head"]]
        # Samples are kept to six digits.
        assert row["fluency_loss_mean"] == pytest.approx(own["apology"], abs=2e-6)
        assert row["neutral_fluency_loss_mean"] == pytest.approx(own["neutral"], abs=2e-6)
        assert row["fluency_loss_mean_lower"] <= row["fluency_loss_mean"] + 1e-12
    assert chosen["fluency_loss_reference"].nunique() == 1
    assert chosen["fluency_loss_mean"].nunique() > 5


def test_a_prompt_has_no_part_in_its_own_mean(model, prompts):
    data = SETTINGS.paired_prompts(model, prompts, FOUR)
    before = ablation_values(data, ["mean"], 8)
    ids = [
        (*tokens[:2], *tokens[3:]) if half == "A" else tokens
        for tokens, half in zip(data.ids, data.halves, strict=True)
    ]
    changed = PairedPrompts(model, FOUR, data.table, ids, data.n_special)
    after = ablation_values(changed, ["mean"], 8)
    assert torch.equal(before["mean", "A"], after["mean", "A"])
    assert not torch.equal(before["mean", "B"], after["mean", "B"])


def test_a_head_that_writes_nothing_scores_nothing(screened):
    _, table, _ = screened
    mine = table[(table["layer"] == SILENT[0]) & (table["head"] == SILENT[1])]
    names = [
        name
        for name in table
        if name.startswith(("drop", "reaction", "logit", "neutral_", "direct", "fluency_loss_"))
        and "reference" not in name
    ]
    assert len(names) > 8
    # The gradient with respect to what no weight reads is zero as well.
    names += [name for name in table if name.startswith("attribution")]
    # Ablated rows run in other batches than the baseline: the last bits of logits may differ.
    # Halves of two scenarios have no intervals.
    assert np.nanmax(np.abs(mine[names].to_numpy(float))) < 1e-5
    others = table.drop(mine.index)
    assert (np.nanmax(np.abs(others[names].to_numpy(float)), axis=0) > 1e-4).all()


def test_every_head_emotion_and_half_has_a_row(screened, model):
    _, table, agreement = screened
    n_heads = model.n_layers * model.n_heads
    assert len(table) == n_heads * (len(FOUR.names) + 1) * 3
    assert set(table["emotion"]) == {*FOUR.names, "pooled"}
    both = table[(table["emotion"] == "pooled") & (table["half"] == "both")]
    parts = [
        table[(table["emotion"] == "pooled") & (table["half"] == half)]["drop_mean"].to_numpy()
        for half in ("A", "B")
    ]
    # Four pairs, two in each half: the mean of both is the mean of the halves.
    np.testing.assert_allclose(both["drop_mean"], (parts[0] + parts[1]) / 2, atol=1e-12)
    assert (both["drop_zero_lower"] <= both["drop_zero"] + 1e-12).all()
    assert (both["drop_zero_upper"] >= both["drop_zero"] - 1e-12).all()
    assert agreement["recall_at_top"].between(0, 1).all()
    assert set(agreement["n_heads"]) == {n_heads}


def test_screening_twice_gives_the_same_and_leaves_no_hook(model, evaluator, prompts, vectors):
    few = SETTINGS.model_copy(update={"layers": [1, 2], "sequence_length": 4})

    def count():
        modules = (*model.bridge.modules(), *model.plain_model.modules())
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before = count()
    once = screen_heads(model, evaluator, prompts, vectors, FOUR, few, "test")
    shuffled = prompts.sample(frac=1, random_state=1)
    again = screen_heads(model, evaluator, shuffled, vectors, FOUR, few, "test")
    assert json.dumps(again[0]) == json.dumps(once[0])
    assert again[1].equals(once[1])
    assert again[2].equals(once[2])
    assert count() == before


def test_some_layers_give_their_part_of_the_table(screened, model, evaluator, prompts, vectors):
    few = SETTINGS.model_copy(update={"layers": [1], "ablations": ["zero"]})
    scores, table, _ = screen_heads(model, evaluator, prompts, vectors, FOUR, few, "test")
    assert scores["layers"] == [1]
    whole = screened[1]
    wanted = whole[whole["layer"] == 1].reset_index(drop=True)
    np.testing.assert_allclose(table["drop_zero"], wanted["drop_zero"], atol=1e-6)
    assert "drop_mean" not in table


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (
            {"layers": [99]},
            r"layer 99 is out of range for model 'tiny_llama'; allowed are 0 to \d+",
        ),
        (
            {"metrics": ["goemotions/angr"]},
            r"metric 'goemotions/angr' .* nearest: goemotions/anger",
        ),
        ({"vector_layer": 99}, r"vector_layer '99' is not in the emotion vectors; known: 0, 1"),
    ],
)
def test_what_is_not_there_is_one_line(change, line, model, evaluator, prompts, vectors):
    with pytest.raises(InputError, match=line):
        changed = SETTINGS.model_copy(update=change)
        screen_heads(model, evaluator, prompts, vectors, FOUR, changed, "test")


def test_what_the_studys_emotions_lack_is_one_line(model, evaluator, prompts, vectors):
    metrics = EmotionSet(target_metrics=dict.fromkeys(FOUR.names, "mood/high"))
    line = r"metric 'mood/high' is not in the evaluators; known: goemotions/admiration"
    with pytest.raises(InputError, match=line):
        screen_heads(model, evaluator, prompts, vectors, metrics, SETTINGS, "test")
    words = EmotionSet(marking_words=dict.fromkeys(FOUR.names, ("thanks",)))
    line = r"marking_words of gratitude begin with no token of their own for .*'tiny_llama': thanks"
    with pytest.raises(InputError, match=line):
        screen_heads(model, evaluator, prompts, vectors, words, SETTINGS, "test")


@pytest.mark.parametrize(
    ("given", "line"),
    [
        ({"layers": [0, 0]}, "layers is .0, 0.: the same value stands twice"),
        ({"target_metrics": {}}, "parameter 'target_metrics' is unknown; known: "),
        ({"ablation": ["zero"]}, "parameter 'ablation' is unknown; .* nearest: ablations"),
        ({"rows": 0}, "rows.* is 0: allowed are auto and whole numbers from 1"),
        ({"marking_words": {}}, "parameter 'marking_words' is unknown; known: "),
    ],
)
def test_a_wrong_setting_is_one_line(given, line):
    with pytest.raises(InputError, match=line):
        HeadScreeningSettings.model_validate(given)


def test_a_killed_screening_goes_on_where_it_stopped(
    model, evaluator, prompts, vectors, tmp_path, monkeypatch
):
    few = SETTINGS.model_copy(update={"layers": [1], "ablations": ["zero"]})
    rows = []
    whole = engine.generate_batch

    def screen(checkpoint=None, killed_after=None):
        rows.clear()

        def generate(model_, batch, *args, **options):
            if killed_after is not None and len(rows) >= killed_after:
                raise KeyboardInterrupt
            rows.extend(batch)
            return whole(model_, batch, *args, **options)

        monkeypatch.setattr(engine, "generate_batch", generate)
        return screen_heads(model, evaluator, prompts, vectors, FOUR, few, "test", checkpoint)

    wanted = screen()
    n_rows = len(rows)
    checkpoint = Checkpoint(tmp_path / "checkpoint", every_seconds=0.0)
    with pytest.raises(KeyboardInterrupt):
        screen(checkpoint, killed_after=1)
    n_done = len(rows)
    assert 0 < n_done < n_rows
    again = screen(checkpoint)
    assert len(rows) == n_rows - n_done
    assert json.dumps(again[0]) == json.dumps(wanted[0])
