"""Heads ablated and patched by the engine, against six architectures written out by hand."""

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_conditions import (
    ablate_heads,
    aligned_positions,
    patch_heads,
)
from emotion_circuits.interventions import (
    BASELINE,
    Condition,
    Intervention,
    Prompt,
    Replace,
    Row,
    Site,
    capture_heads,
    generate_rows,
    read_logits,
)
from emotion_circuits.interventions.engine import shared_prefill
from emotion_circuits.interventions.engine.shared_prefill import SharedPrefill
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten import written_heads, written_logits

# float32, sums in another order; relative to logits of about 10.
TOLERANCE = 1e-5
TARGET = (5, 17, 60, 33, 90, 201, 44)
LONGER = (5, 70, 31, 12, 99, 150, 260, 8, 44)
EQUAL = (5, 71, 39, 14, 120, 250, 44)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    plain = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    return model, plain


def close(seen, wanted):
    scale = max(1.0, float(wanted.abs().max()) / 10)
    return float((seen - wanted).abs().max()) <= TOLERANCE * scale


def logits(model, ids, condition=BASELINE, steps=1):
    row = Row(tuple(ids), condition)
    return generate_rows(model, [row], max_new_tokens=steps, keep_logits=True)[0].logits


def captured(model, ids, *parts):
    (batch,) = capture_heads(model, [ids], parts=parts)
    return {part: getattr(batch, part)[0] for part in parts}


def values(model, seed=0):
    shape = (model.n_layers, model.n_heads, model.d_head)
    return torch.from_numpy(np.random.default_rng(seed).normal(size=shape)).float()


def written_ablation(heads, held):
    def edit(attention):
        z = attention.z.clone()
        for layer, head in heads:
            if layer == attention.layer:
                z[:, head] = held[layer, head]
        return z

    return edit


def sets_of(model):
    top = model.n_layers - 1
    return [[(0, 0)], [(top, model.n_heads - 1)], [(0, 1), (0, 2), (top, 0)]]


def test_the_model_written_out_is_the_model(loaded):
    model, plain = loaded
    with torch.no_grad():
        wanted = plain(input_ids=torch.tensor([TARGET]), use_cache=False).logits[0]
    assert close(written_logits(plain, model.name, TARGET), wanted)


def test_captured_heads_are_those_written_out(loaded):
    model, plain = loaded
    heads, _ = written_heads(plain, model.name, LONGER)
    seen = captured(model, LONGER, "z", "v", "pattern")
    for layer, wanted in enumerate(heads):
        assert close(seen["z"][layer], wanted.z)
        assert close(seen["v"][layer], wanted.v)
        assert close(seen["pattern"][layer], wanted.pattern)


def test_captures_of_many_prompts_come_to_the_right_ones(loaded):
    model, _ = loaded
    prompts = [TARGET, LONGER, EQUAL, TARGET[:3]]
    rows = {}
    for batch in capture_heads(model, prompts, parts=("z",), batch_size=2):
        rows |= dict(zip(batch.rows, batch.z, strict=True))
    assert sorted(rows) == [0, 1, 2, 3]
    for row, ids in enumerate(prompts):
        assert close(rows[row], captured(model, ids, "z")["z"])


@pytest.mark.parametrize("kind", ["zero", "value"])
def test_ablation_at_every_position_is_the_one_written_out(loaded, kind):
    model, plain = loaded
    held = values(model) * (kind == "value")
    for heads in sets_of(model):
        condition = ablate_heads("ablated", heads, held)
        seen = generate_rows(model, [Row(TARGET, condition)], max_new_tokens=4, keep_logits=True)[0]
        ids = list(TARGET)
        for step, token in enumerate(seen.token_ids):
            # Generated positions are ablated as well: the whole text so far is written out anew.
            wanted = written_logits(plain, model.name, ids, written_ablation(heads, held))[-1]
            assert close(seen.logits[step], wanted)
            assert token == int(wanted.argmax())
            ids.append(token)


def test_ablation_is_of_the_head_before_its_output_projection(loaded):
    model, plain = loaded
    held = torch.zeros_like(values(model))
    everything = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    for head in range(model.n_heads):
        heads = [(0, head)]
        wanted = written_logits(plain, model.name, TARGET, written_ablation(heads, held))[-1]
        others = written_logits(plain, model.name, TARGET, written_ablation(everything, held))[-1]
        seen = logits(model, TARGET, ablate_heads("one", heads, held))[0]
        assert close(seen, wanted)
        assert not close(seen, others)
        assert not close(seen, logits(model, TARGET)[0])


