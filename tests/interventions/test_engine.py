"""Batches, order, failures and kills change nothing in what the engine gives."""

import logging
import math
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from architectures import save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import (
    BASELINE,
    Ablate,
    Add,
    Checkpoint,
    Condition,
    Constant,
    Decay,
    Everywhere,
    Intervention,
    Listed,
    Prompt,
    Replace,
    ReplaceV,
    Row,
    Sampling,
    Site,
    Window,
    generate_rows,
    generate_with_patching,
    generate_with_patching_batch,
    model_digest,
    steer,
    sweep,
)
from emotion_circuits.interventions.engine import run as engine_run
from emotion_circuits.interventions.engine.run import is_out_of_memory
from emotion_circuits.language_models import ModelSpec, load_language_model

N_STEPS = 8


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    folder = save_architecture("llama", tmp_path_factory.mktemp("llama"))
    return load_language_model(ModelSpec(name="llama", source=str(folder), device="cpu"))


def vector(seed, width=32):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width)).float()


def many_rows(n_prompts=9):
    """Prompts of three lengths, each under baseline, steering, windows and ablation."""
    rows = []
    for index in range(n_prompts):
        rng = np.random.default_rng(index)
        ids = tuple(rng.integers(3, 300, (4, 6, 9)[index % 3]).tolist())
        conditions = [
            BASELINE,
            steer("strong", Add(vector(1)), 1, alpha=4.0),
            steer("weak", Add(vector(2)), 0, alpha=0.5),
            steer("window", Add(vector(1)), 1, alpha=4.0, window=3),
            Condition("head", (Intervention(Site("z", 1, 2), Ablate(vector(3, 8)), Everywhere()),)),
        ]
        rows += [Row(ids, condition, seed=index) for condition in conditions]
    return rows


def tokens(results):
    return [result.token_ids for result in results]


@pytest.mark.parametrize("sampling", [None, Sampling(temperature=1.0, seed=3)])
def test_texts_do_not_depend_on_batch_rows_or_order(model, sampling):
    rows = many_rows()
    alone = tokens(
        generate_rows(model, rows, max_new_tokens=N_STEPS, batch_rows=1, sampling=sampling)
    )
    assert len(set(alone)) > len(rows) / 3  # rows that all say the same would prove nothing
    order = np.random.default_rng(0).permutation(len(rows))
    for size in (7, 64, "auto"):
        options = {"max_new_tokens": N_STEPS, "batch_rows": size, "sampling": sampling}
        assert tokens(generate_rows(model, rows, **options)) == alone
        shuffled = generate_rows(model, [rows[place] for place in order], **options)
        assert tokens(shuffled) == [alone[place] for place in order]


@pytest.mark.parametrize("window", [None, 1, 3])
def test_strength_zero_is_the_baseline_bit_for_bit(model, window):
    ids = tuple(range(5, 12))
    still = steer("still", Add(vector(1)), 1, alpha=0.0, window=window)
    rows = [Row(ids, still), Row(ids, steer("same", Add(0 * vector(1)), 1, window=window))]
    moved = [Row(ids, steer("moved", Add(vector(1)), 1, alpha=3.0, window=window))]
    first, second, other = generate_rows(
        model, [*rows, *moved], max_new_tokens=N_STEPS, keep_logits=True
    )
    free = generate_rows(
        model,
        [Row(ids), Row(ids), Row(ids)],
        max_new_tokens=N_STEPS,
        keep_logits=True,
    )[0]
    assert first.token_ids == second.token_ids == free.token_ids
    if window is None:  # the same passes, so the same bits; a window reads some tokens again
        assert torch.equal(first.logits, free.logits)
    torch.testing.assert_close(first.logits, free.logits, rtol=0, atol=1e-5)
    assert other.token_ids != free.token_ids


