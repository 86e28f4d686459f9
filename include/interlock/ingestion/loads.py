"""Loads: one delivery appended to raw, in one transaction with its record, or refused with a cause.

What is loaded is append-only and belongs to its load id; the raw gate decides later whether anybody reads
it. A refusal is a result, not an exception, so that one bad file of a range does not keep the others out;
what a retry may mend is raised. The same content as the newest load changes nothing: it is found by hashing
the file *before* the COPY, and only where its size or its mark do not already rule it out, so that a new
delivery is read once and a rerun writes nothing. The other way, COPY and then roll back, would leave a dead
copy of the rows with every rerun, in a table that is never rewritten.
"""

from __future__ import annotations

import logging
from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock import logs
from interlock.contracts.model import DriftPolicy
from interlock.db.failures import Refusal, Refused, translated
from interlock.ingestion import marks, quarantine
from interlock.ingestion.copying import copy_records
from interlock.ingestion.drift import drift_of, refusal
from interlock.ingestion.errors import (
    AmbiguousDelivery,
    ColumnsDrifted,
    DeliveryRefused,
    NoRows,
    NotDelivered,
    PartitionDenied,
    Recalled,
)
from interlock.ingestion.landing import (
    Delivery,
    example_name,
    landing,
    misnamed,
    pattern_of,
    pending,
    require_file,
    require_name,
    that_count,
)
from interlock.ingestion.recall_marks import recalled_files, require_not_withdrawn
from interlock.ingestion.records import Known, Records
from interlock.ingestion.sources import opened

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.ingestion.content import Content

logger = logging.getLogger(__name__)

EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Outcome(StrEnum):
    """What became of a delivery."""

    LOADED = "loaded"  # in raw under its load id, for the gate to judge
    DUPLICATE = "duplicate"  # the content that is accepted already
    REFUSED = "refused"
    QUARANTINED = "quarantined"  # refused, and kept as delivered
    ABSENT = "absent"  # nothing new, and what was accepted before stands
    OUTDATED = "outdated"  # older than what is served: recorded, and nothing changes