@pytest.mark.parametrize("source_ids", [EQUAL, LONGER, LONGER[:4]])
def test_pattern_v_is_the_patch_written_out(loaded, source_ids):
    model, plain = loaded
    source, _ = written_heads(plain, model.name, source_ids)
    n = aligned_positions(len(TARGET), len(source_ids), n_special=1)
    z = captured(model, source_ids, "z")["z"]
    for heads in sets_of(model):

        def edit(attention, heads=heads):
            changed = attention.z.clone()
            for layer, head in heads:
                if layer == attention.layer:
                    changed[-n:, head] = source[layer].z[-n:, head]
            return changed

        condition = patch_heads("patched", heads, z, n_prompt=len(TARGET), n_aligned=n)
        wanted = written_logits(plain, model.name, TARGET, edit)[-1]
        assert close(logits(model, TARGET, condition)[0], wanted)


@pytest.mark.parametrize("source_ids", [EQUAL, LONGER, LONGER[:4]])
def test_v_only_reads_other_values_with_the_running_pattern(loaded, source_ids):
    model, plain = loaded
    source, _ = written_heads(plain, model.name, source_ids)
    n = aligned_positions(len(TARGET), len(source_ids), n_special=1)
    v = captured(model, source_ids, "v")["v"]
    for heads in sets_of(model):

        def edit(attention, heads=heads):
            changed = attention.z.clone()
            for layer, head in heads:
                if layer == attention.layer:
                    other = attention.v[:, head].clone()
                    other[-n:] = source[layer].v[-n:, head]
                    changed[:, head] = attention.pattern[head] @ other
            # What v' makes of a position before the first patched one is what it was.
            changed[:-n] = attention.z[:-n]
            return changed

        condition = patch_heads(
            "patched", heads, v, mode="v_only", n_prompt=len(TARGET), n_aligned=n
        )
        wanted = written_logits(plain, model.name, TARGET, edit)[-1]
        assert close(logits(model, TARGET, condition)[0], wanted)


@pytest.mark.parametrize("mode", ["pattern_v", "v_only"])
def test_decoding_goes_on_from_patched_prompt_positions(loaded, mode):
    model, plain = loaded
    heads = sets_of(model)[2]
    source, _ = written_heads(plain, model.name, EQUAL)
    part = "z" if mode == "pattern_v" else "v"
    condition = patch_heads(
        "patched", heads, captured(model, EQUAL, part)[part], mode=mode, n_prompt=7, n_aligned=6
    )
    seen = generate_rows(model, [Row(TARGET, condition)], max_new_tokens=4, keep_logits=True)[0]

    def edit(attention):
        changed = attention.z.clone()
        for layer, head in heads:
            if layer == attention.layer and mode == "pattern_v":
                changed[1:7, head] = source[layer].z[1:7, head]
            elif layer == attention.layer:
                other = attention.v[:7, head].clone()
                other[1:7] = source[layer].v[1:7, head]
                changed[:7, head] = attention.pattern[head, :7, :7] @ other
        return changed

    ids = list(TARGET)
    for step, token in enumerate(seen.token_ids):
        wanted = written_logits(plain, model.name, ids, edit)[-1]
        assert close(seen.logits[step], wanted)
        ids.append(token)


def test_one_query_heads_values_leave_its_group_as_it_was(loaded):
    """In the written model only the one query head changes; the engine must agree with that."""
    model, plain = loaded
    shared_by = model.n_heads // (
        getattr(plain.config, "num_key_value_heads", None) or model.n_heads
    )
    v = captured(model, EQUAL, "v")["v"]
    for head in range(model.n_heads):
        z_seen = []

        def edit(attention, head=head, kept=z_seen):
            changed = attention.z.clone()
            if attention.layer == 0:
                other = attention.v[:, head].clone()
                other[1:] = v[0, 1:, head]
                changed[:, head] = attention.pattern[head] @ other
                kept.append((attention.z, changed))
            return changed

        condition = patch_heads("one", [(0, head)], v, mode="v_only", n_prompt=7, n_aligned=6)
        wanted = written_logits(plain, model.name, TARGET, edit)[-1]
        assert close(logits(model, TARGET, condition)[0], wanted)
        ((before, after),) = z_seen
        others = [other for other in range(model.n_heads) if other != head]
        assert torch.equal(before[:, others], after[:, others])
        assert not torch.equal(before[:, head], after[:, head])
    if shared_by > 1:
        # Patching the whole group differs from patching one of it: the group is really shared.
        group = [(0, head) for head in range(shared_by)]
        whole = patch_heads("group", group, v, mode="v_only", n_prompt=7, n_aligned=6)
        alone = patch_heads("one", group[:1], v, mode="v_only", n_prompt=7, n_aligned=6)
        assert not close(logits(model, TARGET, whole)[0], logits(model, TARGET, alone)[0])


