"""How much of one model's emotion subspace is another's, before and after a map between them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int

from emotion_circuits.geometry import angles, angles_oracle, maps_torch
from emotion_circuits.geometry.canonical import principal_basis
from emotion_circuits.geometry.maps import LinearMap, MapOptions, turn_with_shuffled_pairs
from emotion_circuits.geometry.subspaces import fit_subspace
from emotion_circuits.seeds import rng_for


class Both(NamedTuple):
    """The same thing of both models.

    Attributes:
        a: Of the model that is mapped.
        b: Of the model that is mapped onto.
    """

    a: np.ndarray
    b: np.ndarray


@dataclass(frozen=True)
class LayerPair:
    """What two models' matched layers hold.

    Attributes:
        neutral: Training activations of neutral prompts, ``[prompt, position, d_model]``.
        differences: For each label the held-out paired differences, ``[pair, d_model]``, in
            the same order of pairs for both models. Labels with as many pairs are drawn
            together in resamples, so their pairs should be of the same scenarios in one order.
        trained: For each label the subspaces that phase 3 fitted on training prompts.
        emotions: Which labels are emotions; each is also compared with the others of them.
    """

    neutral: Both
    differences: Mapping[str, Both]
    trained: Mapping[str, Both]
    emotions: tuple[str, ...]


class Overlaps(NamedTuple):
    """Overlaps of one label's subspaces at one pair of layers, for k = 1 … the most there are.

    Attributes:
        before: Without a map: in the models' own coordinates if these have the same number,
            else in principal components of neutral activations, matched by order.
        after: After A's was mapped into B.
        mean_angle: Mean principal angle after, in radians.
        null: After, by maps of shuffled pairs.
        resampled: After, with both subspaces fitted to held-out pairs drawn with replacement;
            NaN where a draw spans too little.
        resampled_other: ``other`` in the same draws.
        split: A's of one half of the pairs, mapped, with B's of the other half.
        ceiling: B's of one half with B's of the other.
        other: After, with B's subspaces of the other emotions, averaged.
        trained: After, between the subspaces of phase 3.
        chance: Mean overlap of subspaces that have nothing to do with each other, in B.
        chance_before: The same for ``before``.
    """

    before: Float[np.ndarray, " k"]
    after: Float[np.ndarray, " k"]
    mean_angle: Float[np.ndarray, " k"]
    null: Float[np.ndarray, "shuffle k"]
    resampled: Float[np.ndarray, "resample k"]
    resampled_other: Float[np.ndarray, "resample k"]
    split: Float[np.ndarray, " k"]
    ceiling: Float[np.ndarray, " k"]
    other: Float[np.ndarray, " k"]
    trained: Float[np.ndarray, " k"]
    chance: Float[np.ndarray, " k"]
    chance_before: Float[np.ndarray, " k"]


def measure_overlaps(
    layer: LayerPair,
    fitted: LinearMap,
    shuffles: Int[np.ndarray, "shuffle prompt"],
    *,
    k_max: int,
    center: bool,
    n_splits: int,
    n_resamples: int,
    seed: int,
    options: MapOptions,
) -> dict[str, Overlaps]:
    """Compare the subspaces of each label at one pair of layers.

    Args:
        layer: The two models' data.
        fitted: The map from A to B.
        shuffles: For each shuffle, which of B's neutral prompts is paired with each of A's.
        k_max: Most directions of a subspace; fewer where the pairs do not span as many.
        center: Whether subspaces leave out the mean difference.
        n_splits: Random halvings of the pairs.
        n_resamples: Bootstrap draws of the pairs; the same for every layer and label.
        seed: Of halvings and draws.
        options: How the map was learned.

    Returns:
        Overlaps for each label; a label whose differences are all zero is left out.
    """
    spans = {}
    for label, differences in layer.differences.items():
        size = min(k_max, *(_rank(rows, center) for rows in differences))
        if size:
            spans[label] = Both(*(_span(rows, size, center, options) for rows in differences))
    if not spans:
        return {}
    stacked = np.concatenate([span.a for span in spans.values()])
    shuffled = turn_with_shuffled_pairs(
        *layer.neutral, stacked, shuffles, fitted=fitted, options=options
    )
    resampled = _resample(
        layer,
        fitted,
        sizes={label: len(span.a) for label, span in spans.items()},
        center=center,
        n_resamples=n_resamples,
        seed=seed,
        options=options,
    )
    found, start = {}, 0
    for label, span in spans.items():
        stop = start + len(span.a)
        turned = fitted.turn(span.a)
        before, room = _before(span, layer.neutral, options)
        split, ceiling = _split_halves(
            layer.differences[label],
            fitted,
            size=len(span.a),
            center=center,
            rng=rng_for(seed, "halves_of_pairs", label),
            n_splits=n_splits,
            options=options,
        )
        sizes = np.arange(1, len(span.a) + 1)
        found[label] = Overlaps(
            before=before,
            after=overlaps_of(turned, span.b, options),
            mean_angle=mean_angles_of(turned, span.b, options),
            null=overlaps_of(shuffled[:, start:stop], span.b, options),
            resampled=resampled[label][0],
            resampled_other=resampled[label][1],
            split=split,
            ceiling=ceiling,
            other=_with_others(label, turned, spans, layer.emotions, options),
            trained=_trained(layer.trained.get(label), fitted, len(span.a), options),
            chance=sizes / span.b.shape[1],
            chance_before=np.minimum(sizes / room, 1.0),
        )
        start = stop
    return found


def overlaps_of(
    left: Float[np.ndarray, "*batch k d_model"],
    right: Float[np.ndarray, "k d_model"],
    options: MapOptions,
) -> Float[np.ndarray, "*batch k"]:
    """Overlap of the first j directions of both, for j = 1 … k, by the backend asked for."""
    if options.backend == "numpy":
        flat = left.reshape(-1, *left.shape[-2:])
        rows = np.stack([angles_oracle.nested_overlaps(one, right) for one in flat])
        return rows.reshape(left.shape[:-1])
    device = options.device
    moved = angles.nested_overlaps(maps_torch.move(left, device), maps_torch.move(right, device))
    return moved.cpu().numpy()


def mean_angles_of(
    left: Float[np.ndarray, "k d_model"],
    right: Float[np.ndarray, "k d_model"],
    options: MapOptions,
) -> Float[np.ndarray, " k"]:
    """Mean principal angle of the first j directions of both, in radians, for j = 1 … k."""
    sizes = range(1, len(left) + 1)
    if options.backend == "numpy":
        return np.array(
            [angles_oracle.principal_angles(left[:size], right[:size]).mean() for size in sizes]
        )
    first, second = (maps_torch.move(rows, options.device) for rows in (left, right))
    return np.array(
        [float(angles.principal_angles(first[:size], second[:size]).mean()) for size in sizes]
    )


def _rank(differences: np.ndarray, center: bool) -> int:
    rows = differences - differences.mean(axis=0) if center else differences
    # Centred rows are one fewer than they look, and rounding must not count as a direction.
    return min(angles.numerical_rank(rows), len(rows) - int(center))


def _span(differences: np.ndarray, size: int, center: bool, options: MapOptions) -> np.ndarray:
    return fit_subspace(
        differences,
        n_components=size,
        center=center,
        backend="torch" if options.backend == "torch" else "sklearn",
        device=torch.device(options.device),
    ).components


def _before(span: Both, neutral: Both, options: MapOptions) -> tuple[np.ndarray, int]:
    """Overlap without a map, and the number of dimensions it was measured in."""
    width_a, width_b = (rows.shape[1] for rows in span)
    if width_a == width_b:
        return overlaps_of(span.a, span.b, options), width_a
    bases = []
    for rows in neutral:
        centred = (rows - rows.mean(axis=0)).reshape(-1, rows.shape[-1])
        components = principal_basis(centred, whiten=False).components
        largest = np.abs(components).argmax(axis=1)
        bases.append(components * np.sign(components[np.arange(len(components)), largest])[:, None])
    room = min(len(basis) for basis in bases)
    first, second = (rows @ basis[:room].T for rows, basis in zip(span, bases, strict=True))
    return overlaps_of(first, second, options), room


def _split_halves(
    differences: Both,
    fitted: LinearMap,
    *,
    size: int,
    center: bool,
    rng: np.random.Generator,
    n_splits: int,
    options: MapOptions,
) -> tuple[np.ndarray, np.ndarray]:
    """Average overlaps between halves of the pairs: A with B, and B with itself."""
    n_pairs = len(differences.b)
    split, ceiling = np.full((2, n_splits, size), np.nan)
    for draw in range(n_splits):
        order = rng.permutation(n_pairs)
        one, two = np.sort(order[: n_pairs // 2]), np.sort(order[n_pairs // 2 :])
        halves = [differences.a[one], differences.b[one], differences.b[two]]
        if not len(one):
            continue
        kept = min(size, *(_rank(rows, center) for rows in halves))
        if kept < 1:
            continue
        first, own, second = (_span(rows, kept, center, options) for rows in halves)
        split[draw, :kept] = overlaps_of(fitted.turn(first), second, options)
        ceiling[draw, :kept] = overlaps_of(own, second, options)
    return _column_means(split), _column_means(ceiling)


def _resample(
    layer: LayerPair,
    fitted: LinearMap,
    *,
    sizes: Mapping[str, int],
    center: bool,
    n_resamples: int,
    seed: int,
    options: MapOptions,
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Overlaps, own and with other emotions, of subspaces fitted to pairs drawn with replacement.

    A draw is the same for both models, and for all labels with as many pairs.
    """
    rngs = {label: rng_for(seed, "resampled_pairs") for label in sizes}
    found = {label: np.full((2, n_resamples, size), np.nan) for label, size in sizes.items()}
    for draw in range(n_resamples):
        spans, turned = {}, {}
        for label, size in sizes.items():
            n_pairs = len(layer.differences[label].b)
            chosen = np.sort(rngs[label].integers(0, n_pairs, n_pairs))
            rows = [side[chosen] for side in layer.differences[label]]
            kept = min(size, *(_rank(side, center) for side in rows))
            if kept:
                spans[label] = Both(*(_span(side, kept, center, options) for side in rows))
                turned[label] = fitted.turn(spans[label].a)
        for label, span in spans.items():
            own, other = found[label][:, draw, : len(span.b)]
            own[:] = overlaps_of(turned[label], span.b, options)
            other[:] = _with_others(label, turned[label], spans, layer.emotions, options)
    return {label: (own, other) for label, (own, other) in found.items()}


def _column_means(rows: np.ndarray) -> np.ndarray:
    """Mean of each column over the rows that have it; NaN where none has."""
    count = (~np.isnan(rows)).sum(axis=0)
    means: np.ndarray = np.where(count > 0, np.nansum(rows, axis=0) / np.maximum(count, 1), np.nan)
    return means


def _with_others(
    label: str,
    turned: np.ndarray,
    spans: Mapping[str, Both],
    emotions: tuple[str, ...],
    options: MapOptions,
) -> np.ndarray:
    rows = np.full((len(emotions), len(turned)), np.nan)
    for place, other in enumerate(emotions):
        if other != label and other in spans:
            kept = min(len(turned), len(spans[other].b))
            rows[place, :kept] = overlaps_of(turned[:kept], spans[other].b[:kept], options)
    return _column_means(rows)


def _trained(
    subspaces: Both | None, fitted: LinearMap, size: int, options: MapOptions
) -> np.ndarray:
    found = np.full(size, np.nan)
    if subspaces is not None:
        kept = min(size, *(len(rows) for rows in subspaces))
        turned = fitted.turn(subspaces.a[:kept])
        found[:kept] = overlaps_of(turned, subspaces.b[:kept], options)
    return found
