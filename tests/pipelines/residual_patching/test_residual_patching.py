"""The phase on a shipped model: against the definition, in any order, and where nothing is done."""

import copy
import pickle

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from transformers import AutoModelForCausalLM

from emotion_circuits.errors import InputError
from emotion_circuits.evaluation import nest_scores
from emotion_circuits.experiments.contract import read_residual_sweep
from emotion_circuits.experiments.contract.nesting import walk
from emotion_circuits.experiments.steering_settings import SteeringSettings
from emotion_circuits.geometry import pool_positions
from emotion_circuits.interventions import (
    Add,
    AddInSubspace,
    Checkpoint,
    Condition,
    Constant,
    Decay,
    Intervention,
    Listed,
    ProjectOut,
    Site,
    positions_for_window,
)
from emotion_circuits.language_models import ModelSpec, load_language_model
from emotion_circuits.pipelines.residual_patching import nodes
from emotion_circuits.pipelines.residual_patching.nodes import (
    measure_side_effects,
    report_residual_patching,
    sweep_controls,
    sweep_emotions,
)
from emotion_circuits.prompts import EmotionSet, PromptSource, SourceRecord
from recomputation import reference_generate
from study_emotions import FOUR

SMALL = {
    "split": "fresh",
    "max_samples_per_emotion": 5,
    "layers": [1, 3],
    "alphas": [0.5, 2.0],
    "sequence_length": 10,
    "num_random": 2,
    "num_covariance": 2,
    "num_shuffled": 2,
    "n_bootstrap": 20,
}


@pytest.fixture(scope="module")
def run(model, evaluator, vectors, subspaces, activations, prompts, fresh, tmp_path_factory):
    """Sweep emotions, and controls if asked for, with other settings than ``SMALL``."""

    def sweep(controls=False, given=vectors, study=FOUR, **settings):
        chosen = SteeringSettings(**(SMALL | settings))
        checkpoint = Checkpoint(tmp_path_factory.mktemp("sweep") / "rows")
        shared = (model, evaluator, given, subspaces)
        table = prompts, fresh, checkpoint, "baseline_smoke"
        emotions = sweep_emotions(*shared, *table, study, chosen)
        if not controls:
            return emotions
        return emotions, sweep_controls(*shared, activations, emotions, checkpoint, study, chosen)

    return sweep


@pytest.fixture(scope="module")
def both(run):
    return run(controls=True)


def cells(sweep):
    for emotion, layers in sweep["sweep_results"].items():
        for layer, alphas in layers.items():
            for alpha, cell in alphas.items():
                yield (emotion, layer, alpha), cell


def places_of(nested):
    return [
        (e, layer, a) for e, layers in nested.items() for layer, of in layers.items() for a in of
    ]


def choose(sweep, settings):
    n_layers = sweep["metadata"]["n_layers"]
    return settings.choose(read_residual_sweep(sweep), FOUR, n_layers)["headline"]


def test_the_residual_file_has_the_contracts_keys_and_nesting(both):
    sweep, _ = both
    assert sweep["profile"] == "baseline_smoke"
    assert sweep["model"] == "tiny_gpt2"
    assert sweep["alpha_values"] == [0.5, 2.0]
    assert sweep["patch_window"] is None
    assert sweep["sequence_length"] == 10
    assert len(sweep["prompts"]) == 5
    assert list(sweep["sweep_results"]) == list(FOUR.names)
    places = [place for place, _ in cells(sweep)]
    assert places == [(e, layer, a) for e in FOUR.names for layer in (1, 3) for a in (0.5, 2.0)]
    for cell in (sweep["baseline"], *(cell for _, cell in cells(sweep))):
        assert list(cell["texts"]) == list(cell["metrics"]) == sweep["prompts"]
        assert all(isinstance(text, str) for text in cell["texts"].values())
        nested = cell["metrics"][sweep["prompts"][0]]
        assert list(nested) == ["sentiment", "politeness", "goemotions"]
        assert isinstance(nested["goemotions"]["remorse"], float)
        assert cell["fluency"][sweep["prompts"][0]] > 0


