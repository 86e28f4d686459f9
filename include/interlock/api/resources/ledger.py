"""The ledger of a partition: where every row came from and went to, from the lines of a file on."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from interlock.api.caching import conditional
from interlock.api.identity import Reader
from interlock.api.problems import answers
from interlock.api.selecting import PartitionName, partition_of
from interlock.api.state import ReadableDataset
from interlock.control.questions import Right
from interlock.publishing.ledger import Accounts, accounts

router = APIRouter(tags=["ledger"])


class Ledger(Accounts):
    """The steps into a partition. `is_balanced`: each account of them balances; `hidden` are steps of domains
    that the caller may not read.
    """

    is_balanced: bool
    hidden: int


@router.get("/datasets/{dataset}/partitions/{partition}/ledger", response_model=Ledger, responses=answers(304, 404))
def ledger_of_partition(
    dataset: ReadableDataset, partition: PartitionName, caller: Reader, request: Request
) -> Response:
    """Its accounts, the first step first: what was read, quarantined, deduplicated, dropped, added and written."""
    found = accounts(dataset.name, partition_of(dataset, partition))
    shown = tuple(entry for entry in found.entries if caller.may(Right.READ, entry.domain))
    ledger = Ledger(
        dataset=found.dataset,
        partition=found.partition,
        entries=shown,
        is_balanced=found.balances,
        hidden=len(found.entries) - len(shown),
    )
    return conditional(request, ledger)
