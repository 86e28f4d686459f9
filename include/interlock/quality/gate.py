"""The gate: every check of a contract on a sealed candidate, and one verdict for each of its partitions.

A gate says *failed* unless it can show otherwise: a check that raised, timed out or gave no answer has failed, and so
has a partition on which nothing was evaluated. It reads the sealed candidate and the run's pinned inputs, in a
transaction that cannot write, and hands its evidence to the one function of the database that records verdicts and
derives their outcome again from the clauses that block.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.contracts.checks import CheckKind, Scope, Severity
from interlock.db.connection import Role, connect
from interlock.errors import PermanentFailure
from interlock.quality import accounts, evidence, measures, neighbours, rows, sifting, subjects, suites
from interlock.quality.evidence import Discretion, Evidence
from interlock.quality.measures import ROW_COUNT, Measured

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Contract
    from interlock.db.connection import Connection
    from interlock.quality.subjects import Subject

_MEASURED = {
    CheckKind.ROW_COUNT,
    CheckKind.MEASURE_BETWEEN,
    CheckKind.BASELINE,
    CheckKind.RECONCILES,
    CheckKind.ACCOUNTS,
    CheckKind.SQL_MEASURE,
}


@dataclass(frozen=True)
class Judgement:
    """What a gate found on one partition of one version, as recorded."""

    dataset: str
    partition: str
    version: int
    outcome: str
    verdict_id: int
    bootstrapped: bool
    failures: tuple[tuple[str, str], ...]
    warnings: tuple[tuple[str, str], ...]

    @property
    def passed(self) -> bool:
        """Whether the partition may be published."""
        return self.outcome == "passed"


def judge(
    run_id: int, token: int, contract: Contract, checks: Sequence[Check], version: int, partitions: Sequence[str]
) -> list[Judgement]:
    """Judge partitions of one sealed version (of a feed: of one load) and record the verdicts, in partition order."""
    return judge_versions(run_id, token, contract, checks, dict.fromkeys(partitions, version))


def judge_versions(
    run_id: int, token: int, contract: Contract, checks: Sequence[Check], versions: Mapping[str, int]
) -> list[Judgement]:
    """The same for partitions of several versions at once: the loads of a range are judged together.

    `versions` names the version of each partition. A staged or curated dataset is judged version by version.
    """
    versions = dict(sorted(versions.items()))
    if str(contract.layer) == "raw":
        loads = {version: partition for partition, version in versions.items()}
        return _Gate(run_id, token, contract, checks, subjects.load_subject(contract, checks, loads), versions).judged()
    judgements: list[Judgement] = []
    for version in dict.fromkeys(versions.values()):
        covered = {partition: version for partition, of_version in versions.items() if of_version == version}
        subject = subjects.version_subject(contract, version, list(covered))
        judgements += _Gate(run_id, token, contract, checks, subject, covered).judged()
    return judgements


def examine(
    run_id: int, contract: Contract, checks: Sequence[Check], versions: Mapping[str, int]
) -> dict[str, dict[str, Any]]:
    """What a verdict on served versions would say under these checks, by partition. Nothing is recorded.

    For clauses that are not active yet: other datasets are read in the run's workspace, as for every gate.
    """
    versions = dict(sorted(versions.items()))
    if str(contract.layer) == "raw":
        subject = subjects.load_subject(contract, checks, {load: partition for partition, load in versions.items()})
    else:
        subject = subjects.served_subject(contract, versions)
    return _Gate(run_id, 0, contract, checks, subject, versions).examined()


def warm() -> None:
    """Pay for GX's import before it is needed; safe to be inherited through a fork."""
    suites.warm()