def test_the_random_file_has_the_contracts_keys_and_nesting(both):
    sweep, random = both
    assert {"profile", "model", "alpha_values", "num_random"} <= set(random)
    assert list(random["random_results"]) == list(FOUR.names)
    for layers in random["random_results"].values():
        (layer,) = layers  # the one chosen for the emotion
        assert layer in (1, 3)
        assert list(layers[layer]) == [0, 1]
        for alphas in layers[layer].values():
            assert list(alphas) == [0.5, 2.0]
            records = alphas[0.5]
            assert [record["prompt"] for record in records] == sweep["prompts"]
            assert set(records[0]) >= {"prompt", "text", "metrics"}
    # Beside the controls stand the emotions' own texts, wherever there are controls.
    assert places_of(random["emotion_results"]) == places_of(
        {
            emotion: {layer: draws[0] for layer, draws in layers.items()}
            for emotion, layers in random["random_results"].items()
        }
    )
    for emotion, layer, alpha in places_of(random["emotion_results"]):
        records = random["emotion_results"][emotion][layer][alpha]
        cell = sweep["sweep_results"][emotion][layer][alpha]
        assert {r["prompt"]: r["text"] for r in records} == cell["texts"]
        assert {r["prompt"]: r["metrics"] for r in records} == cell["metrics"]


def test_results_are_plain_data(both, tmp_path):
    from emotion_circuits.datasets import ResultPickleDataset

    for number, result in enumerate(both):
        dataset = ResultPickleDataset(filepath=tmp_path / f"{number}.pkl")
        dataset.save(result)
        assert dataset.load() == result


def test_strength_zero_is_the_baseline_bit_for_bit(run):
    for operator in ("vector", "subspace", "project_out"):
        sweep = run(alphas=[0.0], operator=operator, window=3)
        for _, cell in cells(sweep):
            assert cell == sweep["baseline"]
    moved = run(alphas=[2.0])
    assert any(cell["texts"] != moved["baseline"]["texts"] for _, cell in cells(moved))


def reference_condition(settings, vectors, subspaces, emotion, layer, alpha):
    """The condition of a cell, written down anew from the settings' words."""
    place = vectors["metadata"]["layer_indices"].index(layer)
    vector = torch.from_numpy(vectors["emotion_vectors"][emotion][place]).float()
    basis = torch.from_numpy(subspaces["subspaces"][emotion][layer]["components"]).float()
    operator = {
        "vector": Add(vector),
        "subspace": AddInSubspace(vector, basis[:2]),
        "project_out": ProjectOut(vector),
    }[settings.get("operator", "vector")]
    strength = {
        "constant": Constant(alpha),
        "decay": Decay(alpha, 0.8),
        "list": Listed((alpha, alpha / 2)),
    }[settings.get("schedule", "constant")]
    window, only_new = settings.get("window"), settings.get("new_tokens_only", False)
    positions = positions_for_window(window, new_tokens_only=only_new)
    site = Site("resid_post", layer)
    return Condition("cell", (Intervention(site, operator, positions, strength),))


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"window": 3, "schedule": "decay", "decay_rate": 0.8},
        {"window": 2, "new_tokens_only": True, "operator": "subspace", "subspace_rank": 2},
        {"operator": "project_out", "alphas": [1.0]},
        {"schedule": "list", "strengths": [1.0, 0.5]},
    ],
)
def test_each_cell_is_what_recomputing_everything_gives(
    run, settings, model, models, vectors, subspaces, evaluator
):
    """One prompt and one condition at a time, without a cache, with plain PyTorch hooks."""
    sweep = run(**(settings | {"max_samples_per_emotion": 2, "sequence_length": 6}))
    plain = AutoModelForCausalLM.from_pretrained(models / "tiny_gpt2").eval()
    differing = 0
    for (emotion, layer, alpha), cell in cells(sweep):
        condition = reference_condition(settings, vectors, subspaces, emotion, layer, alpha)
        for prompt in sweep["prompts"]:
            ids, _ = reference_generate(plain, "gpt2", model.encode(prompt), condition, 6)
            assert tuple(cell["token_ids"][prompt]) == ids
            assert cell["texts"][prompt] == model.tokenizer.decode(ids, skip_special_tokens=True)
            differing += ids != tuple(sweep["baseline"]["token_ids"][prompt])
    if settings.get("operator") != "project_out":
        assert differing  # else a patch that does nothing would pass


