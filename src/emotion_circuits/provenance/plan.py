"""Plan of a run: which nodes run, which results are kept, and what cannot be mixed."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.pipeline import Pipeline

from emotion_circuits.datasets.project_paths import relative_to_project
from emotion_circuits.errors import InputError
from emotion_circuits.node_marks import required_inputs
from emotion_circuits.provenance.recipe import Mixed, Recipes
from emotion_circuits.provenance.record import Record

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wishes:
    """What a user asked for beside the nodes to run.

    Attributes:
        fresh: Make the chosen results anew, whatever is there.
        accept_mixed: Use results of other parameters as they are.
        only_missing: Make results that are not there, and no others.
        dry_run: Show what would be made, and make nothing.
    """

    fresh: bool = False
    accept_mixed: bool = False
    only_missing: bool = False
    dry_run: bool = False

    @classmethod
    def read(cls, parameters: Mapping[str, Any], *, only_missing: bool) -> Wishes:
        """Read the runtime parameters ``fresh``, ``accept_mixed`` and ``dry_run``.

        Raises:
            InputError: If one of them is neither true nor false, or two contradict each other.
        """
        for name in ("fresh", "accept_mixed", "dry_run"):
            value = parameters.get(name, False)
            if not isinstance(value, bool):
                raise InputError(f"{name} is {value!r}; allowed are true and false")
        if parameters.get("fresh") and only_missing:
            raise InputError("fresh makes all results anew, --only-missing-outputs none; leave one")
        return cls(
            fresh=parameters.get("fresh", False),
            accept_mixed=parameters.get("accept_mixed", False),
            only_missing=only_missing,
            dry_run=parameters.get("dry_run", False),
        )


@dataclass(frozen=True)
class Plan:
    """A planned run.

    Attributes:
        nodes: Chosen nodes that run.
        upstream: Nodes that make missing inputs first.
        kept: Results of the chosen nodes that are kept.
        accepted: Line about each result of other parameters that is used.
        unrecorded: Results that are used although nothing says how they were made.
        records: Record, without files, of each result that the run makes.
    """

    nodes: list[Node]
    upstream: list[Node]
    kept: list[str]
    accepted: list[str]
    unrecorded: list[str]
    records: list[Record]


def make_plan(
    chosen: Pipeline,
    study: Pipeline,
    catalog: CatalogProtocol,
    recipes: Recipes,
    wishes: Wishes,
) -> Plan:
    """Decide which nodes run.

    Args:
        chosen: The selected nodes.
        study: Nodes that may make missing inputs.
        catalog: Tells which inputs exist.
        recipes: What each result would be made from today.
        wishes: What else the user asked for.

    Raises:
        InputError: If a node that runs would read a result of other parameters.
    """
    made = set() if wishes.only_missing else chosen.all_outputs()
    recipes.assume(made, accepted=wishes.accept_mixed)
    nodes = _stale(chosen, recipes, wishes)
    upstream = missing_upstream(Pipeline(nodes), study, catalog)
    running = [*nodes, *upstream]
    outputs = {name for node in running for name in node.outputs}
    recipes.assume(made | outputs, accepted=wishes.accept_mixed)
    records = [recipes.record_of(node, name) for node in running for name in node.outputs]
    read = {name for node in running for name in node.inputs} - outputs
    if wishes.only_missing:
        read |= _persistent(chosen, recipes) - outputs
    used = read | (chosen.inputs() if wishes.accept_mixed else set())
    for name in sorted(used):
        if not name.startswith("params:"):
            recipes.of(name)
    mixed = {name: result for name, result in recipes.mixed.items() if name in used}
    if mixed and not wishes.accept_mixed:
        raise _stop(mixed, recipes, wishes)
    return Plan(
        nodes=nodes,
        upstream=upstream,
        kept=sorted(_persistent(chosen, recipes) - outputs),
        accepted=_lines(mixed, recipes),
        unrecorded=sorted(recipes.unrecorded & used),
        records=[record for record in records if record is not None],
    )


def report(plan: Plan) -> None:
    """Log what is kept, what is made first, and what is used although it may not belong here."""
    made = {name for node in plan.nodes for name in node.outputs}
    equal = "" if plan.accepted or plan.unrecorded else ", of the same parameters, models and data"
    if plan.kept:
        n_all = len(plan.kept) + len(made)
        number = f"{len(plan.kept)} of {n_all} results are" if made else f"All {n_all} results are"
        logger.info("%s there%s, and kept; --params=fresh=true makes them anew", number, equal)
    phases = list(dict.fromkeys(tag for node in plan.upstream for tag in sorted(node.tags)))
    if phases:
        logger.info("Missing inputs are computed first: %s", ", ".join(phases))
    if plan.accepted:
        more = f" (and {len(plan.accepted) - 1} more results)" if len(plan.accepted) > 1 else ""
        logger.warning("%s%s; used as it is", plan.accepted[0], more)
    if plan.unrecorded:
        logger.warning(
            "Nothing records how %s came about, or files were changed since; used as they are",
            _named(plan.unrecorded),
        )


def _named(names: list[str], most: int = 5) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def _stale(chosen: Pipeline, recipes: Recipes, wishes: Wishes) -> list[Node]:
    """Return the nodes with a result that is missing or would be another today, in order.

    A node whose results are never on disk runs if a node that reads them does, or if none does.
    """
    stale: set[Node] = set()
    readers: dict[str, list[Node]] = {}
    for node in chosen.nodes:
        for name in node.inputs:
            readers.setdefault(name, []).append(node)
    for node in reversed(chosen.nodes):
        on_disk = [name for name in node.outputs if recipes.files(name) is not None]
        after = [reader for name in node.outputs for reader in readers.get(name, ())]
        needed = any(
            reader in stale
            for name in node.outputs
            if name not in on_disk
            for reader in readers.get(name, ())
        )
        ends = not on_disk and not after
        if wishes.fresh or needed or ends or not all(_is_kept(n, recipes, wishes) for n in on_disk):
            stale.add(node)
    return [node for node in chosen.nodes if node in stale]


def _is_kept(name: str, recipes: Recipes, wishes: Wishes) -> bool:
    """Return whether a result is there and, unless only missing ones are made, is today's."""
    if not recipes.files(name):
        return False
    if wishes.only_missing:
        return True
    record, today = recipes.record_on_disk(name), recipes.of(name)
    return record is not None and today is not None and record.digest == today.digest