class _Gate:
    """One judgement under way: what is judged, and what was found so far."""

    def __init__(
        self,
        run_id: int,
        token: int,
        contract: Contract,
        checks: Sequence[Check],
        subject: Subject,
        versions: Mapping[str, int],
    ) -> None:
        self.run_id, self.token, self.contract = run_id, token, contract
        self.checks, self.subject, self.versions = list(checks), subject, versions
        repeated = {check.id for check in self.checks if sum(other.id == check.id for other in self.checks) > 1}
        if repeated:
            raise PermanentFailure(
                f"{contract.dataset}: several clauses are called {', '.join(sorted(repeated))}.",
                fix="Give each clause an id of its own.",
            )
        self.discretion: Discretion = evidence.discretion(contract)
        self.breaches: dict[str, rows.Breaches] = {}
        self.sifted = sifting.Sifted(subject)

    def judged(self) -> list[Judgement]:
        """Evaluate everything, then record it in one transaction."""
        with connect(Role.GATE) as connection:
            found = self._examined(connection)
            return self._recorded(connection, found)

    def examined(self) -> dict[str, dict[str, Any]]:
        """Evaluate everything and record nothing: what a verdict on each partition would say."""
        with connect(Role.GATE) as connection:
            found = self._examined(connection)
        return {partition: self._result(partition, found[partition]) for partition in self.versions}

    def _examined(self, connection: Connection) -> dict[str, list[Evidence]]:
        named = [check.arguments["dataset"] for check in self.checks if "dataset" in check.arguments]
        connection.read_only = True
        around = neighbours.find_neighbours(connection, self.run_id, named)
        connection.rollback()
        with suites.open_suites(around) as running:
            self.sifted = sifting.sift(running, self.contract, self.checks, self.subject, sets_aside=bool(self.token))
            self.subject, self.breaches = self.sifted.subject, self.sifted.breaches
            of_rows = [c for c in self.checks if c.kind not in _MEASURED and c.id not in self.breaches]
            self.breaches |= rows.breaches(running, self.subject, of_rows)
        for name, value in suites.SESSION.items():
            connection.execute("select set_config(%s, %s, true)", [name, value])
        measured = self._measured(connection, around)
        self.accounts = self._accounts(connection, around)
        history = measures.safe_history(connection, self.contract.dataset, self.checks, self.versions)
        connection.rollback()
        self.measured, self.history = measured, history
        found = {partition: self._evidence(partition) for partition in self.versions}
        connection.read_only = False
        return found

    def _measured(self, connection: Connection, around: neighbours.Neighbours) -> dict[str, Measured]:
        """The measures by name, and what single checks measured by `clause`."""
        names = [measures.measure_name(c.arguments["measure"]) for c in self.checks if _is_own_measure(c)]
        found = measures.measured(connection, self.subject, names)
        for check in self.checks:
            if check.kind is CheckKind.SQL_MEASURE:
                found[check.id] = measures.sql_measured(connection, self.subject, check)
            elif check.kind is CheckKind.RECONCILES:
                try:
                    found[check.id] = measures.neighbour_measured(connection, self.subject, check, around)
                except Exception as error:
                    found[check.id] = Measured(error=str(error).split("\n")[0])
        return found

    def _accounts(
        self, connection: Connection, around: neighbours.Neighbours
    ) -> dict[str, Mapping[str, accounts.Account] | str]:
        """The accounts by clause, or what kept them from being counted."""
        found: dict[str, Mapping[str, accounts.Account] | str] = {}
        for check in self.checks:
            if check.kind is CheckKind.ACCOUNTS:
                try:
                    found[check.id] = accounts.accounts(connection, self.subject, check, around)
                except Exception as error:
                    found[check.id] = str(error).split("\n")[0]
        return found

    def _evidence(self, partition: str) -> list[Evidence]:
        """The findings on one partition; call in partition order, for what passes becomes history of the next."""
        count = int(self.measured[ROW_COUNT].values.get(partition) or 0)
        found = [self._found(check, partition, count) for check in self.checks]
        passed = all(item.success for item in found if item.check.severity.blocks)
        if passed and count == 0 and not self._accepts_empty(found):
            found = [_unproven(item) if item.check.kind not in _MEASURED else item for item in found]
            passed = False
        self.history.learn(partition, self._own_measures(partition), passed)
        return found

    def _accepts_empty(self, found: Sequence[Evidence]) -> bool:
        """Whether the contract says in so many words that a partition may have no rows."""
        delivery = self.contract.delivery
        return (delivery is not None and delivery.empty == "accept") or any(
            item.check.kind is CheckKind.ROW_COUNT and item.success and item.check.arguments.get("minimum") is not None
            for item in found
        )

    def _found(self, check: Check, partition: str, count: int) -> Evidence:
        try:
            if check.kind is CheckKind.ACCOUNTS:
                return self._found_by_account(check, partition, count)
            if check.kind in _MEASURED:
                return self._found_by_measure(check, partition, count)
            return self._found_by_rows(check, partition, count)
        except Exception as error:
            return self._not_evaluated(check, count, f"{type(error).__name__}: {error}")

    def _not_evaluated(self, check: Check, count: int, error: str) -> Evidence:
        message = f"{evidence.subject_of(check)}: could not be evaluated: {self.discretion.told(error)}"
        return Evidence(check, success=False, message=message, evaluated_rows=count)

    def _found_by_rows(self, check: Check, partition: str, count: int) -> Evidence:
        breaches = self.breaches[check.id]
        name = evidence.subject_of(check)
        if partition in breaches.errors:
            return self._not_evaluated(check, count, breaches.errors[partition])
        if partition not in breaches.counts:
            is_row = check.scope == Scope.ROW and check.kind is not CheckKind.COLUMN_EXISTS
            message = f"{name}: as expected in {count:,} rows" if is_row else f"{name}: as expected"
            return Evidence(
                check, success=True, message=message, evaluated_rows=count, unexpected_count=0 if is_row else None
            )
        bad = breaches.counts[partition]
        if check.severity is Severity.QUARANTINE or check.kind is CheckKind.REPEATS:
            count += self.sifted.taken(partition)
        if check.kind is CheckKind.REPEATS:
            told = f"{bad:,} of {count:,} rows are copies of other rows; the first of each is taken"
            return Evidence(check, success=False, message=told, evaluated_rows=count, unexpected_count=bad)
        told = f"{bad:,} of {count:,} rows are not as expected" if bad is not None else "not as expected"
        sample = [self.discretion.masked(key) for key in breaches.samples.get(partition, ())]
        message = f"{name}: {told}; expected {check.expected}"
        is_aside = check.severity is Severity.QUARANTINE and partition in self.sifted.aside
        if check.severity is Severity.QUARANTINE:
            limit = self.contract.quarantine.words if self.contract.quarantine else "nothing"
            message += "; they are set aside" if is_aside else f"; the contract sets aside at most {limit}"
        elif "repeats" in check.arguments and self.contract.delivery and self.contract.delivery.repeats:
            message += f"; of identical copies the contract absorbs {self.contract.delivery.repeats.words}"
        return Evidence(
            check, success=is_aside, message=message, evaluated_rows=count, unexpected_count=bad, sample_keys=sample
        )

    def _found_by_account(self, check: Check, partition: str, count: int) -> Evidence:
        counted = self.accounts[check.id]
        if isinstance(counted, str):
            return self._not_evaluated(check, count, counted)
        account = counted[partition]
        bad = account.lost + account.doubled
        sample = [self.discretion.masked(key) for key in account.samples]
        return Evidence(
            check, account.balances, account.told(), count,
            unexpected_count=bad, sample_keys=sample, account=account.document(),
        )  # fmt: skip

    def _found_by_measure(self, check: Check, partition: str, count: int) -> Evidence:
        measured = self.measured[_measure_key(check)]
        if measured.error is not None:
            return self._not_evaluated(check, count, measured.error)
        value = measured.values.get(partition)
        if check.kind is CheckKind.RECONCILES:
            return self._reconciled(check, partition, count, value)
        if check.kind is CheckKind.BASELINE:
            return self._compared(check, partition, count, value)
        low, high = check.arguments.get("minimum"), check.arguments.get("maximum")
        bounds = evidence.between(low, high)
        success = value is not None and measures.Expected(low, high, "", is_bootstrapped=False).admits(value)
        message = f"{_measure_label(check)} {evidence.figure(value)}, expected {bounds}"
        return Evidence(check, success, message, count, observed=value, expected=bounds)

    def _compared(self, check: Check, partition: str, count: int, value: float | None) -> Evidence:
        expected = self.history.expected(check, partition)
        bounds = f"{evidence.between(expected.low, expected.high)} ({expected.basis})"
        success = value is not None and expected.admits(value)
        message = f"{_measure_label(check)} {evidence.figure(value)}, expected {bounds}"
        return Evidence(
            check, success, message, count, observed=value, expected=bounds, is_bootstrapped=expected.is_bootstrapped
        )

    def _reconciled(self, check: Check, partition: str, count: int, theirs: float | None) -> Evidence:
        name = measures.measure_name(check.arguments.get("measure", ROW_COUNT))
        own = self.measured[name]
        if own.error is not None:
            return self._not_evaluated(check, count, own.error)
        ours = own.values.get(partition)
        wanted = None if theirs is None else theirs + float(check.arguments.get("difference", 0))
        is_equal = ours is not None and wanted is not None and abs(ours - wanted) <= 1e-9 * max(abs(ours), abs(wanted))
        label = "rows" if name == ROW_COUNT else name
        message = f"{label}: {evidence.figure(ours)} here, {evidence.figure(theirs)} in {check.arguments['dataset']}"
        return Evidence(check, is_equal, message, count, observed=ours, expected=evidence.figure(wanted))

    def _own_measures(self, partition: str) -> dict[str, float | None]:
        names = {measures.measure_name(c.arguments["measure"]) for c in self.checks if _is_own_measure(c)} | {ROW_COUNT}
        return {name: self.measured[name].values.get(partition) for name in names if self.measured[name].error is None}

    def _result(self, partition: str, found: Sequence[Evidence]) -> dict[str, Any]:
        """What is recorded of one partition."""
        return {
            "partition": partition,
            "evidence": [item.document() for item in found],
            "bootstrapped": any(item.is_bootstrapped for item in found),
            "measures": self._own_measures(partition),
            "quarantined": [
                {"row": row, "reasons": reasons} for row, reasons in self.sifted.aside.get(partition, {}).items()
            ],
        }

    def _recorded(self, connection: Connection, found: Mapping[str, Sequence[Evidence]]) -> list[Judgement]:
        from psycopg.types.json import Jsonb

        recorded: dict[str, tuple[str, int]] = {}
        for version in dict.fromkeys(self.versions.values()):
            results = [
                self._result(partition, found[partition])
                for partition, of_version in self.versions.items()
                if of_version == version
            ]
            lines = connection.execute(
                "select partition, outcome, verdict_id from interlock.record_verdicts(%s, %s, %s, %s)",
                [self.run_id, self.token, version, Jsonb(results)],
            ).fetchall()
            recorded |= {partition: (outcome, verdict_id) for partition, outcome, verdict_id in lines}
        return [
            Judgement(
                self.contract.dataset,
                partition,
                version,
                *recorded[partition],
                bootstrapped=any(item.is_bootstrapped for item in found[partition]),
                failures=_told(found[partition], blocks=True),
                warnings=_told(found[partition], blocks=False),
            )
            for partition, version in self.versions.items()
        ]