@pytest.mark.parametrize("mode", ["pattern_v", "v_only"])
def test_a_run_patched_with_itself_is_the_same_bit_for_bit(loaded, mode):
    model, _ = loaded
    part = "z" if mode == "pattern_v" else "v"
    own = captured(model, TARGET, part)[part]
    heads = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    condition = patch_heads("self", heads, own, mode=mode, n_prompt=len(TARGET), n_aligned=7)
    seen = generate_rows(model, [Row(TARGET, condition)], max_new_tokens=4, keep_logits=True)[0]
    wanted = unpatched_in_one_pass(model, mode)
    assert torch.equal(seen.logits, wanted.logits)
    assert seen.token_ids == wanted.token_ids


def unpatched_in_one_pass(model, mode):
    """The same passes with a patch that acts on nothing: strength 0 changes no bit."""
    from emotion_circuits.interventions import Constant

    part = "z" if mode == "pattern_v" else "v"
    other = captured(model, EQUAL, part)[part]
    nothing = patch_heads("nothing", [(0, 0)], other, mode=mode, n_prompt=7, n_aligned=7)
    (item,) = nothing.interventions
    idle = Intervention(item.site, item.operator, item.positions, Constant(0.0))
    return generate_rows(
        model, [Row(TARGET, Condition("idle", (idle,)))], max_new_tokens=4, keep_logits=True
    )[0]


def test_all_heads_and_mlps_from_the_source_give_the_sources_logits(loaded):
    """The last token and its position are the same, so all else comes from heads and MLPs."""
    model, plain = loaded
    z = captured(model, EQUAL, "z")["z"]
    _, mlps = written_heads(plain, model.name, EQUAL)
    heads = [(layer, head) for layer in range(model.n_layers) for head in range(model.n_heads)]
    patched = patch_heads("heads", heads, z, n_prompt=7, n_aligned=6)
    others = tuple(
        Intervention(Site("mlp_out", layer), Replace(output), Prompt(6))
        for layer, output in enumerate(mlps)
    )
    whole = Condition("all", (*patched.interventions, *others))
    wanted = logits(model, EQUAL)[0]
    assert not close(logits(model, TARGET)[0], wanted)
    assert close(logits(model, TARGET, whole)[0], wanted)


def test_v_only_with_one_token_is_pattern_v(loaded):
    """A prompt of one token attends to nothing but itself."""
    model, _ = loaded
    first, second = (TARGET[0],), (TARGET[1],)
    for ids, other in ((first, second), (second, first)):
        seen = captured(model, other, "z", "v", "pattern")
        own = captured(model, ids, "pattern")
        assert torch.equal(own["pattern"], seen["pattern"])
        heads = [(0, 0), (1, 1)]
        by_mode = [
            logits(
                model, ids, patch_heads(mode, heads, seen[p], mode=mode, n_prompt=1, n_aligned=1)
            )
            for mode, p in (("pattern_v", "z"), ("v_only", "v"))
        ]
        assert close(by_mode[0], by_mode[1])
        assert not close(by_mode[0], logits(model, ids))


def test_v_only_is_pattern_v_where_every_head_attends_to_all_alike(tmp_path):
    """Without queries all patterns are uniform, so equal on any two prompts of one length."""
    folder = save_architecture("llama", tmp_path / "llama")
    model = load_language_model(ModelSpec(name="llama", source=str(folder), device="cpu"))
    with torch.no_grad():
        for block in model.plain_blocks:
            block.self_attn.q_proj.weight.zero_()
    seen = captured(model, EQUAL, "z", "v", "pattern")
    own = captured(model, TARGET, "pattern")
    assert torch.equal(own["pattern"], seen["pattern"])
    heads = [(0, 0), (0, 3), (1, 1), (2, 2)]
    by_mode = [
        logits(model, TARGET, patch_heads(mode, heads, seen[p], mode=mode, n_prompt=7, n_aligned=7))
        for mode, p in (("pattern_v", "z"), ("v_only", "v"))
    ]
    assert close(by_mode[0], by_mode[1])
    assert not close(by_mode[0], logits(model, TARGET))