class LoadResult(BaseModel):
    """What became of one delivery. `error` says why where it was refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)

    outcome: Outcome
    partition: str
    file: str | None
    load_id: int | None = None
    rows: int = 0
    bytes: int = 0
    content_hash: str | None = None
    error: DeliveryRefused | None = None


class _Overtaken(Exception):
    """Another load of the same partition was committed meanwhile; it has to be compared with first."""


def load_partition(
    connection: Connection, run_id: int, token: int, contract: Contract, partition: str
) -> list[LoadResult]:
    """Bring what lies in the landing folder for one partition into raw, and say what became of each file.

    Of a `full-partition` feed only the newest delivery counts. Increments are taken in their own order, and the first
    one that is refused holds back those after it. Raises NotDelivered, NotComplete or LandingUnreachable where
    waiting may help; nothing is recorded against the producer then.
    """
    work = Loading(connection, run_id, token, contract)
    with logs.bound(dataset=contract.dataset, partition=partition):
        found = that_count(contract, pending(contract, [partition]))
        wrong, which = _wrong_names(contract, partition, found)
        if wrong is not None:
            return [work.refuse(partition, wrong, *which)]
        if contract.delivery is not None and contract.delivery.mode == "increment":
            return work.increments(partition, found)
        return [work.load(found[-1]) if found else work.absent(partition)]


def load(connection: Connection, run_id: int, token: int, contract: Contract, delivery: Delivery) -> LoadResult:
    """Load one delivery into raw, in one transaction with its record, as the role LOADER.

    A delivery that is not what the contract promises comes back as `refused` or `quarantined`, with its partition
    unsafe and its file untouched. Raises TransientFailure where the file or the storage is not ready.
    """
    return Loading(connection, run_id, token, contract).load(delivery)


class Loading:
    """One run's loads of one feed."""

    def __init__(self, connection: Connection, run_id: int, token: int, contract: Contract) -> None:
        self._connection = connection
        self._run = (run_id, token)
        self._contract = contract
        self._landing = landing()
        self._records = Records(connection, self._run, contract)
        self._newest_made = 0

    def load(self, delivery: Delivery) -> LoadResult:
        """See the function `load`."""
        with logs.bound(dataset=delivery.dataset, partition=delivery.partition):
            result = self._loaded(delivery)
            with logs.bound(load=result.load_id):
                logger.info("%s: %s, %s rows", delivery.file, result.outcome, f"{result.rows:,}")
        return result

    def increments(self, partition: str, found: list[Delivery]) -> list[LoadResult]:
        """Load the increments of a partition that are new, or that were written again since they were accepted.

        Where nothing new came but a finding is open, what is served goes to the gate once more: it may clear now.
        """
        with translated():
            self._records.withdraw(partition, found)
            known = self._records.accepted(partition)
        if not found:
            return [self.absent(partition)]
        recalled = recalled_files(self._landing, self._contract.dataset)
        results: list[LoadResult] = []
        for delivery in found:
            if (delivery.file, delivery.fingerprint) in known and delivery.file not in recalled:
                continue
            results.append(self.load(delivery))
            if results[-1].error is not None:
                return results
        if any(result.outcome is not Outcome.DUPLICATE for result in results):
            return results
        return [*results, self.standing(partition)]

    def refuse(self, partition: str, refused: DeliveryRefused, *deliveries: Delivery) -> LoadResult:
        """Record a refusal: the partition is unsafe from here on, unless its contract serves the last good version."""
        first, *others = deliveries or (None,)
        with translated(), self._connection.transaction():
            for other in others:
                self._records.write(Outcome.REFUSED, partition, other)
            self._records.refuse(Outcome.REFUSED, partition, refused, first)
        logger.warning("refused: %s", refused.message)
        return LoadResult(outcome=Outcome.REFUSED, partition=partition, file=refused.evidence["file"], error=refused)

    def absent(self, partition: str) -> LoadResult:
        """What the contract decides about a partition without a file.

        Where something was loaded before, its file may be gone by now (landing folders are emptied), and that
        changes nothing: what was accepted stands, and what is open on the partition stays open, since a refused
        correction that vanished has not made the old rows right. Otherwise `accept` makes an empty load, so that
        what is built from it can be built; a file that comes later is a new version like any other.
        """
        contract = self._contract
        pattern = pattern_of(contract)
        name = f"{contract.dataset}/{example_name(pattern, partition)}"
        with translated(), self._connection.transaction():
            known = self._records.newest(partition, None)
            if known is not None:
                if known.is_accepted:
                    self._records.write(Outcome.ABSENT, partition)
                    return self._result(Outcome.ABSENT, partition, None, known)
                self._records.write(Outcome.ABSENT, partition, known=known)
                return self._result(Outcome.LOADED, partition, None, known)
            if contract.delivery is not None and contract.delivery.absent == "accept":
                load_id = self._records.begin(partition, None, f"{name} (absent)")
                self._records.finish(load_id, 0, 0, EMPTY_HASH, None)
                self._records.write(Outcome.ABSENT, partition, known=self._records.newest(partition, None))
                return LoadResult(
                    outcome=Outcome.LOADED, partition=partition, file=None, load_id=load_id, content_hash=EMPTY_HASH
                )
        raise NotDelivered(
            f"{contract.dataset} {partition}: nothing was delivered. "
            f"Looked for {name} (plain or .gz) in {self._landing.place}.",
            fix="Wait for the delivery and run it again; if it should be there, ask its producer.",
        )

    def standing(self, partition: str) -> LoadResult:
        """Increments that were all accepted before: nothing changes, but what is open on them is judged again."""
        with translated():
            known = self._records.newest(partition, None)
            assert known is not None  # noqa: S101  (increments are known from their loads)
            self._records.write(Outcome.DUPLICATE, partition, known=known)
        outcome = Outcome.LOADED if known.needs_gate else Outcome.DUPLICATE
        return self._result(outcome, partition, None, known)

    def _loaded(self, delivery: Delivery) -> LoadResult:
        try:
            with translated():
                served = self._records.served_delivery(delivery.partition)
                if served is not None and delivery.delivered_on is not None and delivery.delivered_on < served:
                    return self._outdated(delivery)
                return self._load(delivery)
        except ColumnsDrifted as drifted:
            if drifted.evidence.pop("decision") is DriftPolicy.QUARANTINE:
                return self._quarantine(delivery, drifted)
            return self.refuse(delivery.partition, drifted, delivery)
        except DeliveryRefused as refused:
            return (
                self._taken_back(delivery, refused)
                if isinstance(refused, Recalled)
                else self.refuse(delivery.partition, refused, delivery)
            )
        except Refused as refused:
            if refused.refusal is not Refusal.OUTDATED:  # the newer one was accepted after the first look
                raise
            return self._outdated(delivery)

    def _outdated(self, delivery: Delivery) -> LoadResult:
        """A snapshot that is older than the one that is served must not undo it; nothing about it is wrong."""
        with translated():
            served = self._records.served_delivery(delivery.partition)
            said = (
                f"{delivery.file}: it is the delivery of {delivery.delivered_on}, and the one that is served is newer "
                f"({served}). It was not loaded and changes nothing."
            )
            error = {"code": "Outdated", "message": said}
            self._records.write(Outcome.OUTDATED, delivery.partition, delivery, error=error)
        logger.warning("%s", said)
        return LoadResult(outcome=Outcome.OUTDATED, partition=delivery.partition, file=delivery.file)

    def _taken_back(self, delivery: Delivery, recalled: Recalled) -> LoadResult:
        """A content that was recalled or quarantined does not come back, nor does it undo what is accepted instead.

        The partition becomes unsafe where that very content is what readers still see, or where nothing is there.
        """
        sha256 = recalled.evidence["sha256"]
        with translated():
            standing = self._records.standing(delivery)
            if standing is None or standing == (sha256, False):
                return self.refuse(delivery.partition, recalled, delivery)
            outcome = Outcome.REFUSED if standing[0] == sha256 else Outcome.OUTDATED
            error = {"code": recalled.code, "message": recalled.message, "evidence": recalled.evidence}
            self._records.write(outcome, delivery.partition, delivery, error=error)
        logger.warning("refused: %s", recalled.message)
        return LoadResult(
            outcome=Outcome.REFUSED, partition=delivery.partition, file=delivery.file, content_hash=sha256,
            error=recalled,
        )  # fmt: skip

    def _load(self, delivery: Delivery) -> LoadResult:
        require_name(self._contract, delivery)
        require_file(delivery)
        policy = self._contract.delivery.mark if self._contract.delivery else "none"
        mark = marks.mark_of(self._landing, delivery, policy)
        if mark is None:
            marks.settle(self._landing, delivery)
        withdrawn = self._records.withdrawn(delivery.partition)
        require_not_withdrawn(self._landing, delivery, withdrawn, self._hash)
        known = self._records.newest(delivery.partition, delivery, self._newest_made)
        if known is not None and self._is_same(delivery, mark, known):
            marks.require_match(self._landing, delivery, mark, known.rows, known.content_hash)
            self._records.write(Outcome.DUPLICATE, delivery.partition, delivery, known=known)
            outcome = Outcome.LOADED if known.needs_gate else Outcome.DUPLICATE
            return self._result(outcome, delivery.partition, delivery.file, known)
        try:
            return self._append(delivery, mark, known)
        except _Overtaken:
            return self._load(delivery)

    def _append(self, delivery: Delivery, mark: marks.Mark | None, known: Known | None) -> LoadResult:
        """Append a delivery as a new load; _Overtaken where another run's load came in between."""
        with self._connection.transaction():
            # Its lock is waited for before anything is compared, so that what was loaded meanwhile is seen.
            load_id = self._records.begin(delivery.partition, delivery, delivery.file)
            if self._records.newest(delivery.partition, delivery, self._newest_made) != known:
                raise _Overtaken
            content, rows = self._copy(delivery)
            marks.require_unchanged(self._landing, delivery)
            marks.require_match(self._landing, delivery, mark, rows, content.sha256)
            if rows == 0:
                self._require_rows_optional(delivery)
            self._records.finish(load_id, rows, content.size, content.sha256, delivery.fingerprint)
        # What waits from an earlier run for its gate is older now, and is loaded again to come after this one.
        self._newest_made = load_id
        return LoadResult(
            outcome=Outcome.LOADED, partition=delivery.partition, file=delivery.file, load_id=load_id, rows=rows,
            bytes=content.size, content_hash=content.sha256,
        )  # fmt: skip

    def _copy(self, delivery: Delivery) -> tuple[Content, int]:
        from psycopg.sql import Identifier

        table = Identifier(f"raw_{self._contract.domain}", self._contract.dataset)
        with self._landing.opened(delivery) as stream, opened(delivery.file, stream) as source:
            drift = drift_of(source, self._contract)
            if drift is not None:
                error = refusal(delivery.file, drift, self._contract)
                error.evidence["decision"] = drift.decision(self._contract)
                raise error
            rows = copy_records(self._connection, table, source, delivery.file)
            return source.content, rows

    def _is_same(self, delivery: Delivery, mark: marks.Mark | None, known: Known) -> bool:
        """Whether the content is that of the newest load; the file is read only where that is not ruled out."""
        if mark is not None and mark.sha256 != known.content_hash:
            return False
        if not delivery.is_compressed and delivery.size != known.bytes:
            return False
        return self._hash(delivery) == known.content_hash

    def _hash(self, delivery: Delivery) -> str:
        with self._landing.opened(delivery) as stream, opened(delivery.file, stream) as source:
            for _ in source.records():
                pass
            return source.content.sha256

    def _require_rows_optional(self, delivery: Delivery) -> None:
        if self._contract.delivery is None or self._contract.delivery.empty != "accept":
            raise NoRows(
                delivery.file,
                "it has a header and no rows, and its contract does not accept that.",
                fix="Have the producer deliver the rows. If a day without rows is normal, say so in the contract "
                f"{self._contract.path.name}: `empty: accept` under `interlock.delivery`.",
            )

    def _quarantine(self, delivery: Delivery, drifted: ColumnsDrifted) -> LoadResult:
        try:
            with translated(), self._connection.transaction():
                kept = quarantine.keep(self._connection, self._run, self._contract, delivery, self._landing)
                drifted.evidence.update(kept.model_dump())
                self._records.refuse(Outcome.QUARANTINED, delivery.partition, drifted, delivery, kept.content_hash)
        except DeliveryRefused as unreadable:
            drifted.evidence["not_kept"] = unreadable.message
            return self.refuse(delivery.partition, drifted, delivery)
        return LoadResult(
            outcome=Outcome.QUARANTINED, partition=delivery.partition, file=delivery.file, rows=kept.lines,
            content_hash=kept.content_hash, error=drifted,
        )  # fmt: skip

    def _result(self, outcome: Outcome, partition: str, file: str | None, known: Known) -> LoadResult:
        return LoadResult(
            outcome=outcome, partition=partition, file=file, load_id=known.load_id,
            rows=known.rows if outcome is Outcome.LOADED else 0, bytes=known.bytes, content_hash=known.content_hash,
        )  # fmt: skip


