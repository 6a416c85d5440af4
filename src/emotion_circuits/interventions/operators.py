"""Operators: changes of the activations at a site, applied to many rows at once.

An operator is a frozen value with tensors (``parameters``) and a function of them (``apply``). In
``apply`` every tensor has a leading axis over entries; an entry is one intervention in one row of
a batch. Strength 0 does not change a value at all, strength 1 applies the operator fully.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from emotion_circuits.errors import InputError
from emotion_circuits.interventions.needs import NOTHING, Need, Pass
from emotion_circuits.interventions.sites import Site

Values = Float[Tensor, "entry pos width"]
Alphas = Float[Tensor, "entry pos"]
Tensors = tuple[Tensor, ...]


@runtime_checkable
class Operator(Protocol):
    """Anything that changes activations at a site."""

    @property
    def measured_at(self) -> Site | None:
        """The site at which the direction was measured; ``None`` if it may be used at any site."""

    @property
    def needs(self) -> frozenset[Need]:
        """The needs of ``apply``; the same for all operators of one type."""

    def parameters(self) -> Tensors:
        """Return the operator's tensors.

        Tensors of one operator type are stacked over entries, with first axes padded by zeros.
        """

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """Compute new values.

        Args:
            values: Activations of each entry at the positions of the pass.
            strength: The strength at each position.
            parameters: The operators' ``parameters``, stacked over entries.
            seen: The first positions, and the tensors that the operator needs.
        """


def _direction(value: Any, what: str) -> Float[Tensor, " width"]:
    direction: Tensor = torch.as_tensor(value, dtype=torch.float32).detach()
    if direction.dim() != 1:
        raise InputError(f"{what} has shape {tuple(direction.shape)}; it must be one vector")
    if not bool(torch.isfinite(direction).all()):
        raise InputError(f"{what} holds NaN or infinite numbers")
    return direction


def _unit(value: Any, what: str) -> Float[Tensor, " width"]:
    direction = _direction(value, what)
    norm = direction.norm()
    if norm == 0:
        raise InputError(f"{what} is zero; it has no line to act on")
    unit: Tensor = direction / norm
    return unit


def _source_positions(value: Any) -> Float[Tensor, "pos width"]:
    source: Tensor = torch.as_tensor(value, dtype=torch.float32).detach()
    if source.dim() != 2:
        raise InputError(f"source has shape {tuple(source.shape)}; it must be [pos, width]")
    return source


def _orthonormal(value: Any, what: str) -> Float[Tensor, "k width"]:
    """Return an orthonormal basis of the span of one direction or of several."""
    vectors = torch.atleast_2d(torch.as_tensor(value, dtype=torch.float32).detach())
    if vectors.dim() != 2 or not bool(torch.isfinite(vectors).all()):
        raise InputError(f"{what} must be finite, one vector or a matrix of vectors")
    _, values, components = torch.linalg.svd(vectors.cpu().double(), full_matrices=False)
    rank = int((values > values.max() * 1e-6).sum())
    if rank == 0:
        raise InputError(f"{what} is zero; it spans nothing")
    basis: Tensor = components[:rank].float()
    return basis


@dataclass(frozen=True, eq=False)
class Add:
    """Add a direction, times the strength.

    Source: activation addition, Turner et al. 2023, arXiv:2308.10248.

    Attributes:
        direction: ``[width]``, in the units of the activations.
    """

    direction: Any
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _direction(self.direction, "direction"))

    def parameters(self) -> Tensors:
        """``direction``."""
        return (self.direction,)

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """X + s·d."""
        del seen
        return values + strength[..., None] * parameters[0][:, None]


@dataclass(frozen=True, eq=False)
class AddInSubspace:
    """Add the projection of a direction onto a subspace, times the strength.

    Attributes:
        direction: ``[width]``.
        subspace: ``[k, width]``; only its span matters.
    """

    direction: Any
    subspace: Any
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        direction = _direction(self.direction, "direction")
        basis = _orthonormal(self.subspace, "subspace").to(direction.device)
        object.__setattr__(self, "direction", direction)
        object.__setattr__(self, "subspace", basis)

    def parameters(self) -> Tensors:
        """The projection of the direction onto the subspace."""
        return ((self.direction @ self.subspace.T) @ self.subspace,)

    apply = staticmethod(Add.apply)


@dataclass(frozen=True, eq=False)
class ProjectOut:
    """Remove the component along a direction or within a subspace.

    Source: directional ablation, Arditi et al. 2024, arXiv:2406.11717.

    Attributes:
        subspace: ``[width]`` or ``[k, width]``; only its span matters.
    """

    subspace: Any
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "subspace", _orthonormal(self.subspace, "subspace"))

    def parameters(self) -> Tensors:
        """An orthonormal basis ``[k, width]``; vectors of zeros in a stack change nothing."""
        return (self.subspace,)

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """X − s·B'Bx."""
        del seen
        (basis,) = parameters
        return values - strength[..., None] * ((values @ basis.mT) @ basis)


