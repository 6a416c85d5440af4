"""What loads is exact under interventions, and what cannot be studied is refused by its name."""

import pytest
import torch

from emotion_circuits.errors import InputError
from emotion_circuits.interventions import (
    Ablate,
    Condition,
    Everywhere,
    Intervention,
    Prompt,
    ReplaceV,
    Row,
    Site,
    generate_rows,
    record,
)
from more_architectures import DECODERS, RECURRENT, load_tiny
from recomputation import reference_generate
from verify_architectures import agreement

# Logits differ by the order of sums in float32.
LARGEST = 1e-5
# Parallel blocks, ALiBi, and MLPs that return the residual stream or have no module.
PECULIAR = ("bloom", "falcon", "gptj", "mpt", "opt", "xglm")


@pytest.mark.parametrize("name", PECULIAR)
def test_peculiar_architectures_equal_recomputation(name):
    model = load_tiny(name)
    assert model.mixes_lengths
    found = agreement(model)
    assert (found.equal, found.deviation <= LARGEST) == (found.n_rows, True)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted({*DECODERS} - {*PECULIAR, "helium"}))
def test_common_architectures_equal_recomputation(name):
    model = load_tiny(name)
    assert model.mixes_lengths
    found = agreement(model)
    assert (found.equal, found.deviation <= LARGEST) == (found.n_rows, True)


@pytest.mark.parametrize("name", ["bloom", "mpt", "opt", "xglm"])
def test_the_parts_of_a_layer_are_what_it_adds(name):
    """The MLP of Bloom and MPT returns the whole stream; OPT and XGLM have no module for it."""
    model = load_tiny(name)
    points = ("resid_pre", "attn_out", "mlp_out", "resid_post")
    ids = torch.tensor([[5, 17, 60], [60, 5, 9]])
    seen = record(model, ids, [Site(point, 1) for point in points]).activations
    before, attention, mlp, after = (seen[Site(point, 1)] for point in points)
    torch.testing.assert_close(before + attention + mlp, after)
    assert not torch.allclose(attention, torch.zeros_like(attention), atol=0.1)


@pytest.mark.parametrize("name", RECURRENT)
def test_recurrent_models_are_refused(name):
    """Their state cannot forget the positions that an intervention changes."""
    with pytest.raises(InputError, match=r"does not read its past .* recurrent layers") as caught:
        load_tiny(name)
    assert "\n" not in str(caught.value)


def test_an_architecture_without_hook_points_is_one_line():
    line = r"^model 'helium': TransformerLens cannot add hook points to HeliumForCausalLM: .{,160}$"
    with pytest.raises(InputError, match=line):
        load_tiny("helium")


@pytest.mark.parametrize("name", ["opt", "xglm"])
def test_a_pattern_that_is_shown_too_late_is_one_line(name):
    operator = ReplaceV(torch.zeros(3, 8))
    row = Row((5, 6, 7), Condition("c", (Intervention(Site("z", 0, 1), operator, Prompt()),)))
    with pytest.raises(InputError, match="ReplaceV at z of layer 0 needs the attention pattern"):
        generate_rows(load_tiny(name), [row], max_new_tokens=2)


def test_longrope_is_exact_below_its_limit_and_refused_above():
    """Beyond it, keys in the cache would have frequencies that a pass over all tokens changes."""
    model = load_tiny(
        "phi3",
        original_max_position_embeddings=40,
        rope_scaling={
            "rope_type": "longrope",
            "short_factor": [1.0] * 4,
            "long_factor": [7.0] * 4,
        },
    )
    ablated = Intervention(Site("z", 0, 1), Ablate(torch.ones(8)), Everywhere())
    row = Row((5, 17, 60, 33, 9, 70) * 6, Condition("c", (ablated,)))
    (seen,) = generate_rows(model, [row], max_new_tokens=4, keep_logits=True)
    ids, logits = reference_generate(model.plain_model, "phi3", row.prompt_ids, row.condition, 4)
    assert seen.token_ids == ids
    torch.testing.assert_close(seen.logits, logits, atol=1e-4, rtol=1e-4)
    with pytest.raises(InputError, match=r"41 tokens is longer than the 40 .* \(longrope\)"):
        generate_rows(model, [row], max_new_tokens=5)
