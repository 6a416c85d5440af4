"""What is recorded is what TransformerLens shows, and gradients are what small changes do."""

from functools import partial

import numpy as np
import pytest
import torch

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.experiments.head_conditions import patch_heads
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Condition,
    Constant,
    Intervention,
    Prompt,
    Row,
    Site,
    capture_heads,
    generate_rows,
    record,
    run_with,
    steer,
)
from emotion_circuits.interventions.engine.groups import Span
from emotion_circuits.interventions.engine.patches import Patches, patched
from emotion_circuits.interventions.sites import PATCHABLE_POINTS, POINTS, bridge_hook_name
from emotion_circuits.language_models import ModelSpec, load_language_model

IDS = (5, 17, 60, 33, 90, 201, 44)
# float32, sums in another order; values are of the order of 10.
TOLERANCE = 1e-5
STEP, N_LAST = 0.01, 3


@pytest.fixture(scope="module", params=ARCHITECTURES)
def model(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    return load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))


def tokens(*rows):
    return torch.tensor(rows)


def vector(seed, width):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width)).float()


def n_hooks(model):
    modules = [*model.plain_model.modules(), *model.bridge.modules()]
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in modules)


def test_a_pass_without_logits_stops_after_its_last_site(model):
    """The same activations, no hook left, and no work above the last site."""
    ids = tokens(IDS, IDS[::-1])
    sites = [Site("resid_post", 0), Site("z", 1), Site("mlp_out", 0), Site("q", 1)]
    whole = record(model, ids, sites)
    before, ran = n_hooks(model), []
    head = model.plain_model.get_output_embeddings().register_forward_hook(
        lambda *_: ran.append("logits")
    )
    early = record(model, ids, sites, logits=False)
    head.remove()
    assert early.activations.keys() == whole.activations.keys()
    for site in sites:
        assert torch.equal(early.activations[site], whole.activations[site])
    assert (early.logits.numel(), ran, n_hooks(model)) == (0, [], before)
    assert torch.equal(record(model, ids, sites).logits, whole.logits)


@torch.no_grad()
def test_each_site_is_the_hook_point_of_its_name(model):
    ids = tokens(IDS, IDS[::-1])
    names = [point for point in POINTS if point != "block_out"]
    sites = [Site(point, layer) for point in names for layer in range(model.n_layers)]
    seen = record(model, ids, sites)
    logits, cache = model.bridge.run_with_cache(ids)
    for site in sites:
        wanted = cache[bridge_hook_name(model, site)]
        assert seen.activations[site].shape == wanted.shape
        scale = max(1.0, float(wanted.abs().max()))
        assert float((seen.activations[site] - wanted).abs().max()) <= TOLERANCE * scale
    torch.testing.assert_close(seen.logits, logits[:, -1], atol=1e-4, rtol=1e-5)


def test_padded_rows_are_what_each_is_alone(model):
    padded, mask = tokens(IDS, (*IDS[:3], 0, 0, 0, 0)), torch.ones(2, 7, dtype=torch.bool)
    mask[1, 3:] = False
    sites = [Site(point, model.n_layers - 1) for point in PATCHABLE_POINTS]
    together = record(model, padded, sites, mask=mask).activations
    alone = record(model, tokens(IDS[:3]), sites).activations
    for site in sites:
        torch.testing.assert_close(together[site][1, :3], alone[site][0], atol=1e-5, rtol=1e-4)


def test_only_what_is_to_be_kept_is_kept(model):
    sites = [Site("resid_pre", 0), Site("z", 0)]
    whole = record(model, tokens(IDS), sites).activations
    last = record(model, tokens(IDS), sites, keep=lambda value: value[:, -1]).activations
    for site in sites:
        assert torch.equal(last[site], whole[site][:, -1])


def difference(logits):
    return (logits[..., 3] - logits[..., 40]).float()


def slope(model, condition_of):
    """How the target changes with the strength of a condition, by central differences."""
    rows = [Row(IDS, condition_of(alpha)) for alpha in (STEP, -STEP)]
    results = generate_rows(model, rows, max_new_tokens=1, keep_logits=True)
    up, down = (float(difference(result.logits[0])) for result in results)
    return (up - down) / (2 * STEP)


def at_the_end(site, direction, alpha):
    item = Intervention(site, Add(direction), Prompt(N_LAST), Constant(alpha))
    return Condition("moved", (item,))


@pytest.mark.parametrize("point", PATCHABLE_POINTS)
def test_gradients_are_what_the_engine_does_with_small_changes(model, point):
    for layer in range(model.n_layers):
        whole = Site(point, layer)
        target = {"difference": lambda seen: difference(seen.logits)}
        seen = record(model, tokens(IDS), [whole], gradients=target)
        gradient = seen.gradients["difference"][whole][0, -N_LAST:]
        if point == "z":
            site, gradient = Site("z", layer, 1), gradient[:, 1]
        else:
            site = whole
        direction = vector(layer, gradient.shape[-1])
        wanted = slope(model, partial(at_the_end, site, direction))
        # Differences of float32 logits of order 10, over steps of 0.02.
        assert float(gradient.sum(0) @ direction) == pytest.approx(wanted, rel=1e-2, abs=5e-3)
        baseline = generate_rows(model, [Row(IDS)], max_new_tokens=1, keep_logits=True)[0]
        value = float(seen.values["difference"])
        assert value == pytest.approx(float(difference(baseline.logits[0])), abs=1e-4)