def test_heads_are_a_set_whatever_their_order(loaded):
    model, _ = loaded
    heads = [(0, 2), (1, 0), (0, 1)]
    held = values(model)
    turned = [ablate_heads("x", order, held) for order in (heads, heads[::-1], [*heads, heads[0]])]
    seen = [logits(model, TARGET, condition) for condition in turned]
    assert torch.equal(seen[0], seen[1])
    assert torch.equal(seen[0], seen[2])


def test_no_hook_is_left_even_after_an_exception(loaded, monkeypatch):
    model, _ = loaded

    def count():
        modules = (*model.bridge.modules(), *model.plain_model.modules())
        return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules), sum(
            "forward" in vars(m) for m in model.plain_model.modules()
        )

    before = count()
    captured(model, TARGET, "z", "v", "pattern")
    rows = [Row(TARGET, ablate_heads("x", [(1, 0)], values(model)))]
    read_logits(model, rows, lambda found: found[:, :2])
    assert count() == before
    with pytest.raises(IndexError):
        list(capture_heads(model, [(5, 10**6)], parts=("z", "pattern")))
    with pytest.raises(ZeroDivisionError):
        read_logits(model, rows, lambda found: 1 / 0)
    monkeypatch.setattr(type(model.plain_model), "forward", lambda *a, **k: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        read_logits(model, rows, lambda found: found)
    monkeypatch.undo()
    assert count() == before


def test_logits_read_with_shared_layers_are_the_engines(loaded):
    model, _ = loaded
    held = values(model)
    prompts = [TARGET, LONGER, EQUAL]
    conditions = [BASELINE, *(ablate_heads("x", heads, held) for heads in sets_of(model))]
    rows = [Row(ids, condition) for condition in conditions for ids in prompts]
    seen = read_logits(model, rows, lambda found: found)
    for row, found in zip(rows, seen, strict=True):
        assert close(found, logits(model, row.prompt_ids, row.condition)[0])


def test_prompts_read_from_the_first_changed_layer_on_give_the_same(loaded, monkeypatch):
    model, _ = loaded
    held, z = values(model), captured(model, LONGER, "z")["z"]
    rows = []
    for ids in (TARGET, LONGER, EQUAL):
        n = aligned_positions(len(ids), len(LONGER), n_special=1)
        for heads in [*sets_of(model), [(1, 0)]]:
            rows.append(Row(ids, ablate_heads("ablated", heads, held)))
            rows.append(Row(ids, patch_heads("patched", heads, z, n_prompt=len(ids), n_aligned=n)))
        rows.append(Row(ids, BASELINE))

    def run(least):
        monkeypatch.setattr(shared_prefill, "_LEAST_OPERATIONS_SAVED", least)
        ledger = []
        results = generate_rows(model, rows, max_new_tokens=5, keep_logits=True, ledger=ledger)
        return results, sorted(ledger)

    parts = []
    once = SharedPrefill.run
    monkeypatch.setattr(SharedPrefill, "run", lambda self: parts.append(1) or once(self))
    whole, planned = run(float("inf"))
    assert not parts
    shared, applied = run(-float("inf"))
    assert parts
    assert applied == planned
    for one, other in zip(whole, shared, strict=True):
        assert one.token_ids == other.token_ids
        assert close(one.logits, other.logits)


def test_a_mode_or_part_that_does_not_exist_is_one_line(loaded):
    model, _ = loaded
    z = captured(model, TARGET, "z")["z"]
    with pytest.raises(InputError, match=r"mode 'q_only' is unknown; known: pattern_v, v_only"):
        patch_heads("x", [(0, 0)], z, mode="q_only", n_prompt=7, n_aligned=6)
    with pytest.raises(InputError, match=r"part 'q' of a head is unknown"):
        captured(model, TARGET, "q")
    with pytest.raises(InputError, match=r"8 positions cannot be aligned .* 7 and 7 tokens"):
        patch_heads("x", [(0, 0)], z, n_prompt=7, n_aligned=8)
    far = ablate_heads("x", [(0, 0)], values(model)).interventions[0]
    missing = Intervention(Site("z", 99, 0), far.operator, far.positions)
    with pytest.raises(InputError, match=r"layer 99 is out of range .* allowed are 0 to"):
        generate_rows(model, [Row(TARGET, Condition("x", (missing,)))], max_new_tokens=1)