def test_conditions_without_effect_share_their_prompts_luck_when_sampling(model):
    ids = tuple(range(5, 12))
    rows = [Row(ids, BASELINE, 1), Row(ids, steer("still", Add(vector(1)), 1, alpha=0.0), 1)]
    rows += [Row(ids, BASELINE, seed) for seed in range(2, 12)]
    texts = tokens(generate_rows(model, rows, max_new_tokens=N_STEPS, sampling=Sampling(1.0)))
    assert texts[0] == texts[1]
    assert len(set(texts)) > 5


def test_sampled_tokens_have_the_models_probabilities(model):
    ids = tuple(range(5, 12))
    rows = [Row(ids, BASELINE, seed) for seed in range(4000)]
    drawn = [
        ids[0]
        for ids in tokens(generate_rows(model, rows, max_new_tokens=1, sampling=Sampling(2.0)))
    ]
    with torch.no_grad():
        logits = model.plain_model(input_ids=torch.tensor([ids])).logits[0, -1]
    expected = (logits / 2.0).softmax(-1).numpy()
    seen = np.bincount(drawn, minlength=len(expected)) / len(drawn)
    likely = np.argsort(expected)[-5:]
    # Five binomial shares of 4000 draws: four standard errors, at most 0.032.
    error = np.sqrt(expected[likely] * (1 - expected[likely]) / len(drawn))
    assert (np.abs(seen[likely] - expected[likely]) < 4 * error + 1e-4).all()


def all_hooks(model):
    modules = [*model.plain_model.modules(), *model.bridge.modules()]
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)


@pytest.mark.parametrize("error", [RuntimeError("boom"), KeyboardInterrupt()])
def test_no_hook_is_left_after_a_run_an_error_or_ctrl_c(model, error):
    before = all_hooks(model)
    generate_rows(model, many_rows(2), max_new_tokens=3)
    assert all_hooks(model) == before
    calls = []

    def fail(*_):
        calls.append(all_hooks(model))
        if len(calls) == 4:
            raise error

    handle = model.plain_model.lm_head.register_forward_pre_hook(fail)
    try:
        with pytest.raises(type(error)):
            generate_rows(model, many_rows(2), max_new_tokens=3)
    finally:
        handle.remove()
    assert max(calls) > before + 1  # hooks were there when it failed
    assert all_hooks(model) == before


def test_batches_are_halved_when_memory_runs_out_and_nothing_is_lost(model, caplog):
    rows = many_rows()
    expected = tokens(generate_rows(model, rows, max_new_tokens=3))
    refused, batches = [], []

    def refuse(_, args, kwargs):
        size = len(kwargs["input_ids"])
        batches.append(size)
        if size > 4:
            refused.append(size)
            raise torch.OutOfMemoryError("no room")

    handle = model.plain_model.register_forward_pre_hook(refuse, with_kwargs=True)
    try:
        with caplog.at_level(logging.WARNING):
            results = generate_rows(model, rows, max_new_tokens=3)
    finally:
        handle.remove()
    assert tokens(results) == expected
    assert 0 < len(refused) <= 4  # the smaller size is kept
    assert "out of memory with" in caplog.text


def test_memory_that_the_cpu_refuses_counts_as_out_of_memory():
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("shapes do not match"))


def test_the_ledger_lists_a_window_by_hand(model):
    ledger = []
    site = Site("resid_post", 1)
    window = Intervention(site, Add(vector(1)), Window(2), Listed((1.0, 0.5, 0.0)))
    generate_rows(
        model, [Row((5, 6, 7), Condition("w", (window,)))], max_new_tokens=3, ledger=ledger
    )
    assert [(line.position, line.step, line.alpha) for line in ledger] == [
        (1, 0, 1.0),
        (2, 0, 1.0),
        (2, 1, 0.5),
        (3, 1, 0.5),
    ]
    ledger.clear()
    new_only = replace(window, positions=Window(2, new_tokens_only=True), strength=Decay(8.0, 0.5))
    generate_rows(
        model, [Row((5, 6, 7), Condition("n", (new_only,)))], max_new_tokens=4, ledger=ledger
    )
    assert [(line.position, line.step, line.alpha) for line in ledger] == [
        (2, 0, 8.0),
        (3, 1, 4.0),
        (3, 2, 2.0),
        (4, 2, 2.0),
        (4, 3, 1.0),
        (5, 3, 1.0),
    ]


