"""Recalls: deliveries that were accepted, and that their producer has taken back since.

A run refuses what was recalled before it, but nobody runs a day again because of a mark that was put beside its file.
So whoever sweeps looks: at one listing of each feed's folder, and at no more marks than stand beside something that is
served. What it finds is a fact about that very load; the rules answer it, and with it whatever was built from the load.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interlock import logs
from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Layer
from interlock.control import findings
from interlock.control.findings import Fact, Finding
from interlock.control.questions import NOT_PLAIN
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import InterlockError
from interlock.ingestion.landing import ALL, landing, modified_in, pattern_of
from interlock.ingestion.recall_marks import RecallMark, recall_mark_of, recalled_files

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.control.questions import Actor
    from interlock.db.connection import Connection

logger = logging.getLogger(__name__)


def look(by: Actor) -> list[InterlockError]:
    """Report every recall of what is served, and let the rules answer; returns what was in the way of looking.

    A feed that cannot be looked at does not hide the recalls of the others.
    """
    found: list[Finding] = []
    failures: list[InterlockError] = []
    with connect(Role.OPERATOR, autocommit=True) as connection:
        for contract in load_contracts().values():
            if contract.layer is not Layer.RAW:
                continue
            try:
                with translated(), logs.bound(dataset=contract.dataset):
                    found += recalled(connection, contract)
            except InterlockError as error:
                logger.warning("recalls of %s could not be looked for: %s", contract.dataset, error)
                failures.append(error)
    try:
        if found:
            findings.report_all(found, by)
    except InterlockError as error:
        logger.warning("%s recalls could not be reported: %s", len(found), error)
        failures.append(error)
    return failures


def recalled(connection: Connection, contract: Contract) -> list[Finding]:
    """The recalls of what a feed serves that nobody has reported yet, one for each load."""
    root, pattern = landing(), pattern_of(contract)
    files: dict[str, list[str]] = {}
    for file in sorted(recalled_files(root, contract.dataset)):
        said = pattern.read(file.rsplit("/", 1)[-1])
        if said is not None:
            files.setdefault(said.get("partition", ALL), []).append(file)
    if not files:
        return []
    named = [file for of_partition in files.values() for file in of_partition]
    served = connection.execute(
        "select * from interlock.recallable_loads(%s, %s, %s)", [contract.dataset, list(files), named]
    ).fetchall()
    found: dict[int, Finding] = {}
    for partition, load_id, sha256, file, fingerprint in served:
        mark = recall_mark_of(root, file)
        if mark is not None and mark.covers(modified_in(fingerprint), sha256):
            found[load_id] = _finding(contract.dataset, partition, load_id, mark)
    return list(found.values())


def _finding(dataset: str, partition: str, load_id: int, mark: RecallMark) -> Finding:
    return Finding(
        kind=Fact.PRODUCER_RECALL,
        dataset=dataset,
        partition=partition,
        version=load_id,
        root=NOT_PLAIN.sub("?", f"recall:{mark.file}:{load_id}")[:500],
        message=f"{mark.file} was recalled by its producer: {mark.reason.rstrip('.')}.",
        evidence={"mark": mark.model_dump(mode="json")},
    )
