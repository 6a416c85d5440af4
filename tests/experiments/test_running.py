"""A plan that is run gives what one prompt at a time gives, and takes over what is known."""

import random

import numpy as np
import pandas as pd
import pytest

from architectures import save_architecture
from emotion_circuits.evaluation import TextEvaluator, continuation_nll
from emotion_circuits.experiments import Decoding, Outcomes, Plan, Steering, cross, join, run
from emotion_circuits.interventions import BASELINE, Sampling, decode, generate_with_patching
from emotion_circuits.language_models import ModelSpec, load_language_model

PROMPTS = ["Dana repaired my lamp.", "He broke it yesterday.", "We counted 12 books in the café."]
DECODING = Decoding(max_new_tokens=6, batch_size=4)
AS_IT_IS = (BASELINE, {"kind": "baseline", "emotion": "", "layer": None, "draw": 0, "alpha": None})


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    source = save_architecture("llama", tmp_path_factory.mktemp("llama"))
    return load_language_model(ModelSpec(name="micro", source=str(source), device="cpu"))


@pytest.fixture(scope="module")
def evaluator(project_root):
    folder = project_root / "data" / "models"
    return TextEvaluator(
        "cpu", {name: {"source": str(folder / name)} for name in ("sentiment", "goemotions")}
    )


@pytest.fixture(scope="module")
def conditions(model):
    rng = np.random.default_rng(0)
    steered = Steering().conditions(
        "emotion", "joy", 1, rng.normal(size=(2, model.d_model)), [0.0, 4.0]
    )
    return [AS_IT_IS, *steered]


@pytest.fixture(scope="module")
def outcomes(model, evaluator, conditions):
    return run(model, evaluator, cross(model, PROMPTS, conditions), DECODING)


def close(first, second):
    """Scores of the same texts in other batches differ by rounding."""
    np.testing.assert_allclose(first, second, atol=1e-6, rtol=1e-6)


def test_each_line_is_what_one_prompt_alone_gives(model, evaluator, conditions, outcomes):
    lines = iter(outcomes.table.to_dict("records"))
    for prompt in PROMPTS:
        for condition, where in conditions:
            line = next(lines)
            assert line["prompt"] == prompt
            assert {name: line[name] for name in ("kind", "draw")} == {
                name: where[name] for name in ("kind", "draw")
            }
            text = generate_with_patching(model, prompt, condition, max_new_tokens=6)
            assert line["text"] == decode(model, line["token_ids"]) == text
            nll = continuation_nll(model, [model.encode(prompt)], [line["token_ids"]])
            close(line["fluency"], nll[0])
            for key, value in evaluator.evaluate_batch([text.strip()]).items():
                close(line[key], value[0])
    assert next(lines, None) is None
    assert outcomes.table["text"].nunique() > len(PROMPTS)  # else a patch that does nothing passes
    assert outcomes.metrics == evaluator.keys


def test_a_patch_that_changes_no_text_changes_no_score(outcomes):
    still = outcomes.where(alpha=0.0)
    assert len(still) == 2 * len(PROMPTS)
    for _, part in still.groups(["draw"]):
        np.testing.assert_array_equal(part.values(), outcomes.baseline.values())


@pytest.mark.parametrize("sampling", [None, Sampling(1.0, 3)])
def test_the_order_of_rows_does_not_matter(model, evaluator, conditions, sampling):
    decoding = Decoding(max_new_tokens=6, batch_rows=4, batch_size=4, sampling=sampling)
    plan = cross(model, PROMPTS, conditions)
    order = random.Random(0).sample(range(len(plan.rows)), len(plan.rows))
    mixed = Plan(
        tuple(plan.rows[index] for index in order), plan.coordinates.iloc[order].reset_index()
    )
    wanted = run(model, evaluator, plan, decoding).table
    seen = run(model, evaluator, mixed, decoding).table.set_index("index").sort_index()
    pd.testing.assert_frame_equal(seen[wanted.columns], wanted, check_names=False)