def test_scores_are_those_of_the_texts(both, evaluator):
    sweep, _ = both
    (_, _, _), cell = list(cells(sweep))[-1]
    texts = list(cell["texts"].values())
    alone = [nest_scores(evaluator.evaluate_batch([text.strip()]))[0] for text in texts]
    for seen, wanted in zip(cell["metrics"].values(), alone, strict=True):
        for metric, labels in wanted.items():
            for label, value in labels.items():
                assert seen[metric][label] == pytest.approx(value, abs=1e-6)


def test_full_text_scores_the_prompt_too(run, evaluator):
    sweep = run(score="full_text", layers=[1], alphas=[0.5])
    prompt = sweep["prompts"][0]
    whole = (prompt + sweep["baseline"]["texts"][prompt]).strip()
    wanted = evaluator.evaluate_batch([whole])["politeness/neutral"][0]
    seen = sweep["baseline"]["metrics"][prompt]["politeness"]["neutral"]
    assert seen == pytest.approx(wanted, abs=1e-6)


def results_only(sweep):
    return {key: value for key, value in sweep.items() if key != "metadata"}


def test_any_order_and_any_batch_give_the_same_results(run, both):
    other = run(controls=True, layers=[3, 1], alphas=[2.0, 0.5], rows=3)
    for first, second in zip(both, other, strict=True):
        assert results_only(second) == results_only(first)
        # Dictionaries are equal whatever their order; the file's order must be the same, too.
        assert repr(results_only(second)) == repr(results_only(first))


def test_a_condition_is_the_same_among_others_and_alone(run, both):
    alone = run(layers=[3], alphas=[2.0])
    for emotion in FOUR.names:
        wanted = both[0]["sweep_results"][emotion][3][2.0]
        seen = alone["sweep_results"][emotion][3][2.0]
        assert seen["token_ids"] == wanted["token_ids"]
        assert seen["texts"] == wanted["texts"]


def test_random_directions_have_the_norm_of_what_they_control(run):
    for operator in ("vector", "subspace"):
        _, random = run(controls=True, operator=operator, random_layers="all")
        for kind in ("random", "covariance", "shuffled"):
            for emotion, layers in random["controls"][kind].items():
                assert sorted(layers) == [1, 3]
                for layer, drawn in layers.items():
                    wanted = random["vector_norms"][emotion][layer]
                    assert [c["norm"] for c in drawn] == pytest.approx([wanted] * 2)
        seeds = [
            control["seed"]
            for layers in random["controls"]["random"].values()
            for drawn in layers.values()
            for control in drawn
        ]
        assert len(set(seeds)) == len(seeds) == 3 * 2 * 2


def test_a_random_cell_is_what_its_recorded_seed_gives(both, model, models, vectors):
    _, random = both
    emotion, alpha = "apology", 2.0
    ((layer, drawn),) = random["controls"]["random"][emotion].items()
    direction = np.random.default_rng(drawn[1]["seed"]).standard_normal(model.d_model)
    direction *= random["vector_norms"][emotion][layer] / np.linalg.norm(direction)
    site = Site("resid_post", layer)
    condition = Condition("r", (Intervention(site, Add(direction), strength=Constant(alpha)),))
    plain = AutoModelForCausalLM.from_pretrained(models / "tiny_gpt2").eval()
    for record in random["random_results"][emotion][layer][1][alpha][:2]:
        ids, _ = reference_generate(plain, "gpt2", model.encode(record["prompt"]), condition, 10)
        assert record["text"] == model.tokenizer.decode(ids, skip_special_tokens=True)


