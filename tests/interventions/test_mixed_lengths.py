"""Rows whose prompts have many lengths share batches, and each is as if it ran alone."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_rows import vector
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Condition,
    Intervention,
    Prompt,
    ReplaceV,
    Row,
    Sampling,
    Site,
    continuation_log_probs,
    divergence,
    generate_rows,
    steer,
)
from emotion_circuits.interventions.engine import shared_prefill
from emotion_circuits.interventions.engine.decoder import Decoder
from emotion_circuits.interventions.engine.lengths import close_lengths
from emotion_circuits.language_models import ModelSpec, wrap_language_model
from more_architectures import load_tiny, tiny_model
from recomputation import reference_generate
from verify_architectures import draw_row

N_STEPS = 6
LENGTHS = range(1, 20)
# float32, sums in another order; relative to the largest logit.
TOLERANCE = 1e-5
NAMES = ("gpt2", "gemma3_text")  # learned positions; rotary ones and sliding windows
SLOW_NAMES = (
    *("llama", "gpt_neox", "bloom", "mistral", "mpt", "opt", "phi3", "qwen3", "gpt_neo"),
    "falcon",
)


@pytest.fixture(
    scope="module",
    params=[*NAMES, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW_NAMES)],
)
def model(request):
    return load_tiny(request.param)


def drawn_rows(model, n_rows):
    """Rows of all lengths, with every site, operator, rule and schedule, and some of ReplaceV."""
    rows = [replace(draw_row(model, number, LENGTHS), seed=number) for number in range(n_rows)]
    if model.name == "opt":  # it shows attention patterns too late for ReplaceV
        return rows
    for number in range(0, n_rows, 8):
        values = ReplaceV(vector(number, rows[number].n_prompt, model.d_head))
        item = Intervention(Site("z", 1, number % model.n_heads), values, Prompt(3))
        rows[number] = replace(rows[number], condition=Condition("values", (item,)))
    return rows


def alike_rows(model, n_rows):
    """Rows of all lengths under few conditions, so that many may share a batch."""
    add = Add(vector(0, model.d_model))
    conditions = [
        steer("onward", add, 1),
        steer("window", add, 0, window=3),
        steer("new", add, 1, window=2, new_tokens_only=True),
    ]
    prompts = [draw_row(model, number, LENGTHS).prompt_ids for number in range(n_rows)]
    return [Row(ids, conditions[n % 3], seed=n) for n, ids in enumerate(prompts)]


class Passes:
    """Counts a model's passes, and the rows and lengths that share them."""

    def __init__(self, model):
        self.n_passes, self.mixed = 0, 0
        self._handle = model.plain_model.register_forward_pre_hook(self._see, with_kwargs=True)

    def _see(self, _, args, kwargs):
        self.n_passes += 1
        mask = kwargs.get("attention_mask")
        if mask is not None:
            self.mixed = max(self.mixed, len(mask.sum(1).unique()))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self._handle.remove()


def test_hundreds_of_rows_of_many_lengths_equal_rows_alone(model):
    rows = drawn_rows(model, 240)
    with Passes(model) as passes:
        mixed = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True)
    assert passes.mixed > 5
    options = {"max_new_tokens": N_STEPS, "keep_logits": True, "batch_rows": 1}
    for seen, alone in zip(mixed, generate_rows(model, rows, **options), strict=True):
        assert seen.token_ids == alone.token_ids
        largest = alone.logits.abs().max()
        assert (seen.logits - alone.logits).abs().max() <= TOLERANCE * largest
    assert len({result.token_ids for result in mixed}) > 120


def test_rows_of_many_lengths_equal_recomputation(model):
    rows = [draw_row(model, number, LENGTHS) for number in range(300, 340)]
    results = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True)
    for row, seen in zip(rows, results, strict=True):
        ids, logits = reference_generate(
            model.plain_model, model.name, row.prompt_ids, row.condition, N_STEPS
        )
        assert seen.token_ids == ids
        assert (seen.logits - logits).abs().max() <= TOLERANCE * logits.abs().max()


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.0, seed=3)])
def test_neither_ends_of_texts_nor_draws_depend_on_neighbours(model, sampling, monkeypatch):
    """One token in nine ends a text, so that rows leave batches at all steps."""
    ends = [model.tokenizer.eos_token_id, *range(4, 300, 9)]
    monkeypatch.setattr(model.plain_model.generation_config, "eos_token_id", ends)
    rows = drawn_rows(model, 30) + alike_rows(model, 45)
    options = {"max_new_tokens": 12, "sampling": sampling}
    alone = generate_rows(model, rows, batch_rows=1, **options)
    assert generate_rows(model, rows, **options) == alone
    joins = []
    join = Decoder.join
    monkeypatch.setattr(Decoder, "join", lambda *both: joins.append(1) or join(*both))
    assert generate_rows(model, rows, batch_rows=6, **options) == alone
    assert joins
    lengths = {len(result.token_ids) for result in alone}
    assert {1, 12} <= lengths
    assert len(lengths) >= 4
    assert all(result.token_ids[-1] in ends for result in alone if len(result.token_ids) < 12)


def test_a_row_that_joins_later_is_noted_at_its_own_positions_and_steps(model, monkeypatch):
    ends = [model.tokenizer.eos_token_id, *range(4, 300, 9)]
    monkeypatch.setattr(model.plain_model.generation_config, "eos_token_id", ends)
    rows = drawn_rows(model, 20) + alike_rows(model, 40)

    def noted(batch_rows):
        ledger = []
        generate_rows(model, rows, max_new_tokens=8, batch_rows=batch_rows, ledger=ledger)
        return sorted(ledger)

    assert noted(4) == noted(1)


