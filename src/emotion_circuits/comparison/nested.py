"""Comparison of two nested results: dictionaries, lists, arrays and single values."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any, Final

import numpy as np
from torch import Tensor

from emotion_circuits.comparison.tables import COORDINATES
from emotion_circuits.comparison.tally import Tally

Tallies = dict[str, Tally]

# A key of this form names a field; any other key, such as a prompt or a layer, is data.
_FIELD: Final = re.compile(r"(?=.*[^\W\d])[\w.:/+-]{1,48}")
_ANY: Final = "*"


def compare_nested(
    reference: Any, candidate: Any, *, new_tally: Callable[[], Tally], key: str = ""
) -> Tallies:
    """Compare two objects of containers, numbers, texts, arrays and tensors.

    Values are tallied by their path. Indices of lists, and keys that are data, such as prompts and
    layers, are written ``*``: ``sweep_results.anger.*.*.fluency.*`` stands for all layers,
    strengths and prompts. Dictionaries in two lists are matched by their coordinates if these are
    unique in each list, and by index otherwise.

    Args:
        reference: The object that is taken as correct.
        candidate: The object to compare with the reference.
        new_tally: Creates an empty tally.
        key: Path of both objects.

    Returns:
        A tally for each path.
    """
    walk = _Walk(new_tally)
    walk.compare(reference, candidate, key)
    return walk.tallies


class _Walk:
    """Walks through two objects in parallel and tallies their values."""

    def __init__(self, new_tally: Callable[[], Tally]) -> None:
        self.tallies: defaultdict[str, Tally] = defaultdict(new_tally)

    def compare(self, first: Any, second: Any, path: str) -> None:
        first, second = _as_array(first), _as_array(second)
        if isinstance(first, Mapping) and isinstance(second, Mapping):
            self._compare_keys(_by_key(first), _by_key(second), path)
        elif isinstance(first, np.ndarray) and isinstance(second, np.ndarray):
            compare_arrays(first, second, self.tallies[path])
        elif _is_list(first) and _is_list(second):
            self._compare_keys(*_matched(first, second), path)
        elif type(first) is not type(second) and (_is_container(first) or _is_container(second)):
            self.tallies[path].rows += 1
            self.tallies[path].different += 1
            self.tallies[path].note = f"{type(first).__name__} against {type(second).__name__}"
        else:
            self.tallies[path].add(first, second)

    def _compare_keys(self, first: Mapping[Any, Any], second: Mapping[Any, Any], path: str) -> None:
        for name, value in first.items():
            if name in second:
                self.compare(value, second[name], _below(path, name))
            else:
                self.tallies[_below(path, name)].missing_candidate += 1
        for name in second.keys() - first.keys():
            self.tallies[_below(path, name)].missing_reference += 1


def compare_arrays(first: np.ndarray, second: np.ndarray, tally: Tally) -> None:
    """Compare two arrays by value; if shapes differ, all values count as missing on both sides."""
    if first.shape != second.shape:
        tally.missing_reference += second.size
        tally.missing_candidate += first.size
        tally.note = f"shape {list(first.shape)} against {list(second.shape)}"
    elif _is_numeric(first) and _is_numeric(second):
        tally.add_numbers(first, second)
    else:
        tally.rows += first.size
        tally.different += int((first != second).sum())


def _by_key(mapping: Mapping[Any, Any]) -> dict[Hashable, Any]:
    """Return a dictionary with numpy keys replaced by Python numbers, so that equal keys match."""
    return {key.item() if isinstance(key, np.generic) else key: v for key, v in mapping.items()}


def _below(path: str, name: Hashable) -> str:
    written = name if isinstance(name, str) and _FIELD.fullmatch(name) else _ANY
    return f"{path}.{written}".lstrip(".")


def _as_array(value: Any) -> Any:
    """Convert tensors and lists of numbers to arrays; return other values unchanged."""
    if isinstance(value, Tensor):
        return value.detach().cpu().double().numpy() if value.is_floating_point() else value.numpy()
    if _is_list(value) and len(value) and all(type(item) in (int, float) for item in value):
        try:
            return np.asarray(value, dtype=float)
        except OverflowError:
            return value
    return value


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_container(value: Any) -> bool:
    return isinstance(value, Mapping | list | tuple | set | frozenset | np.ndarray)


def _is_numeric(values: np.ndarray) -> bool:
    return values.dtype.kind in "biufc"


def _matched(first: Sequence[Any], second: Sequence[Any]) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Return two lists as dictionaries by coordinates, or by index."""
    named = [_by_coordinates(items) for items in (first, second)]
    if named[0] is not None and named[1] is not None:
        return named[0], named[1]
    return dict(enumerate(first)), dict(enumerate(second))


def _by_coordinates(items: Sequence[Any]) -> dict[Any, Any] | None:
    """Return dictionaries by their coordinates; None where these are not unique."""
    if not all(isinstance(item, Mapping) for item in items):
        return None
    by_coordinates = {
        tuple((n, v) for n, v in sorted(item.items()) if n in COORDINATES and _is_plain(v)): item
        for item in items
    }
    unique = len(by_coordinates) == len(items) and () not in by_coordinates
    return by_coordinates if unique else None


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, str | int | float)