def test_gradients_of_values_are_taken_through_the_bridge(model):
    """All query heads that share a key/value head read the changed values."""
    site = Site("v", 0)
    target = {"difference": lambda seen: difference(seen.logits)}
    gradient = record(model, tokens(IDS), [site, Site("z", 0)], gradients=target).gradients
    of_head = gradient["difference"][site][0, -N_LAST:, 0]
    (batch,) = capture_heads(model, [IDS], parts=("v",))
    shared_by = model.n_heads // gradient["difference"][site].shape[2]
    direction = vector(1, model.d_head)

    def moved(alpha):
        heads = [(0, head) for head in range(shared_by)]
        v = batch.v[0] + alpha * direction
        return patch_heads("v", heads, v, mode="v_only", n_prompt=len(IDS), n_aligned=N_LAST)

    assert float(of_head.sum(0) @ direction) == pytest.approx(
        slope(model, moved), rel=1e-2, abs=5e-3
    )


def test_a_target_may_read_activations_and_several_are_kept_apart(model):
    first, last = Site("resid_pre", 0), Site("resid_post", model.n_layers - 1)
    direction = vector(0, model.d_model)
    targets = {
        "stream": lambda seen: seen.activations[last][:, -1] @ direction,
        "twice": lambda seen: 2 * seen.activations[last][:, -1] @ direction,
        "embedding": lambda seen: seen.activations[first][:, 0] @ direction,
    }
    seen = record(model, tokens(IDS, IDS[::-1]), [first, last], gradients=targets)
    for row in range(2):
        torch.testing.assert_close(seen.gradients["stream"][last][row, -1], direction)
        torch.testing.assert_close(seen.gradients["embedding"][first][row, 0], direction)
    assert not seen.gradients["stream"][last][:, :-1].any()
    assert not seen.gradients["embedding"][last].any()
    torch.testing.assert_close(
        seen.gradients["twice"][first], 2 * seen.gradients["stream"][first], atol=1e-4, rtol=1e-4
    )
    assert not any(value.requires_grad for value in seen.activations.values())


def test_a_patched_model_is_recorded_as_it_is(model):
    ids, direction = tokens(IDS, IDS), vector(2, model.d_model)
    conditions = [BASELINE, steer("moved", Add(direction), 0)]
    patches = Patches(model, conditions, range(2), n_prompts=[len(IDS)] * 2, n_steps=1)
    patches.at(Span.of_prompts(2, 0, len(IDS)))
    with torch.no_grad(), patched(model, patches):
        seen = record(model, ids, [Site("resid_pre", 1)]).activations[Site("resid_pre", 1)]
    clean = record(model, ids, [Site("resid_pre", 1)]).activations[Site("resid_pre", 1)]
    clean[1, -1] += direction
    assert torch.equal(seen, clean)


def test_no_hook_is_left_even_after_an_exception(model):
    before = n_hooks(model)
    sites = [Site(point, layer) for point in POINTS for layer in range(model.n_layers)]
    record(model, tokens(IDS), sites)
    assert n_hooks(model) == before
    for part in (sites, [Site("z", 0)], [Site("pattern", 0)]):
        with pytest.raises(IndexError):
            record(model, tokens((5, 10**6)), part)
        assert n_hooks(model) == before

    def fail(seen):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        record(model, tokens(IDS), [Site("z", 0)], gradients={"failing": fail})
    with pytest.raises(ZeroDivisionError):
        record(model, tokens(IDS), [Site("z", 0)], keep=fail)
    assert n_hooks(model) == before


def test_a_site_that_cannot_be_recorded_is_one_line(model):
    with pytest.raises(InputError, match=r"layer 99 is out of range .* allowed are 0 to"):
        record(model, tokens(IDS), [Site("z", 99)])
    with pytest.raises(InputError, match="z of layer 0 head 1: heads are recorded together"):
        record(model, tokens(IDS), [Site("z", 0, 1)])
    with pytest.raises(InputError, match=r"'zz' is unknown; known: resid_pre, .* nearest: z"):
        Site("zz", 0)
    with pytest.raises(InputError, match="no point but 'z' has a head; head is 1"):
        Site("resid_post", 0, 1)


@pytest.mark.parametrize("point", ["z", "q"])  # a pass of the plain model, and one of the bridge
def test_functions_change_a_pass_and_see_what_earlier_ones_did(model, point):
    ids, last = tokens(IDS, IDS[::-1]), model.n_layers - 1
    seen, before = {}, n_hooks(model)

    def zero(values):
        return torch.zeros_like(values)

    def look(name, values):
        seen[name] = values

    functions = {
        Site(point, 0): zero,
        Site("resid_pre", last): partial(look, "stream"),
        Site("attn_out", 0): partial(look, "written"),
    }
    logits = run_with(model, ids, functions)
    assert list(seen) == ["written", "stream"]  # in the order of computation
    shape = record(model, ids, [Site(point, 0)]).activations[Site(point, 0)].shape
    wanted = record(
        model,
        ids,
        list(functions),
        replace={Site(point, 0): torch.zeros(shape)},
        gradients={"one": lambda recorded: recorded.logits.sum(-1)},  # one pass, of the bridge
    )
    torch.testing.assert_close(logits, wanted.logits, atol=1e-4, rtol=1e-5)
    whole = wanted.activations[Site("resid_pre", last)]
    torch.testing.assert_close(seen["stream"], whole, atol=1e-4, rtol=1e-5)
    assert not torch.allclose(logits, run_with(model, ids, {}), atol=1e-2)

    def fail(values):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        run_with(model, ids, {Site(point, 0): fail})
    assert n_hooks(model) == before
