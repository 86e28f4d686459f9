"""Loads: one delivery appended to raw, in one transaction with its record, or refused with a cause.

What is loaded is append-only and belongs to its load id; the raw gate decides later whether anybody reads
it. A refusal is a result, not an exception, so that one bad file of a range does not keep the others out;
what a retry may mend is raised. The same content as the newest load changes nothing: it is found by hashing
the file *before* the COPY, and only where its size or its mark do not already rule it out, so that a new
delivery is read once and a rerun writes nothing. The other way, COPY and then roll back, would leave a dead
copy of the rows with every rerun, in a table that is never rewritten.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.contracts.model import DriftPolicy
from interlock.db.connection import statement
from interlock.db.failures import translated
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
)
from interlock.ingestion.landing import (
    Delivery,
    example_name,
    landing,
    misnamed,
    pattern_of,
    pending,
    require_name,
)
from interlock.ingestion.sources import opened

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.ingestion.content import Content

EMPTY_HASH = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


class Outcome(StrEnum):
    """What became of a delivery."""

    LOADED = "loaded"  # in raw under its load id, for the gate to judge
    DUPLICATE = "duplicate"  # the content that is accepted already
    REFUSED = "refused"
    QUARANTINED = "quarantined"  # refused, and kept as delivered
    ABSENT = "absent"  # nothing new, and what was accepted before stands


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


class Known(BaseModel):
    """The newest load of a partition."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    load_id: int
    content_hash: str
    bytes: int
    rows: int
    is_accepted: bool
    needs_gate: bool


class _Overtaken(Exception):
    """Another load of the same partition was committed meanwhile; it has to be compared with first."""