def test_a_cell_of_the_covariance_is_what_its_seed_and_the_activations_give(
    both, model, models, activations, vectors
):
    _, random = both
    emotion, alpha = "anger", 2.0
    ((layer, drawn),) = random["controls"]["covariance"][emotion].items()
    pooled = pool_positions(activations, FOUR, strategy="last_token", layers=[layer])
    train = pooled.values[pooled.splits == vectors["metadata"]["split"], 0]
    weights = np.random.default_rng(drawn[1]["seed"]).standard_normal(len(train))
    direction = weights @ (train - train.mean(axis=0))
    direction *= random["vector_norms"][emotion][layer] / np.linalg.norm(direction)
    site = Site("resid_post", layer)
    condition = Condition("c", (Intervention(site, Add(direction), strength=Constant(alpha)),))
    plain = AutoModelForCausalLM.from_pretrained(models / "tiny_gpt2").eval()
    for record in random["covariance_results"][emotion][layer][1][alpha][:2]:
        ids, _ = reference_generate(plain, "gpt2", model.encode(record["prompt"]), condition, 10)
        assert record["text"] == model.tokenizer.decode(ids, skip_special_tokens=True)


def test_the_last_layers_are_a_comparison_with_controls_where_they_were_chosen(run):
    sweep, random = run(controls=True, layers=[1, 4], num_shuffled=0)
    settings = SteeringSettings(**(SMALL | {"num_shuffled": 0}))
    choices = settings.choose(read_residual_sweep(sweep), FOUR, 5)
    for kind in ("random", "covariance"):
        for emotion, layers in random[f"{kind}_results"].items():
            assert list(layers) == [1, 4]
            assert list(layers[1][0]) == [0.5, 2.0]
            assert list(layers[4][0]) == [choices["last_layers"][emotion].alpha]
    table = report_residual_patching(sweep, random, FOUR, settings).selection
    assert table.groupby("choice")["layer"].unique().map(list).to_dict() == {
        "headline": [1],
        "last_layers": [4],
    }
    assert (table["random_n"] == 2).all()
    assert (table["covariance_n"] == 2).all()
    assert table["covariance_p"].between(1 / 3, 1).all()
    assert (table["relative_dose"] > 0).all()


def test_last_layers_alone_are_refused_before_any_text_is_made(run, monkeypatch):
    monkeypatch.setattr(nodes, "run", lambda *_args, **_kwargs: pytest.fail("generated"))
    with pytest.raises(InputError, match=r"of 5 layers the headline may choose 0 to 3, .* only 4"):
        run(layers=[4])


def test_a_control_that_does_nothing_has_exactly_no_effect(run):
    sweep, random = run(controls=True, alphas=[0.0], rows=4)
    kinds = [random[f"{kind}_results"] for kind in ("random", "covariance", "shuffled")]
    for layers in [layers for of_kind in kinds for layers in of_kind.values()]:
        for indices in layers.values():
            for alphas in indices.values():
                for record in alphas[0.0]:
                    prompt = record["prompt"]
                    assert record["text"] == sweep["baseline"]["texts"][prompt]
                    assert record["metrics"] == sweep["baseline"]["metrics"][prompt]
                    assert record["fluency"] == sweep["baseline"]["fluency"][prompt]


def test_vectors_of_nothing_do_nothing_whatever_their_strength(run, vectors):
    nothing = copy.deepcopy(vectors)
    for vector in nothing["emotion_vectors"].values():
        vector[:] = 0
    sweep = run(given=nothing)
    for _, cell in cells(sweep):
        assert cell == sweep["baseline"]