def _persistent(chosen: Pipeline, recipes: Recipes) -> set[str]:
    return {name for name in chosen.all_outputs() if recipes.files(name) is not None}


def missing_upstream(chosen: Pipeline, study: Pipeline, catalog: CatalogProtocol) -> list[Node]:
    """Find the nodes that must run before a selection can run.

    Args:
        chosen: The selected nodes.
        study: All nodes that could produce their inputs.
        catalog: Tells which inputs exist.

    Returns:
        The nodes of ``study`` that produce missing inputs, directly or indirectly, in the study's
        order. Optional inputs (``takes_what_is_there``) count as not missing.
    """
    producers = {output: node for node in study.nodes for output in node.outputs}
    needed: set[Node] = set()
    wanted = [name for name in chosen.inputs() & required_inputs(chosen.nodes) if name in producers]
    while wanted:
        name = wanted.pop()
        node = producers.get(name)
        if node is None or node in needed or catalog.exists(name):
            continue
        needed.add(node)
        wanted.extend(required_inputs([node]))
    return [node for node in study.nodes if node in needed and node not in set(chosen.nodes)]


def _lines(mixed: Mapping[str, Mixed], recipes: Recipes) -> list[str]:
    """Describe results that were made from something else than today's."""
    return [
        f"{name} ({_shown(recipes.files(name) or [])}) was made otherwise: {result.differences}"
        for name, result in sorted(mixed.items())
    ]


def _shown(files: list[Path]) -> str:
    return relative_to_project(files[0]) if files else "no file"


def _stop(read: Mapping[str, Mixed], recipes: Recipes, wishes: Wishes) -> InputError:
    """Build the error that ends a run which would mix results."""
    lines = _lines(read, recipes)
    more = f" (and {len(lines) - 1} more results)" if len(lines) > 1 else ""
    if wishes.only_missing:
        again = "leave out --only-missing-outputs, which makes them anew"
    else:
        phases = dict.fromkeys(tag for result in recipes.mixed.values() for tag in result.node.tags)
        again = f"run --pipelines={','.join(phases)} first, which makes them anew"
    return InputError(
        f"{lines[0]}{more}; give the same values again, or {again}, or use them as they are: "
        "--params=accept_mixed=true"
    )