def test_layers_are_whole_numbers_beside_a_baseline_that_has_none(outcomes):
    assert str(outcomes.table["layer"].dtype) == "Int64"
    assert outcomes.baseline.table["layer"].isna().all()


def test_the_prompt_is_read_too_if_asked_for(model, evaluator, conditions):
    decoding = Decoding(max_new_tokens=6, batch_size=4, score="full_text")
    outcomes = run(model, evaluator, cross(model, PROMPTS, conditions), decoding)
    for line in outcomes.table.to_dict("records"):
        whole = evaluator.evaluate_batch([(line["prompt"] + line["text"]).strip()])
        for key, value in whole.items():
            close(line[key], value[0])


@pytest.fixture
def asked(evaluator, monkeypatch):
    """Every text the evaluator is asked for."""
    texts, score = [], evaluator.evaluate_batch

    def evaluate_batch(wanted, batch_size=64):
        texts.extend(wanted)
        return score(wanted, batch_size)

    monkeypatch.setattr(evaluator, "evaluate_batch", evaluate_batch)
    return texts


def marked(outcomes):
    """Known outcomes with scores and fluency that no model gives, to be told from new ones."""
    table = outcomes.table.copy()
    for number, name in enumerate(("fluency", *outcomes.metrics)):
        table[name] = 100.0 * (1 + number) + np.arange(len(table))
    return Outcomes(table)


def test_known_texts_are_taken_over_and_not_scored_again(model, evaluator, conditions, asked):
    known = marked(run(model, evaluator, cross(model, PROMPTS, [AS_IT_IS]), DECODING))
    n_known = len(asked)
    assert n_known == len(PROMPTS)
    plan = cross(model, PROMPTS, conditions)
    found = run(model, evaluator, plan, DECODING, known=known)
    new = asked[n_known:]
    assert set(new).isdisjoint(asked[:n_known])
    assert len(set(new)) == len(new)
    # What no patch has changed has exactly the baseline's scores: an effect of exactly zero.
    before = known.table.set_index("prompt")
    for line in found.table.to_dict("records"):
        same = before.loc[line["prompt"]]
        if line["text"] == same["text"]:
            assert all(line[key] == same[key] for key in ("fluency", *evaluator.keys))
        else:
            assert line["fluency"] < 100
    still = found.where(alpha=0.0, draw=1)
    assert (still.values() - known.values() == 0).all()


def test_nothing_is_asked_where_everything_is_known(model, evaluator, conditions, outcomes, asked):
    plan = cross(model, PROMPTS, conditions)
    again = run(model, evaluator, plan, DECODING, known=outcomes)
    assert not asked
    pd.testing.assert_frame_equal(again.table, outcomes.table)


def test_a_known_text_of_another_prompt_has_its_scores_but_not_its_fluency(
    model, evaluator, outcomes
):
    """How likely a text is depends on what it follows; what a classifier reads does not."""
    plan = cross(model, PROMPTS[:1], [AS_IT_IS])
    elsewhere = marked(Outcomes(outcomes.baseline.table[:1].assign(prompt="another prompt")))
    found = run(model, evaluator, plan, DECODING, known=elsewhere)
    np.testing.assert_array_equal(found.values(evaluator.keys), elsewhere.values(evaluator.keys))
    close(found.table["fluency"], outcomes.baseline.table["fluency"][:1])


def test_a_plan_of_nothing_gives_no_lines(model, evaluator, outcomes):
    """As where no controls are asked for."""
    nothing = run(model, evaluator, cross(model, PROMPTS, []), DECODING, known=outcomes)
    assert len(nothing) == 0
    assert nothing.keys == outcomes.keys
    pd.testing.assert_frame_equal(join([outcomes, nothing]).table, outcomes.table)


def test_hooks_are_gone_afterwards(model, evaluator, conditions):
    def n_hooks():
        modules = (*model.bridge.modules(), *model.plain_model.modules())
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules)

    before = n_hooks()
    run(model, evaluator, cross(model, PROMPTS[:1], conditions), DECODING)
    assert n_hooks() == before