def test_baselines_are_drawn_again_when_sampling_and_only_then(run, both):
    assert both[1]["reseeded_results"] == []
    sweep, random = run(controls=True, sampling="temperature", num_random=3, alphas=[0.0, 2.0])
    for emotion in FOUR.names:  # the same seeds: a patch of strength zero has the baseline's luck
        assert sweep["sweep_results"][emotion][3][0.0] == sweep["baseline"]
    texts = [tuple(r["text"] for r in records) for records in random["reseeded_results"]]
    assert len(set(texts)) == 3
    assert tuple(sweep["baseline"]["texts"].values()) not in texts
    again = run(sampling="temperature", alphas=[0.0, 2.0])
    assert again["baseline"] == sweep["baseline"]


def test_controls_run_where_and_as_strong_as_asked(run):
    sweep, random = run(
        controls=True, random_layers=[3], random_alphas="selected", num_random=1, num_shuffled=0,
        num_covariance=0,
    )  # fmt: skip
    choices = choose(sweep, SteeringSettings(**SMALL))
    for emotion, layers in random["random_results"].items():
        assert list(layers) == [3]
        assert list(layers[3][0]) == [choices[emotion].alpha]
    assert random["shuffled_results"] == {}


def test_controls_can_run_on_the_reporting_half_alone(run):
    options = {"random_layers": [3], "random_alphas": "selected", "num_random": 2}
    options |= {"num_covariance": 0, "num_shuffled": 0}
    reports = {}
    for half in ("all", "confirm"):
        sweep, controls = run(controls=True, random_prompts=half, **options)
        wanted = sweep["prompts"] if half == "all" else sweep["halves"]["confirm"]
        for _, records in walk(controls["random_results"], 4):
            assert [record["prompt"] for record in records] == list(wanted)
        settings = SteeringSettings(**(SMALL | options))
        reports[half] = report_residual_patching(sweep, controls, FOUR, settings).controls
    both_halves = reports["all"].query("half == 'confirm'").reset_index(drop=True)
    pd.testing.assert_frame_equal(reports["confirm"].reset_index(drop=True), both_halves)


def test_a_sweep_without_controls_has_files_all_the_same(run):
    sweep, random = run(controls=True, num_random=0, num_covariance=0, num_shuffled=0)
    for key in ("random_results", "covariance_results", "shuffled_results", "emotion_results"):
        assert random[key] == {}
    assert [record["prompt"] for record in random["baseline"]] == sweep["prompts"]
    report = report_residual_patching(sweep, random, FOUR, SteeringSettings(**SMALL))
    assert (report.selection["random_n"] == 0).all()
    assert not len(report.controls)


def test_a_wrong_target_metric_is_found_before_any_text_is_made(run, monkeypatch):
    monkeypatch.setattr(nodes, "run", lambda *_args, **_kwargs: pytest.fail("generated"))
    study = EmotionSet(target_metrics={"anger": "goemotions/angr"})
    with pytest.raises(InputError, match=r"'goemotions/angr' is not in .* nearest: .*/anger"):
        run(study=study)


def test_hooks_are_gone_afterwards(model, both):
    assert not any(module._forward_hooks for module in model.plain_model.modules())
    assert not any(module._forward_pre_hooks for module in model.plain_model.modules())


def test_vectors_of_another_point_are_refused_before_anything_runs(run, vectors):
    elsewhere = copy.deepcopy(vectors)
    elsewhere["metadata"]["hook_pos"] = "resid_pre"
    with pytest.raises(InputError, match="measure and patch at the same point"):
        run(given=elsewhere)


def test_steering_moves_each_emotions_own_score(run):
    """On a shipped model, at the best of a few strengths; the control is strength zero."""
    sweep = run(layers=[2, 3], alphas=[0.5, 1.0, 2.0], max_samples_per_emotion=12)
    own = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
    for emotion, label in own.items():

        def mean(cell, label=label):
            return np.mean([m["goemotions"][label] for m in cell["metrics"].values()])

        best = max(
            mean(cell)
            for alphas in sweep["sweep_results"][emotion].values()
            for cell in alphas.values()
        )
        assert best - mean(sweep["baseline"]) > 0.3