def _wrong_names(
    contract: Contract, partition: str, found: list[Delivery]
) -> tuple[DeliveryRefused | None, tuple[Delivery, ...]]:
    """Files that cannot be taken for what they are: two that claim one place, or a name that denies the partition."""
    claimed: dict[object, Delivery] = {}
    for delivery in found:
        other = claimed.setdefault(delivery.increment, delivery)
        if other is not delivery:
            ambiguous = AmbiguousDelivery(
                delivery.file,
                f"it and {other.file} both claim to be the delivery of partition {partition}.",
                fix="Have the producer leave only the one that counts; then run the partition again.",
                other=other.file,
            )
            return ambiguous, (delivery, other)
    is_increment = contract.delivery is not None and contract.delivery.mode == "increment"
    if found and partition != "all" and not is_increment:  # nothing is missing, so nothing is looked for
        return None, ()
    wrong = misnamed(contract, partition)
    if not wrong:
        return None, ()
    pattern = pattern_of(contract)
    denied = PartitionDenied(
        wrong[0],
        f"it lies in the landing folder, but its name denies that it is a delivery of {partition}: "
        f"the contract wants {pattern.text}, with a real day as YYYY-MM-DD and a sequence in digits.",
        fix=f"Have the producer deliver it as {example_name(pattern, partition)}.",
        others=wrong[1:10],
    )
    return denied, ()