def load_partition(
    connection: Connection, run_id: int, token: int, contract: Contract, partition: str
) -> list[LoadResult]:
    """Bring what lies in the landing folder for one partition into raw, and say what became of each file.

    Of a `full-partition` feed only the newest delivery counts. Increments are taken in order, and the first one
    that is refused holds back those after it. Raises NotDelivered, NotComplete or LandingUnreachable where
    waiting may help; nothing is recorded against the producer then.
    """
    work = Loading(connection, run_id, token, contract)
    found = pending(contract, [partition])
    is_increment = contract.delivery is not None and contract.delivery.mode == "increment"
    if not is_increment:
        # Two files of one date are a question for the producer, so both are looked at before one is taken.
        found = [delivery for delivery in found if delivery.delivered_on == found[-1].delivered_on]
    wrong = _wrong_names(contract, partition, found)
    if wrong is not None:
        return [work.refuse(partition, wrong.evidence["file"], wrong)]
    if not found:
        return [work.absent(partition)]
    if not is_increment:
        return [work.load(found[-1])]
    results = []
    for delivery in work.unknown(found):
        results.append(work.load(delivery))
        if results[-1].error is not None:
            break
    return results or [work.standing(partition)]


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

    def load(self, delivery: Delivery) -> LoadResult:
        """See the function `load`."""
        try:
            with translated():
                return self._load(delivery)
        except ColumnsDrifted as drifted:
            if drifted.evidence.pop("decision") is DriftPolicy.QUARANTINE:
                return self._quarantine(delivery, drifted)
            return self.refuse(delivery.partition, delivery.file, drifted)
        except DeliveryRefused as refused:
            return self.refuse(delivery.partition, delivery.file, refused)

    def refuse(self, partition: str, file: str, refused: DeliveryRefused) -> LoadResult:
        """Record a refusal: the partition is unsafe from here on, unless its contract serves the last good version."""
        with translated():
            self._record_refusal(partition, file, refused, Outcome.REFUSED, None)
        return LoadResult(outcome=Outcome.REFUSED, partition=partition, file=file, error=refused)

    def unknown(self, deliveries: list[Delivery]) -> list[Delivery]:
        """The increments that are new or were written again since they were accepted."""
        with translated():
            known = self._connection.execute(
                statement("ingestion/known_increments.sql"),
                {"dataset": self._contract.dataset, "partition": deliveries[0].partition},
            ).fetchall()
        return [delivery for delivery in deliveries if (delivery.file, delivery.fingerprint) not in known]

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
            known = self._newest(partition, None)
            if known is not None:
                if known.is_accepted:
                    self._record(partition, None, None, "absent", None)
                    return self._result(Outcome.ABSENT, partition, None, known)
                self._record(partition, None, known.content_hash, "absent", known.load_id)
                return self._result(Outcome.LOADED, partition, None, known)
            if contract.delivery is not None and contract.delivery.absent == "accept":
                load_id = self._begin(partition, None, f"{name} (absent)")
                self._finish(load_id, 0, 0, EMPTY_HASH, None)
                self._record(partition, None, EMPTY_HASH, "absent", load_id)
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
            known = self._newest(partition, None)
            assert known is not None  # noqa: S101  (increments are known from their loads)
            self._record(partition, None, known.content_hash, "duplicate", known.load_id)
        outcome = Outcome.LOADED if known.needs_gate else Outcome.DUPLICATE
        return self._result(outcome, partition, None, known)

    def _load(self, delivery: Delivery) -> LoadResult:
        require_name(self._contract, delivery)
        policy = self._contract.delivery.mark if self._contract.delivery else "none"
        mark = marks.mark_of(self._landing, delivery, policy)
        if mark is None:
            marks.settle(self._landing, delivery)
        known = self._newest(delivery.partition, delivery)
        if known is not None and self._is_same(delivery, mark, known):
            marks.require_match(self._landing, delivery, mark, known.rows, known.content_hash)
            self._record(delivery.partition, delivery.file, known.content_hash, "duplicate", known.load_id)
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
            load_id = self._begin(delivery.partition, delivery, delivery.file)
            if self._newest(delivery.partition, delivery) != known:
                raise _Overtaken
            content, rows = self._copy(delivery)
            marks.require_unchanged(self._landing, delivery)
            marks.require_match(self._landing, delivery, mark, rows, content.sha256)
            if rows == 0:
                self._require_rows_optional(delivery)
            self._finish(load_id, rows, content.size, content.sha256, delivery.fingerprint)
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
        with self._landing.opened(delivery) as stream, opened(delivery.file, stream) as source:
            for _ in source.records():
                pass
            return source.content.sha256 == known.content_hash

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
                self._record_refusal(delivery.partition, delivery.file, drifted, Outcome.QUARANTINED, kept.content_hash)
        except DeliveryRefused as unreadable:
            drifted.evidence["not_kept"] = unreadable.message
            return self.refuse(delivery.partition, delivery.file, drifted)
        return LoadResult(
            outcome=Outcome.QUARANTINED, partition=delivery.partition, file=delivery.file, rows=kept.lines,
            content_hash=kept.content_hash, error=drifted,
        )  # fmt: skip

    def _begin(self, partition: str, delivery: Delivery | None, source_file: str) -> int:
        row = self._connection.execute(
            "select interlock.begin_load(%s, %s, %s, %s, %s, %s, '')",
            [*self._run, self._contract.dataset, partition, delivery.delivered_on if delivery else None, source_file],
        ).fetchone()
        return int(row[0]) if row else 0

    def _finish(self, load_id: int, rows: int, size: int, sha256: str, fingerprint: str | None) -> None:
        self._connection.execute(
            "select interlock.finish_load(%s, %s, %s, %s, %s)", [load_id, rows, size, sha256, fingerprint]
        )

    def _newest(self, partition: str, delivery: Delivery | None) -> Known | None:
        row = self._connection.execute(
            statement("ingestion/newest_load.sql"),
            {
                "dataset": self._contract.dataset,
                "partition": partition,
                "delivered_on": delivery.delivered_on if delivery else None,
            },
        ).fetchone()
        return Known(**dict(zip(Known.model_fields, row, strict=True))) if row else None

    def _record(self, partition: str, file: str | None, sha256: str | None, outcome: str, load_id: int | None) -> None:
        self._connection.execute(
            "select interlock.record_delivery(%s, %s, %s, %s, %s, %s, %s, %s)",
            [*self._run, self._contract.dataset, partition, file, sha256, outcome, load_id],
        )

    def _record_refusal(
        self, partition: str, file: str, refused: DeliveryRefused, outcome: Outcome, sha256: str | None
    ) -> None:
        from psycopg.types.json import Jsonb

        self._connection.execute(
            "select interlock.refuse_delivery(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            [
                *self._run, self._contract.dataset, partition, file, sha256, outcome.value,
                refused.code, refused.message, refused.fix, Jsonb(refused.evidence),
            ],
        )  # fmt: skip

    def _result(self, outcome: Outcome, partition: str, file: str | None, known: Known) -> LoadResult:
        return LoadResult(
            outcome=outcome, partition=partition, file=file, load_id=known.load_id,
            rows=known.rows if outcome is Outcome.LOADED else 0, bytes=known.bytes, content_hash=known.content_hash,
        )  # fmt: skip


def _wrong_names(contract: Contract, partition: str, found: list[Delivery]) -> DeliveryRefused | None:
    """Files that cannot be taken for what they are: two that claim one place, or a name that denies the partition."""
    by_date: dict[object, Delivery] = {}
    for delivery in found:
        other = by_date.setdefault(delivery.delivered_on, delivery)
        if other is not delivery:
            return AmbiguousDelivery(
                delivery.file,
                f"it and {other.file} both claim to be the delivery of partition {partition}.",
                fix="Have the producer leave only the one that counts; then run the partition again.",
                other=other.file,
            )
    if found and partition != "all":
        return None
    wrong = misnamed(contract, partition)
    if not wrong:
        return None
    pattern = pattern_of(contract)
    return PartitionDenied(
        wrong[0],
        f"it lies in the landing folder, but its name denies that it is a delivery of {partition}: "
        f"the contract wants {pattern.text}, with a real day as YYYY-MM-DD.",
        fix=f"Have the producer deliver it as {example_name(pattern, partition)}.",
        others=wrong[1:10],
    )