def test_equal_texts_share_their_scores_on_disk(both):
    # 36 numbers a text would be about 800 bytes; few of these texts differ.
    sweep, _ = both
    n_texts = 5 * (1 + sum(1 for _ in cells(sweep)))
    assert len(pickle.dumps(sweep)) < 800 * n_texts


def test_random_directions_do_less_than_the_emotion_and_nothing_among_themselves(run):
    sweep, random = run(
        controls=True, layers=[3], alphas=[0.5, 0.75], num_random=16, num_shuffled=0,
        num_covariance=0, max_samples_per_emotion=12, random_alphas="selected",
        max_fluency_loss=5.0,
    )  # fmt: skip
    settings = SteeringSettings(**(SMALL | {"max_fluency_loss": 5.0}))
    own = {"gratitude": "gratitude", "anger": "anger", "apology": "remorse"}
    for emotion, choice in choose(sweep, settings).items():
        baseline = np.array(
            [m["goemotions"][own[emotion]] for m in sweep["baseline"]["metrics"].values()]
        )

        def effect(records, baseline=baseline, label=own[emotion]):
            return np.mean([r["metrics"]["goemotions"][label] for r in records] - baseline)

        steered = effect(random["emotion_results"][emotion][3][choice.alpha])
        null = [effect(a[choice.alpha]) for a in random["random_results"][emotion][3].values()]
        # Of 16 directions as long as the last layer's vectors, a few reach a first word that
        # expresses something; on average they must not.
        assert np.mean(np.abs(null)) < steered / 4
        assert np.mean(np.abs(null) < steered / 2) >= 0.8
        # Which of them are called the first half is chance.
        first, second = null[:8], null[8:]
        if np.ptp(null) > 0:
            assert stats.mannwhitneyu(first, second).pvalue > 0.01


@pytest.mark.parametrize("name", ["gpt_neox", "gemma3"])
def test_other_architectures_run_the_phase(name, tmp_path, evaluator, prompts):
    from architectures import save_architecture

    source = save_architecture(name, tmp_path / name)
    micro = load_language_model(ModelSpec(name=name, source=str(source), device="cpu"))
    rng = np.random.default_rng(0)
    vectors = {
        "emotion_vectors": {
            e: rng.normal(size=(micro.n_layers, micro.d_model)) for e in FOUR.names
        },
        "metadata": {"layer_indices": list(range(micro.n_layers)), "hook_pos": "resid_post"},
    }
    settings = SteeringSettings(
        split="fresh", max_samples_per_emotion=2, alphas=[0.0, 3.0], sequence_length=4, window=3
    )
    short = PromptSource(
        "short",
        tuple(
            SourceRecord(n, {"text": text, "emotion": "neutral"})
            for n, text in enumerate(["I looked at her chair.", "We counted 12 books."])
        ),
    )
    checkpoint = Checkpoint(tmp_path / "c")
    sweep = sweep_emotions(
        micro, evaluator, vectors, {}, prompts, short, checkpoint, "p", FOUR, settings
    )
    assert all(
        alphas[0.0] == sweep["baseline"]
        for layers in sweep["sweep_results"].values()
        for alphas in layers.values()
    )
    assert any(cell["texts"] != sweep["baseline"]["texts"] for _, cell in cells(sweep))


def test_side_effects_are_those_of_the_chosen_conditions(
    run, both, model, vectors, subspaces, activations, prompts
):
    settings = SteeringSettings(**SMALL, side_effect_texts=6, side_effect_random=2)
    given = (model, vectors, subspaces, activations, prompts, both[0], FOUR)
    table = measure_side_effects(*given, settings)
    choices = choose(both[0], settings)
    for emotion, choice in choices.items():
        own = table[table["emotion"] == emotion]
        assert own["kind"].tolist() == ["emotion", *["random"] * 2, *["covariance"] * 2]
        assert set(own["layer"]) == {choice.layer}
        assert set(own["alpha"]) == {choice.alpha}
    assert (table["kl"] > 0).all()
    assert (table["n"] == 6).all()
    moving = settings.model_copy(update={"window": 2})
    assert measure_side_effects(*given, moving).empty