def test_patches_reach_the_generated_tokens(model):
    """A patch of the prompt alone and one that goes on must part ways later on."""
    ids = tuple(range(5, 12))
    site, add = Site("resid_post", 0), Add(3 * vector(1))
    once = Condition("once", (Intervention(site, add, Prompt(1)),))
    always = Condition("always", (Intervention(site, add),))
    first, second = generate_rows(
        model, [Row(ids, once), Row(ids, always)], max_new_tokens=N_STEPS, keep_logits=True
    )
    assert torch.equal(first.logits[0], second.logits[0])
    assert (first.logits[1] - second.logits[1]).abs().max() > 0.1


def test_single_conditions_agree_with_a_sweep(model):
    prompts = ["Dana repaired my lamp.", "He broke it yesterday.", "I am"]
    condition = steer("steered", Add(vector(1)), 1, alpha=2.0)
    table = sweep(model, prompts, [BASELINE, condition], max_new_tokens=5, progress=False)
    assert table["condition"].tolist() == ["baseline", "steered"] * 3
    steered = table[table["condition"] == "steered"]["text"].tolist()
    assert generate_with_patching_batch(model, prompts, condition, max_new_tokens=5) == steered
    assert generate_with_patching(model, prompts[1], condition, max_new_tokens=5) == steered[1]
    assert generate_with_patching(model, prompts[1], max_new_tokens=5) == table["text"][2]


def test_what_cannot_run_is_one_line(model):
    ids = (5, 6, 7)

    def run(*interventions, **options):
        row = Row(ids, Condition("c", interventions))
        generate_rows(model, [row], **{"max_new_tokens": 2, **options})

    with pytest.raises(
        InputError, match="layer 9 is out of range for model 'llama'; allowed are 0 to 2"
    ):
        run(Intervention(Site("resid_post", 9), Add(vector(1))))
    with pytest.raises(InputError, match="head 4 is out of range"):
        run(Intervention(Site("z", 0, 4), Add(vector(1, 8))))
    with pytest.raises(InputError, match="do not fit into model 'llama', which reads at most 64"):
        run(max_new_tokens=63)
    with pytest.raises(
        InputError, match=r"measured at resid_post of layer 1 .* resid_pre of layer 1"
    ):
        Intervention(Site("resid_pre", 1), Add(vector(1), measured_at=Site("resid_post", 1)))
    with pytest.raises(InputError, match=r"'resid_pots' is unknown.*nearest: resid_post"):
        Site("resid_pots", 1)
    with pytest.raises(InputError, match="distinct names; given twice: 'baseline'"):
        sweep(model, ["I am"], [BASELINE, BASELINE])
    with pytest.raises(InputError, match="prompts are str; allowed is a list of texts"):
        sweep(model, "I am", [BASELINE])
    with pytest.raises(InputError, match=r"direction has 30 values; resid_post of layer 1 has 32"):
        run(Intervention(Site("resid_post", 1), Add(vector(1, 30))))
    # Shorter sources in a batch would be filled up with zeros, to the length of their neighbours.
    for length in (2, 4):
        source = vector(1, 32 * length).view(length, 32)
        with pytest.raises(InputError, match=rf"source has {length} positions .* prompt has 3"):
            run(Intervention(Site("resid_post", 1), Replace(source), Prompt()))
    values = ReplaceV(torch.zeros(3, 8))
    with pytest.raises(InputError, match="reads attention 2 times at z of layer 0 head 1"):
        run(*[Intervention(Site("z", 0, 1), values, Prompt())] * 2)
    # Later steps of a window compute the end of the prompt again, where values are no prompt's.
    steering = Intervention(Site("resid_post", 1), Add(vector(1, 32)), Window(2))
    with pytest.raises(InputError, match="reads attention at z of layer 0 head 1 beside a moving"):
        run(Intervention(Site("z", 0, 1), values, Prompt()), steering)