def test_readings_of_given_texts_do_not_depend_on_neighbours(model):
    rows, texts = [], []
    for number in range(60):
        row = draw_row(model, number, LENGTHS)
        fixed = [item for item in row.condition.interventions if not item.positions.moving]
        rows.append(replace(row, condition=Condition("fixed", tuple(fixed))))
        texts.append(tuple(range(3 + number, 4 + number + number % 4)))
    with Passes(model) as passes:
        scores = continuation_log_probs(model, rows, texts)
        changes = divergence(model, rows, texts)
    assert passes.mixed > 5
    for index in range(0, 60, 4):
        alone = [rows[index]], [texts[index]]
        assert scores[index] == pytest.approx(continuation_log_probs(model, *alone)[0], abs=1e-4)
        kl, nll_change = divergence(model, *alone)
        assert changes.kl[index] == pytest.approx(kl[0], abs=1e-4)
        assert changes.nll_change[index] == pytest.approx(nll_change[0], abs=1e-4)
    assert (changes.kl > 0.01).sum() > 20


def test_a_batch_of_one_length_is_not_padded(model):
    rows = [draw_row(model, number, (7,)) for number in range(20)]
    with Passes(model) as passes:
        generate_rows(model, rows, max_new_tokens=3)
    assert passes.mixed == 0


def test_many_lengths_take_about_as_many_passes_as_one(model):
    def passes_of(lengths):
        condition = steer("steered", Add(vector(0, model.d_model)), 1)
        rows = [
            Row(tuple(range(3, 3 + length)), item)
            for length in lengths
            for item in (BASELINE, condition)
        ]
        with Passes(model) as passes:
            generate_rows(model, rows, max_new_tokens=N_STEPS)
        return passes.n_passes

    # Close lengths share the pass over their prefixes.
    assert passes_of([13] * 12) < passes_of(range(2, 14)) <= passes_of([13] * 12) + 2


def test_prompts_of_many_lengths_share_layers(model, monkeypatch):
    """Also those that differ from padding in nothing but what is hidden."""
    rows = [
        Row(prompt, item)
        for prompt in ((0, 0, 5, 6), (0, 5, 6), (5, 6), (9, 5, 6, 7), (6,))
        for layer in range(model.n_layers)
        for item in (BASELINE, steer("steered", Add(vector(layer, model.d_model)), layer))
    ] + [row for row in drawn_rows(model, 60) if not row.condition.windows]
    options = {"max_new_tokens": N_STEPS, "keep_logits": True}
    alone = generate_rows(model, rows, **options, batch_rows=1)
    monkeypatch.setattr(shared_prefill, "_LEAST_OPERATIONS_SAVED", -1e18)
    with Passes(model) as passes:
        shared = generate_rows(model, rows, **options)
    assert passes.mixed > 5
    for one, other in zip(shared, alone, strict=True):
        assert one.token_ids == other.token_ids
        assert (one.logits - other.logits).abs().max() <= TOLERANCE * other.logits.abs().max()


@settings(max_examples=100)
@given(
    counts=st.dictionaries(st.integers(1, 40), st.integers(1, 9), min_size=1, max_size=7),
    pass_cost=st.integers(0, 200),
)
def test_close_lengths_cost_least_of_all_cuts(counts, pass_cost):
    def cost(groups):
        tokens = (max(group) * sum(counts[length] for length in group) for group in groups)
        return sum(pass_cost + n for n in tokens)

    lengths = sorted(counts, reverse=True)
    every = []
    for cuts in itertools.product((False, True), repeat=len(lengths) - 1):
        groups = [[lengths[0]]]
        for length, cut in zip(lengths[1:], cuts, strict=True):
            groups = [*groups, [length]] if cut else [*groups[:-1], [*groups[-1], length]]
        every.append(cost(groups))
    seen = close_lengths(counts, pass_cost)
    assert sorted(itertools.chain(*seen), reverse=True) == lengths
    assert cost(seen) == min(every)


@pytest.mark.parametrize("ignored", ["position_ids", "attention_mask"])
def test_a_model_that_ignores_positions_or_mask_gets_prompts_of_one_length(ignored):
    """Its rows beside padding would be wrong; rows of one length are right."""

    def forget(_, args, kwargs):
        return args, {key: value for key, value in kwargs.items() if key != ignored}

    plain, tokenizer = tiny_model("gpt2")
    plain.register_forward_pre_hook(forget, with_kwargs=True)
    spec = ModelSpec(name="gpt2", source="gpt2", device="cpu")
    model = wrap_language_model(spec, plain, tokenizer)
    assert not model.mixes_lengths
    rows = [draw_row(model, number, LENGTHS) for number in range(40)]
    with Passes(model) as passes:
        results = generate_rows(model, rows, max_new_tokens=N_STEPS)
    assert passes.mixed == 0
    for row, seen in zip(rows, results, strict=True):
        ids, _ = reference_generate(plain, "gpt2", row.prompt_ids, row.condition, N_STEPS)
        assert seen.token_ids == ids
    # The check is right: beside padding, such a model continues some prompts otherwise.
    wrong = generate_rows(replace(model, mixes_lengths=True), rows, max_new_tokens=N_STEPS)
    assert sum(seen != result for seen, result in zip(wrong, results, strict=True)) > 5