def _told(found: Sequence[Evidence], *, blocks: bool) -> tuple[tuple[str, str], ...]:
    return tuple(
        (item.check.id, item.message) for item in found if not item.success and item.check.severity.blocks is blocks
    )


def _is_own_measure(check: Check) -> bool:
    return check.kind in _MEASURED and "measure" in check.arguments


def _measure_key(check: Check) -> str:
    if check.kind in (CheckKind.SQL_MEASURE, CheckKind.RECONCILES):
        return check.id
    return ROW_COUNT if check.kind is CheckKind.ROW_COUNT else measures.measure_name(check.arguments["measure"])


def _measure_label(check: Check) -> str:
    """What a sentence with a figure begins with."""
    if check.kind is CheckKind.SQL_MEASURE:
        return f"{check.id}:"
    name = _measure_key(check)
    aggregate, _, column = name.partition(":")
    return "rows:" if name == ROW_COUNT else f"{column}: {aggregate.replace('_', ' ')}"


def _unproven(item: Evidence) -> Evidence:
    """A check of rows where there are none: not evidence, unless the contract accepts emptiness."""
    message = f"{evidence.subject_of(item.check)}: nothing was evaluated, the partition has no rows"
    return Evidence(item.check, success=False, message=message, evaluated_rows=0)