@pytest.mark.parametrize("alpha", [math.nan, math.inf, -math.inf])
def test_a_strength_that_is_no_number_is_one_line(alpha):
    for make in (Constant, lambda a: Decay(a, 0.5), lambda a: Listed((1.0, a))):
        with pytest.raises(InputError, match=r"a strength is -?(nan|inf); allowed are finite"):
            make(alpha)


KILLED = """
import sys, torch
torch.set_num_threads(1)
sys.path[:0] = {path!r}
from test_engine import many_rows
from emotion_circuits.interventions import Checkpoint, generate_rows
from emotion_circuits.language_models import ModelSpec, load_language_model
model = load_language_model(ModelSpec(name="llama", source={source!r}, device="cpu"))
checkpoint = Checkpoint({file!r}, every_seconds=0)
generate_rows(model, many_rows(24), max_new_tokens=40, batch_rows=2, checkpoint=checkpoint)
"""


def test_a_killed_sweep_goes_on_where_it_was(model, tmp_path):
    file = tmp_path / "sweep.jsonl"
    script = KILLED.format(
        path=[str(Path(__file__).parent), str(Path(__file__).parent.parent)],
        source=model.spec.source,
        file=str(file),
    )
    with subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.PIPE) as process:
        deadline = time.monotonic() + 60
        while not file.exists() or file.read_text().count("\n") <= 20:
            assert process.poll() is None, process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    rows = many_rows(24)
    with file.open("a") as torn:
        torn.write('["0123", [1, 2')  # a line the kill cut off
    kept = file.read_text().count("\n") - 1
    assert 20 <= kept < len(rows)
    made = []
    handle = model.plain_model.register_forward_hook(lambda *_: made.append(1))
    try:
        resumed = generate_rows(
            model, rows, max_new_tokens=40, batch_rows=1, checkpoint=Checkpoint(file)
        )
    finally:
        handle.remove()
    assert tokens(resumed) == tokens(generate_rows(model, rows, max_new_tokens=40))
    assert len(made) <= 41 * (len(rows) - kept)
    # The torn line stays where it is: the file only grows.
    assert file.read_text().count("\n") == 2 + len(rows)


def test_a_garbled_line_is_one_warning_and_is_done_again(model, tmp_path, caplog):
    file = tmp_path / "sweep.jsonl"
    rows = many_rows(2)
    wanted = tokens(generate_rows(model, rows, max_new_tokens=3, checkpoint=Checkpoint(file)))
    manifest, *lines = file.read_text().splitlines()
    garbled = [lines[0][:9], '["a", "b"]', "[" * 5000, '["a", [null]]', "\x00\ufffd", *lines[1:]]
    file.write_text("\n".join([manifest, *garbled]) + "\n")
    with caplog.at_level(logging.WARNING):
        seen = tokens(generate_rows(model, rows, max_new_tokens=3, checkpoint=Checkpoint(file)))
    assert seen == wanted
    assert "5 lines that cannot be read" in caplog.text
    assert file.read_text().startswith("\n".join([manifest, *garbled]))


def test_the_digest_sees_what_texts_depend_on(model):
    """Weights in another order, the rotary base, an epsilon and the end of texts."""
    digests = [model_digest(model)]
    weight = model.plain_model.lm_head.weight
    with torch.no_grad():
        weight[[5, 6]] = weight[[6, 5]]
        digests.append(model_digest(model))
        weight[[5, 6]] = weight[[6, 5]]
    config = model.plain_model.config
    changes = {"rms_norm_eps": 1e-3, "rope_parameters": {"rope_theta": 77.0}, "eos_token_id": 7}
    for name, value in changes.items():
        former = getattr(config, name)
        setattr(config, name, value)
        digests.append(model_digest(model))
        setattr(config, name, former)
    assert len({*digests}) == len(digests)
    assert model_digest(model) == digests[0]


