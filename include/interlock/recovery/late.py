"""Late deliveries: what lies in the landing folder for a day that was run already, and that nobody will name again.

The schedule runs each day once. Rows that come after it, an increment of yesterday or a corrected file, would lie
there until somebody happened to run that day, and the published day would be *safe* without them. So maintenance
looks: at one listing of each feed's folder, and at no more days than the contract's `late` before the newest one that
was accepted. What it finds is queued like any other rebuild, and goes through the ordinary chain and its gates.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from interlock import logs
from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Grain, Layer
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import InterlockError
from interlock.ingestion import landing, marks

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.ingestion.landing import Delivery

logger = logging.getLogger(__name__)

SHOWN_FILES = 5


def queue() -> list[InterlockError]:
    """Queue a rebuild for every day with a delivery that no run has taken up; returns what was in the way of looking.

    A feed that cannot be looked at must not hold up the others, nor the rebuilds that are queued already.
    """
    failures: list[InterlockError] = []
    with connect(Role.OPERATOR, autocommit=True) as connection:
        for contract in load_contracts().values():
            if contract.layer is not Layer.RAW or contract.partition.grain is not Grain.DAY:
                continue
            try:
                with translated(), logs.bound(dataset=contract.dataset):
                    _queue(connection, contract)
            except InterlockError as error:
                logger.warning("late deliveries of %s could not be looked for: %s", contract.dataset, error)
                failures.append(error)
    return failures


def _queue(connection: Connection, contract: Contract) -> None:
    for partition, deliveries in late_deliveries(connection, contract).items():
        files = ", ".join(f"{delivery.file} ({delivery.fingerprint.strip()})" for delivery in deliveries[:SHOWN_FILES])
        more = f" and {len(deliveries) - SHOWN_FILES} more" if len(deliveries) > SHOWN_FILES else ""
        with logs.bound(partition=partition):
            logger.info("late: %s%s", files, more)
        connection.execute(
            "select interlock.request_late(%s, %s, %s)",
            [contract.dataset, partition, f"delivered late: {files}{more}"],
        )


def late_deliveries(connection: Connection, contract: Contract) -> dict[str, list[Delivery]]:
    """The deliveries that no run has taken up, by day, of the days that the contract still looks back to."""
    if contract.delivery is None or not contract.delivery.late:
        return {}
    asked = {"dataset": contract.dataset, "days": contract.delivery.late.days}
    days = [day for (day,) in connection.execute(statement("recovery/late_window.sql"), asked)]
    if not days:
        return {}
    taken_up = set(connection.execute(statement("recovery/taken_up.sql"), {**asked, "partitions": days}))
    found: dict[str, list[Delivery]] = {}
    for delivery in landing.pending(contract, days):
        found.setdefault(delivery.partition, []).append(delivery)
    late: dict[str, list[Delivery]] = {}
    for partition, deliveries in found.items():
        unknown = [
            delivery
            for delivery in landing.that_count(contract, deliveries)
            if (delivery.file, delivery.fingerprint) not in taken_up and _is_whole(contract, delivery)
        ]
        if unknown:
            late[partition] = unknown
    return late


def _is_whole(contract: Contract, delivery: Delivery) -> bool:
    """Whether its producer has said that it is complete, where the contract has them say so."""
    if contract.delivery is None or contract.delivery.mark != "required":
        return True
    return landing.landing().facts(delivery.file + marks.SUFFIX) is not None
