"""Operators defined here, outside of the package, are shown what they say they need."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from architectures import ARCHITECTURES, save_architecture
from emotion_circuits.errors import InputError
from emotion_circuits.interventions import (
    BASELINE,
    Add,
    Condition,
    Everywhere,
    Intervention,
    Need,
    Operator,
    Prompt,
    ReplaceV,
    Row,
    Site,
    Window,
    generate_rows,
    read_logits,
    steer,
)
from emotion_circuits.language_models import ModelSpec, load_language_model
from handwritten import written_logits

IDS = (5, 17, 60, 33, 90, 201, 44)
N_LAST = 3
TOLERANCE = 1e-4  # float32, sums in another order; logits are of order 10


@pytest.fixture(scope="module", params=ARCHITECTURES)
def loaded(request, tmp_path_factory):
    folder = save_architecture(request.param, tmp_path_factory.mktemp(request.param))
    model = load_language_model(ModelSpec(name=request.param, source=str(folder), device="cpu"))
    return model, AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


@dataclass(frozen=True, eq=False)
class AddWhereAttended:
    """Add a direction, times the head's attention to position 4, which local attention sees."""

    direction: Any
    measured_at: Site | None = None
    needs = frozenset({Need.PATTERN})

    def parameters(self):
        return (self.direction,)

    @staticmethod
    def apply(values, strength, parameters, seen):
        weight = strength * seen.shown[Need.PATTERN][..., 4]
        return values + weight[..., None] * parameters[0][:, None]


@dataclass(frozen=True, eq=False)
class AddScaledSum:
    """Add the sum of the values of the whole prompt, times a vector."""

    scale: Any
    measured_at: Site | None = None
    needs = frozenset({Need.V, Need.WHOLE_PROMPT})

    def parameters(self):
        return (self.scale,)

    @staticmethod
    def apply(values, strength, parameters, seen):
        total = seen.shown[Need.V].sum(1, keepdim=True)
        return values + strength[..., None] * total * parameters[0][:, None]


@dataclass(frozen=True, eq=False)
class Mix:
    """Add the mean over all positions of the prompt, times a vector."""

    scale: Any
    measured_at: Site | None = None
    needs = frozenset({Need.WHOLE_PROMPT})

    def parameters(self):
        return (self.scale,)

    @staticmethod
    def apply(values, strength, parameters, seen):
        mean = values.mean(1, keepdim=True)
        return values + strength[..., None] * mean * parameters[0][:, None]


def vector(seed, width):
    return torch.from_numpy(np.random.default_rng(seed).normal(size=width)).float()


def condition(operator, site):
    return Condition(type(operator).__name__, (Intervention(site, operator, Prompt(N_LAST)),))


def written(plain, name, change):
    """The model written out, with one head or MLP of layer 1 changed at the last positions."""

    def edit(attention):
        z = attention.z.clone()
        if attention.layer == 1:
            z[-N_LAST:, 2] = change(attention)[-N_LAST:]
        return z

    return written_logits(plain, name, IDS, edit)[-1]


def test_operators_get_what_they_need_beside_rows_that_need_nothing(loaded):
    model, plain = loaded
    width, head = model.d_head, Site("z", 1, 2)
    direction, scale = vector(0, width), vector(1, width)
    wide = vector(2, model.d_model)

    def mixed(layer, output):
        if layer != 1:
            return output
        changed = output.clone()
        changed[-N_LAST:] += output.mean(0) * wide
        return changed

    expected = {
        condition(AddWhereAttended(direction), head): written(
            plain,
            model.name,
            lambda a: a.z[:, 2] + a.pattern[2, :, 4, None] * direction,
        ),
        condition(AddScaledSum(scale), head): written(
            plain, model.name, lambda a: a.z[:, 2] + a.v[:, 2].sum(0) * scale
        ),
        condition(Mix(wide), Site("mlp_out", 1)): written_logits(
            plain, model.name, IDS, edit_mlp=mixed
        )[-1],
        BASELINE: written_logits(plain, model.name, IDS)[-1],
    }
    rows = [Row(IDS, item) for item in [*expected, steer("steered", Add(wide), 0)]]
    results = generate_rows(model, rows, max_new_tokens=1, keep_logits=True)
    unchanged = expected[BASELINE]
    for (item, wanted), result in zip(expected.items(), results, strict=False):
        scale = max(1.0, float(wanted.abs().max()) / 10)
        assert float((result.logits[0] - wanted).abs().max()) <= TOLERANCE * scale
        assert item is BASELINE or float((wanted - unchanged).abs().max()) > 0.01


def test_operators_of_the_package_need_nothing_but_one():
    assert isinstance(Mix(vector(0, 4)), Operator)
    assert not Add(vector(0, 4)).needs
    assert ReplaceV(torch.zeros(2, 4)).needs == {Need.PATTERN, Need.V, Need.WHOLE_PROMPT}


def test_needs_that_cannot_be_met_are_one_line(loaded):
    model, _ = loaded
    operator = ReplaceV(torch.zeros(7, model.d_head))
    for positions in (Window(2), Everywhere()):
        with pytest.raises(InputError, match=r"ReplaceV at z .* positions of the prompt"):
            Intervention(Site("z", 0, 0), operator, positions)
    with pytest.raises(InputError, match=r"AddWhereAttended at resid_post .* point 'z' with"):
        Intervention(Site("resid_post", 0), AddWhereAttended(vector(0, 4)), Prompt(1))
    rows = [Row(IDS, condition(operator, Site("z", 0, 0)))]
    with pytest.raises(InputError, match="'ReplaceV' needs attention patterns or values"):
        read_logits(model, rows, lambda logits: logits)


@pytest.mark.parametrize("site", [Site("pattern", 0), Site("v", 0), Site("z", 0)])
def test_a_point_that_cannot_be_changed_is_one_line(site):
    with pytest.raises(InputError, match=r"cannot be changed; allowed are resid_pre, .* a head"):
        Intervention(site, Add(vector(0, 4)))