def test_logits_that_are_no_numbers_stop_a_run_with_one_line(model):
    """They would be read as a token: the first, or the last of the vocabulary."""
    rows = [Row((5, 6, 7)), Row((5, 6, 7), steer("far too strong", Add(vector(1)), 1, alpha=3e38))]
    line = r"no finite logits at step 0 of .* under condition 'far too strong'; a smaller strength"
    for sampling in (None, Sampling()):
        with pytest.raises(InputError, match=line):
            generate_rows(model, rows, max_new_tokens=2, sampling=sampling)


@pytest.mark.parametrize("ending", [KeyboardInterrupt, RuntimeError])
def test_an_interrupted_sweep_saves_the_rows_in_hand(model, tmp_path, monkeypatch, ending):
    """Ctrl-C after five rows, long before the checkpoint's next save is due."""
    file, rows, finished = tmp_path / "sweep.jsonl", many_rows(8), []
    generate = engine_run.generate_batch

    def interrupted(model, chosen, **options):
        for result in generate(model, chosen, **options):
            if len(finished) == 5:
                finished.append(None)
                raise ending
            finished.append(result)
            yield result

    monkeypatch.setattr(engine_run, "generate_batch", interrupted)
    checkpoint = Checkpoint(file, every_seconds=1000.0)
    with pytest.raises(ending):
        generate_rows(model, rows, max_new_tokens=3, batch_rows=2, checkpoint=checkpoint)
    assert file.read_text().count("\n") == 1 + 5  # the manifest, and a line a row
    generate_rows(model, rows, max_new_tokens=3, batch_rows=2, checkpoint=checkpoint)
    assert len(finished[6:]) == len(rows) - 5


def test_a_checkpoint_of_another_model_or_condition_is_not_used(model, tmp_path, caplog):
    file = tmp_path / "sweep.jsonl"
    rows = many_rows(2)
    generate_rows(model, rows, max_new_tokens=3, checkpoint=Checkpoint(file))
    lines = file.read_text().count("\n")
    other = [replace(rows[1], condition=steer("strong", Add(vector(1)), 1, alpha=4.5))]
    generate_rows(model, other, max_new_tokens=3, checkpoint=Checkpoint(file))
    assert file.read_text().count("\n") == lines + 1
    with torch.no_grad():
        model.plain_model.lm_head.weight[5, 5] += 1.0
    try:
        with caplog.at_level(logging.WARNING):
            generate_rows(model, rows[:1], max_new_tokens=3, checkpoint=Checkpoint(file))
    finally:
        with torch.no_grad():
            model.plain_model.lm_head.weight[5, 5] -= 1.0
    assert "begun anew" in caplog.text
    assert file.read_text().count("\n") == 2


def test_constant_is_a_decay_of_rate_one_and_a_list(model):
    ids = tuple(range(5, 12))
    site, add = Site("resid_post", 0), Add(vector(1))
    same = [Constant(2.0), Decay(2.0, 1.0), Listed((2.0,) * N_STEPS)]
    rows = [
        Row(ids, Condition("c", (Intervention(site, add, Window(3), strength),)))
        for strength in same
    ]
    first, second, third = generate_rows(model, rows, max_new_tokens=N_STEPS, keep_logits=True)
    # Rows of one batch may differ in the last bit: matrix products treat odd rows on their own.
    torch.testing.assert_close(first.logits, second.logits, rtol=0, atol=1e-5)
    torch.testing.assert_close(first.logits, third.logits, rtol=0, atol=1e-5)


def test_the_digest_of_a_model_does_not_depend_on_the_number_of_threads(model):
    """A sum of floats does: threads add up parts of their own."""
    drawn = torch.randn(200, 1174 * 128, generator=torch.Generator().manual_seed(0))
    model.plain_model.wide = torch.nn.Parameter(drawn, requires_grad=False)
    found, sums = set(), set()
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.add(model_digest(model))
            sums.add(tuple(row.sum().item() for row in drawn))
    finally:
        torch.set_num_threads(1)
        del model.plain_model.wide
    assert len(sums) > 1
    assert len(found) == 1
    assert model_digest(model) not in found