@dataclass(frozen=True, eq=False)
class SetComponent:
    """Set the component along a direction to a value.

    Attributes:
        direction: ``[width]``; its length does not matter.
        value: The component along the unit vector, in the units of the activations.
    """

    direction: Any
    value: float
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "direction", _unit(self.direction, "direction"))

    def parameters(self) -> Tensors:
        """The unit vector and the value."""
        return self.direction, torch.tensor([float(self.value)])

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """X + s·(c − u·x)u."""
        del seen
        unit, wanted = parameters
        now = torch.einsum("epw,ew->ep", values, unit)
        return values + (strength * (wanted - now))[..., None] * unit[:, None]


@dataclass(frozen=True, eq=False)
class Ablate:
    """Replace activations at every position by one value: zero, or a mean over prompts.

    Attributes:
        value: ``[width]``. ``ablate_zero`` and ``ablate_mean`` make the usual operators.
    """

    value: Any
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _direction(self.value, "ablation value"))

    def parameters(self) -> Tensors:
        """``value``."""
        return (self.value,)

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """(1 − s)x + s·v; exactly v at strength 1 and exactly x at 0."""
        del seen
        target = parameters[0][:, None].expand_as(values)
        return torch.lerp(values, target, strength[..., None].expand_as(values))


def ablate_zero(width: int) -> Ablate:
    """Make the operator that replaces activations by zero."""
    return Ablate(torch.zeros(width))


def ablate_mean(mean: Any, measured_at: Site | None = None) -> Ablate:
    """Make the operator that replaces activations by a mean over other prompts at the same site.

    Source: mean ablation, Wang et al. 2022, arXiv:2211.00593.
    """
    return Ablate(mean, measured_at)


@dataclass(frozen=True, eq=False)
class Replace:
    """Replace activations by those of another run, position by position.

    At point ``z`` this is activation patching of a head's output, with the pattern and values of
    the other run. With a run of an unrelated prompt it is resample ablation.

    Source: activation patching, Vig et al. 2020, arXiv:2004.12265; resampling, Chan et al. 2022.

    Attributes:
        source: ``[pos, width]``: new activations for each position of the row's prompt, of the same
            number of positions; only those at covered positions are used.
    """

    source: Any
    measured_at: Site | None = None
    needs = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "source", _source_positions(self.source))

    def parameters(self) -> Tensors:
        """``source``."""
        return (self.source,)

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """(1 − s)x + s·v at each position."""
        (source,) = parameters
        entries, positions = (torch.arange(n, device=values.device) for n in values.shape[:2])
        # Positions outside of the source are padding or generated, and thus have strength 0.
        known = (seen.first[:, None] + positions).clamp(0, source.shape[1] - 1)
        weight = strength[..., None].expand_as(values)
        return torch.lerp(values, source[entries[:, None], known], weight)


@dataclass(frozen=True, eq=False)
class ReplaceV(Replace):
    """Replace one query head's values by those of another run, and keep its attention pattern.

    The head's output becomes A v′: A is the pattern of the patched run, and v′ has the other run's
    values at the covered positions. The key/value head does not change, nor do the other query
    heads of its group. The output changes at the prompt's positions alone: generated tokens read
    the model's own values there, from its cache.

    Attributes:
        source: ``[pos, d_head]``: new values for each position of the row's prompt.
    """

    needs = frozenset({Need.PATTERN, Need.V, Need.WHOLE_PROMPT})

    @staticmethod
    def apply(values: Values, strength: Alphas, parameters: Tensors, seen: Pass) -> Values:
        """Z + A(v′ − v); exactly z where v′ is v."""
        before = seen.shown[Need.V]
        after = Replace.apply(before, strength, parameters, seen)
        return values + seen.shown[Need.PATTERN] @ (after - before)
