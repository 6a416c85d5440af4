"""What each result of a study would be made from today."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import emotion_circuits
from emotion_circuits.errors import InputError
from emotion_circuits.node_marks import is_content_with_less, is_never_kept
from emotion_circuits.phase_settings import PhaseSettings
from emotion_circuits.provenance.differences import NOT_HERE, differences, may_be_equal
from emotion_circuits.provenance.files import digests_of, result_files
from emotion_circuits.provenance.record import Record, RecordFolder

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node

_PARAMETERS: Final = "params:"


@dataclass(frozen=True)
class Recipe:
    """What a dataset is made from.

    Attributes:
        digest: Digest of all that it depends on.
        conditions: Values that it depends on, by name.
    """

    digest: str
    conditions: Mapping[str, Any]


@dataclass(frozen=True)
class Mixed:
    """A result on disk that would be another today.

    Attributes:
        node: The node that makes it.
        differences: What it was made from, and what it would be made from today.
    """

    node: Node
    differences: str


def digest_of(value: Any) -> str:
    """Return the SHA-256 of plain data, independent of the order of keys."""
    text = json.dumps(value, sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def flat(name: str, value: Any) -> dict[str, Any]:
    """Return the values of nested tables by dotted names; lists are values."""
    if not isinstance(value, Mapping):
        return {name: value}
    parts = [flat(f"{name}.{key}", item) for key, item in value.items()]
    return {key: item for part in parts for key, item in part.items()}


class Recipes:
    """Recipes of all datasets, from today's parameters, models and data.

    A result that the run will not make counts as it is on disk: one without a record, or whose
    file was changed since, is a source like any other file. One that was made from models or data
    which are not on this machine counts as its record says, if nothing else differs.
    """

    def __init__(
        self,
        catalog: CatalogProtocol,
        producers: Mapping[str, Node],
        settings: Mapping[str, type],
        folder: RecordFolder,
        digest: Callable[[Path], str],
        asked: Collection[str],
    ) -> None:
        """Describe a study.

        Args:
            catalog: Its datasets and parameters.
            producers: The node that makes each result.
            settings: The class of each group of parameters.
            folder: Records of the results that are there.
            digest: Returns the digest of a file's content.
            asked: Models and data whose present version on the hub matters, as a run reads them.
        """
        self._catalog, self._producers, self._settings = catalog, producers, settings
        self._folder, self._digest, self._asked = folder, digest, asked
        self._known: dict[str, Recipe | None] = {}
        self._records: dict[str, Record | None] = {}
        self.made: Collection[str] = ()
        self.accepted = False
        self.mixed: dict[str, Mixed] = {}
        self.unrecorded: set[str] = set()

    def assume(self, made: Collection[str], *, accepted: bool) -> None:
        """State what the run makes.

        Args:
            made: Results that the run makes; all others are read as they are.
            accepted: Whether results of other parameters are used as they are.
        """
        self.made, self.accepted = set(made), accepted
        self._known, self.mixed, self.unrecorded = {}, {}, set()

    def files(self, name: str) -> list[Path] | None:
        """Return a result's files; see ``result_files``."""
        return result_files(self._catalog, name)

    def record_on_disk(self, name: str) -> Record | None:
        """Return a result's record, if its files are there and are those of the record."""
        if name not in self._records:
            files, record = self.files(name), self._folder.read(name)
            if record is not None and files:
                found = digests_of(files, self._folder.path.parent, self._digest)
                record = record if found == dict(record.files) else None
            self._records[name] = record if files else None
        return self._records[name]

    def of(self, name: str) -> Recipe | None:
        """Return a dataset's recipe; None if it depends on something that cannot be identified."""
        if name not in self._known:
            node = self._producers.get(name)
            if node is None:
                self._known[name] = self._of_source(name)
            elif name in self.made or not self.files(name):
                self._known[name] = self._made_by(node, name)
            else:
                self._known[name] = self._as_it_is(node, name)
        return self._known[name]

    def _as_it_is(self, node: Node, name: str) -> Recipe | None:
        """Return the recipe of a result that is read from disk, and note if it is another's."""
        record = self.record_on_disk(name)
        if record is None:
            self.unrecorded.add(name)
            files = digests_of(self.files(name) or [], self._folder.path.parent, self._digest)
            return Recipe(digest_of(files), {f"{name} (file)": sorted(files.values())})
        today = self._made_by(node, name)
        then = Recipe(record.digest, record.conditions)
        if today is None or may_be_equal(then.conditions, today.conditions):
            return then
        if today.digest != then.digest:
            self.mixed[name] = Mixed(node, differences(then.conditions, today.conditions))
            return then if self.accepted else today
        return today

    def _of_source(self, name: str) -> Recipe | None:
        """Return the recipe of a file or model that no node makes."""
        dataset: Any = self._catalog.get(name)
        if hasattr(dataset, "fingerprint"):
            try:
                found = dataset.fingerprint(self._digest, ask=name in self._asked)
            except InputError:  # a node that reads it says why, if one does
                return Recipe(NOT_HERE, {name: NOT_HERE})
        else:
            path = getattr(dataset, "_filepath", None)
            if path is None or not Path(path).is_file():
                return None
            found = {"file": self._digest(Path(path))}
        conditions = flat(name, found)
        return Recipe(digest_of([name, conditions]), conditions)

    def _made_by(self, node: Node, name: str) -> Recipe | None:
        record = self.record_of(node, name)
        return None if record is None else Recipe(record.digest, record.conditions)

    def record_of(self, node: Node, name: str) -> Record | None:
        """Return the record, without files, of a result that a node would make today."""
        if is_never_kept(node):
            return None
        parameters: dict[str, Any] = {}
        inputs: dict[str, str] = {}
        before: dict[str, Any] = {}
        for source in dict.fromkeys(node.inputs):
            if source.startswith(_PARAMETERS):
                parameters |= self._parameters(source.removeprefix(_PARAMETERS))
                continue
            recipe = self._absent(source) if self._is_absent(node, source) else self.of(source)
            if recipe is None:
                return None
            inputs[source] = recipe.digest
            before = _merged(before, recipe.conditions)
        version = emotion_circuits.__version__
        made_from = [node.name, name, version, parameters, inputs]
        conditions = {"emotion_circuits": version, **before}
        return Record(
            dataset=name,
            node=node.name,
            version=version,
            digest=digest_of(made_from),
            parameters=parameters,
            inputs=inputs,
            before=conditions,
            files={},
        )

    def _is_absent(self, node: Node, source: str) -> bool:
        """Return whether a node gets None for an input."""
        if not is_content_with_less(node) or source in self.made:
            return False
        return not self._catalog.exists(source)

    def _absent(self, source: str) -> Recipe:
        return Recipe("absent", {source: "absent"})

    def _parameters(self, name: str) -> dict[str, Any]:
        value = self._catalog.load(_PARAMETERS + name)
        settings = self._settings.get(name)
        if isinstance(value, dict) and settings is not None:
            try:
                value = settings.model_validate(value)  # type: ignore[attr-defined]
            except InputError as error:
                raise InputError(f"parameters {name}: {error}") from error
        if isinstance(value, PhaseSettings):
            value = value.with_effect()
        # As JSON gives it back, so that it can be compared with a record's.
        return flat(name, json.loads(json.dumps(value, default=str)))


def _merged(known: dict[str, Any], more: Mapping[str, Any]) -> dict[str, Any]:
    """Join the conditions of two inputs; a value that differs becomes a table of both."""
    merged = dict(known)
    for name, value in more.items():
        if name in merged and merged[name] != value:
            merged[name] = {"mixed": sorted([merged[name], value], key=repr)}
        else:
            merged[name] = value
    return merged
