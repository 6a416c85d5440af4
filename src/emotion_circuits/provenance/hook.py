"""Kedro hook that writes the record of each result beside the results."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kedro.framework.hooks import hook_impl

from emotion_circuits.provenance.file_digests import FileDigests
from emotion_circuits.provenance.files import digests_of, result_files
from emotion_circuits.provenance.record import Record, RecordFolder

if TYPE_CHECKING:
    from kedro.io import CatalogProtocol
    from kedro.pipeline.node import Node


def records_of(catalog: CatalogProtocol) -> RecordFolder:
    """Return the folder of the profile's records."""
    dataset: Any = catalog.get("provenance")
    return RecordFolder(Path(dataset._filepath))


class ProvenanceHook:
    """Writes the record of each result after it was saved, in whichever process that is.

    A kill between the two leaves a result with the record of the former one or with none, so that
    the next run makes it again.
    """

    def __init__(self) -> None:
        self._catalog: CatalogProtocol | None = None
        self._records: dict[str, Record] = {}

    @hook_impl
    def before_node_run(self, catalog: CatalogProtocol) -> None:
        """Read, once for each run, the records of the results that it makes."""
        if catalog is not self._catalog:
            self._catalog = catalog
            self._records = records_of(catalog).announced()

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, node: Node) -> None:
        """Add the digests of a result's files to its record, and write it."""
        record = self._records.get(dataset_name)
        if self._catalog is None or record is None or record.node != node.name:
            return
        files = result_files(self._catalog, dataset_name)
        if files is None:
            return
        folder = records_of(self._catalog)
        digests = FileDigests(folder.path)
        found = digests_of(files, folder.path.parent, digests)
        folder.write(replace(record, files=found))
        digests.save()
