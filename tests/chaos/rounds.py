"""A round: something is delivered, its run is disturbed, and run again until it is done; then everything is checked."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg
from tests.chaos import invariants
from tests.chaos.checksums import Known, Table, one_statement, parameters, tables
from tests.chaos.invariants import Subject
from tests.chaos.plans import Disturbance, Edge, Instant, Kind, Round
from tests.chaos.readers import Pool
from tests.chaos.workers import AGAIN, BLOCKED, COMPLETE, Order, WarmParent, Worker
from tests.chaos.world import DOMAINS, World

from interlock.db.connection import Role

RERUNS, WATCH_SECONDS, LOOK_SECONDS = 4, 60, 0.004
STOPPED_SECONDS = 60
EMPTY_DATABASE, PRIMED_DATABASE = "chaos_nothing", "chaos_primed"
CONTENTS = ("A", "B")
AT_RANDOM = "at random"


@dataclass
class Account:
    """What was done and found, in all rounds so far."""

    disturbances: Counter[str] = field(default_factory=Counter)
    instants: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[str] = field(default_factory=Counter)
    recoveries: int = 0
    reruns: int = 0
    checks: int = 0
    readings: int = 0
    kept_candidates: int = 0
    never_ended: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def boundaries(self) -> int:
        """How many different boundaries were hit."""
        return len(self.instants) - (AT_RANDOM in self.instants)

    @property
    def at_boundaries(self) -> int:
        """How often one was hit."""
        return self.instants.total() - self.instants[AT_RANDOM]

    @property
    def kills(self) -> int:
        """Everything that was taken by SIGKILL."""
        return self.disturbances[Kind.KILL] + self.disturbances[Kind.KILL_DATABASE]


@dataclass
class Delivery:
    """What a round is about: a day, what was served of it before, and what shall be in the end."""

    day: str
    before: str | None
    content: str
    is_corrected: bool = False  # while the run of the first content was stopped

    @property
    def told(self) -> str:
        """In words."""
        return f"{self.day} from {self.before or 'nothing'} to {self.content}"

    def correct(self, world: World) -> None:
        """The producer replaces the files by the other content; where that one is served, it comes back to it."""
        self.content, self.is_corrected = _other(self.content), True
        world.deliver(self.day, self.content)


class Harness:
    """The platform, the parent of the workers and, once the undisturbed run is known, the readers."""

    def __init__(self, world: World, workers: WarmParent) -> None:
        self.world = world
        self.workers = workers
        self.tables: tuple[Table, ...] = tables()
        self.known: Known = {}
        self.seconds: dict[str, float] = {}
        self.account = Account()
        self.pool: Pool | None = None
        self.subject = Subject(world, self.tables, self.known)
        self._must_begin_again = True
        self._last_phase = 0

    # -- the undisturbed runs --------------------------------------------------------------------

    def learn(self) -> None:
        """Run every day undisturbed, as delivered and as corrected; keep the beginnings to come back to."""
        world, days = self.world, self.world.days
        world.keep_as(EMPTY_DATABASE)
        world.deliver(days[0], "A")
        self._undisturbed(days[:1], "A")
        world.keep_as(PRIMED_DATABASE)
        for day in days[1:]:
            world.deliver(day, "A")
        for day in days[1:2]:
            self._undisturbed([day], "A")
        if days[2:]:
            self._undisturbed(days[2:], "A")
        for day in days:
            world.deliver(day, "B")
        self._undisturbed(days, "B")
        violations = invariants.after_recovery(self.subject)
        assert not violations, violations

    def _undisturbed(self, days: Sequence[str], content: str) -> None:
        for domain in DOMAINS:
            began = time.monotonic()
            status = self.workers.start(Order(domain=domain, days=tuple(days))).wait()
            assert status == COMPLETE, f"the undisturbed run of {domain} {days} ended with {status}"
            if len(days) == 1:
                self.seconds[domain] = time.monotonic() - began
        query = one_statement(self.tables)
        for day in days:
            self.world.served[day] = content
            rows = self.world.rows(query, parameters(day), role=Role.CONSUMER)
            for table, (dataset, count, checksum, _) in zip(self.tables, rows, strict=True):
                assert count, f"{dataset} {day} is empty after an undisturbed run"
                self.known.setdefault(dataset, {}).setdefault(table.partition(day), {})[content] = (count, checksum)

    # -- a round -----------------------------------------------------------------------------------

    def perform(self, round_: Round) -> list[str]:
        """Carry a round out; what did not hold."""
        if round_.is_from_nothing:
            self._restore(EMPTY_DATABASE, {})
        elif self._must_begin_again or all(day in self.world.served for day in self.world.days):
            self.begin_again()
        delivery = self._delivery(round_)
        found = self._objections(self._look_at(delivery.day))
        self.subject.since_run, self.subject.woken = self._last_run(), []
        self.world.deliver(delivery.day, delivery.content)
        try:
            found += self._run_disturbed(round_, delivery)
        except (TimeoutError, _NotRecoveredError) as error:
            found.append(f"{type(error).__name__}: {error}")
        self.world.served[delivery.day] = delivery.content
        found += self._check(delivery)
        found = list(dict.fromkeys(found))
        self._must_begin_again = bool(found)
        self.account.violations += [f"round {round_.number}, {delivery.told}, {round_.told}: {said}" for said in found]
        return found

    def _run_disturbed(self, round_: Round, delivery: Delivery) -> list[str]:
        day = delivery.day
        if round_.domain != DOMAINS[0]:
            self._until_done(Order(domain=DOMAINS[0], days=(day,)))
        order = Order(domain=round_.domain, days=(day,), shape=round_.shape, key=f"chaos:{round_.number}:{day}")
        found: list[str] = []
        for disturbance in round_.disturbances:
            found += self._disturb(order, disturbance, delivery)
            if disturbance.kind in (Kind.STOP, Kind.STOP_AT_PUBLISH):
                # Its phases belong to a candidate that was overtaken: from here on it is other runs that go on.
                order = order.model_copy(update={"key": f"{order.key}:again"})
        self.account.reruns += self._until_done(order) - 1
        self.account.recoveries += 1
        # What was corrected is corrected in both feeds, and the second domain reads what the first publishes.
        for domain in DOMAINS if delivery.is_corrected else DOMAINS[1:]:
            self._until_done(Order(domain=domain, days=(day,)))
        return found

    def begin_again(self) -> None:
        """From a platform on which one day is published."""
        self._restore(PRIMED_DATABASE, {self.world.days[0]: CONTENTS[0]})

    def _restore(self, database: str, served: dict[str, str]) -> None:
        """From a database that was kept; what is left in the one that goes is counted first."""
        if self.pool:
            self.count_leftovers()
        self.world.restore(database, served)

    def count_leftovers(self) -> None:
        """Add up what is kept of the dead in the present database."""
        self.account.kept_candidates += self.world.statement("kept_candidates.sql")[0][0]
        self.account.never_ended += len(self.world.statement("never_ended.sql"))

    def _delivery(self, round_: Round) -> Delivery:
        """A day that was never delivered and one that is corrected, by turns."""
        served = self.world.served
        fresh = [day for day in self.world.days if day not in served]
        if fresh and (round_.number % 2 or not served):
            return Delivery(fresh[0], None, "A")
        days = list(served)
        day = days[round_.number % len(days)]
        before = served.pop(day)
        return Delivery(day, before, _other(before))

    def _look_at(self, day: str) -> list[dict[str, Any]]:
        if self.pool is None:
            return []
        (self.world.folder / "reader.url").write_text(self.world.url(Role.CONSUMER))
        return self.pool.look_at(day)

    def _objections(self, notes: list[dict[str, Any]]) -> list[str]:
        return [
            f"a reader ({note['manner']}) between rounds: {note['violation']}" for note in notes if "violation" in note
        ]

    def _check(self, delivery: Delivery) -> list[str]:
        self.world.wait_for_database()
        found = invariants.after_recovery(self.subject)
        self.account.checks += len(invariants.INVARIANTS)
        if self.pool:
            before = _other(delivery.content) if delivery.is_corrected else delivery.before
            notes = self.pool.collected()
            missed = sum("missed_when_prepared" in note for note in notes)
            self.account.outcomes["looks of a prepared statement in an open transaction missed a publish"] += missed
            found += invariants.what_readers_saw(
                self.subject, notes, before, delivery.content, is_ordered=not delivery.is_corrected
            )
            self.account.checks += 1
            self.account.readings, self.pool.polls = self.account.readings + self.pool.polls, 0
        return found

    # -- what is done to a run ---------------------------------------------------------------------

    def _disturb(self, order: Order, disturbance: Disturbance, delivery: Delivery) -> list[str]:
        match disturbance.kind:
            case Kind.KILL | Kind.KILL_DATABASE:
                return self._kill(order, disturbance)
            case Kind.STOP | Kind.STOP_AT_PUBLISH:
                return self._stop(order, disturbance, delivery)
            case Kind.TWIN:
                return self._two_at_once(order, disturbance, Order(domain=order.domain, days=order.days))
            case Kind.RANGE_BESIDE:
                days = tuple(sorted({*self.world.served, delivery.day}))
                return self._two_at_once(order, disturbance, Order(domain=order.domain, days=days))

    def _kill(self, order: Order, disturbance: Disturbance) -> list[str]:
        """One kill; a run that was done before it came is counted as such, and is no kill."""
        worker = self._started(order, disturbance.instant)
        if worker.has_ended:
            self.account.outcomes["the run ended before it was hit"] += 1
            return []
        self._count(disturbance)
        if disturbance.kind is Kind.KILL:
            worker.signal(signal.SIGKILL)
            worker.wait()
            return []
        self.world.kill_database()
        status = worker.wait()
        self.account.outcomes[f"a run whose database died ended with {status}"] += 1
        return (
            []
            if status in (COMPLETE, AGAIN)
            else [f"the run whose database was killed ended with {status}, and not as one to repeat"]
        )

    def _stop(self, order: Order, disturbance: Disturbance, delivery: Delivery) -> list[str]:
        """Stop a worker, let its lease run out, let another run take over, wake it: it must publish nothing."""
        at_publish = disturbance.kind is Kind.STOP_AT_PUBLISH
        last = self._last_run()
        if at_publish:
            worker = self.workers.start(order.model_copy(update={"stops_before_publish": disturbance.publish}))
            self._wait_until_stopped(worker)
        else:
            worker = self._started(order, disturbance.instant)
            worker.signal(signal.SIGSTOP)
        if worker.has_ended:
            self.account.outcomes["the run ended before it was hit"] += 1
            return []
        self._count(disturbance)
        stopped = [run for (run,) in self.world.rows("select run_id from interlock.run where run_id > %s", [last])]
        self.subject.woken += stopped
        if not self._let_lease_run_out(stopped):
            # It stopped inside a transaction that holds its claim: nobody can take over before it goes on.
            self.account.outcomes["stopped inside a transaction: nobody could take over"] += 1
            worker.signal(signal.SIGCONT)
            worker.wait()
            return []
        if disturbance.is_corrected:
            delivery.correct(self.world)
            if order.domain != DOMAINS[0]:
                self._until_done(Order(domain=DOMAINS[0], days=order.days))
        self._until_done(Order(domain=order.domain, days=order.days))
        served = self._pointers(delivery.day)
        worker.signal(signal.SIGCONT)
        found, status = [], worker.wait()
        self.account.outcomes[f"woken past its lease, it ended with {status}"] += 1
        if at_publish and status == COMPLETE:
            found.append("the woken worker says that it published")
        if at_publish and self._pointers(delivery.day) != served:
            found.append(f"the woken worker moved pointers: {served} became {self._pointers(delivery.day)}")
        return found

    def _two_at_once(self, order: Order, disturbance: Disturbance, other: Order) -> list[str]:
        """Two runs that want the same partition: one is refused or waits, and at least one gets through."""
        self._count(disturbance)
        pair = [self.workers.start(order), self.workers.start(other)]
        statuses = sorted(worker.wait() for worker in pair)
        self.account.outcomes[f"two at once ended with {statuses[0]} and {statuses[1]}"] += 1
        if COMPLETE not in statuses or not set(statuses) <= {COMPLETE, AGAIN}:
            return [f"two runs at once ended with {statuses}"]
        return []

    # -- the means -----------------------------------------------------------------------------------

    def _started(self, order: Order, instant: Instant) -> Worker:
        """A worker that has reached the instant (or has ended)."""
        if not instant.phase:
            worker = self.workers.start(order)
            deadline = time.monotonic() + instant.share * self.seconds[order.domain]
            while time.monotonic() < deadline and not worker.has_ended:
                time.sleep(LOOK_SECONDS)
            return worker
        is_down = self.world.server.running_port is None
        if is_down:  # killed before: it is the worker who starts it again
            worker = self.workers.start(order)
            self.world.wait_for_database()
        with self.world.dial(Role.AUDITOR) as connection:
            if not is_down:
                row = connection.execute("select coalesce(max(phase_id), 0) from interlock.phase").fetchone()
                self._last_phase = row[0] if row else 0
                worker = self.workers.start(order)
            self._watch(connection, worker, instant)
        return worker

    def _watch(self, connection: psycopg.Connection[Any], worker: Worker, instant: Instant) -> None:
        """Until a phase that began after the last one that was seen is at its boundary, or the worker is gone."""
        states = ["completed", "failed"] if instant.edge is Edge.COMPLETED else ["started", "completed", "failed"]
        query = "select count(*) from interlock.phase where phase_id > %s and phase = %s and state = any (%s)"
        deadline = time.monotonic() + WATCH_SECONDS
        while not worker.has_ended and time.monotonic() < deadline:
            row = connection.execute(query, [self._last_phase, str(instant.phase), states]).fetchone()
            if row and row[0]:
                return
            time.sleep(LOOK_SECONDS)

    def _wait_until_stopped(self, worker: Worker) -> None:
        import psutil

        deadline = time.monotonic() + STOPPED_SECONDS
        while not worker.has_ended and time.monotonic() < deadline:
            if psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED:
                return
            time.sleep(LOOK_SECONDS)

    def _let_lease_run_out(self, runs: list[int]) -> bool:
        """Put the end of the stopped run's lease behind us, as time would; False where it holds its claim locked."""
        with self.world.dial(Role.ADMIN) as connection:
            connection.execute("set lock_timeout = '1s'")
            try:
                connection.execute(
                    "update interlock.claim set expires_at = clock_timestamp() - interval '1 s' where run_id = any(%s)",
                    [runs],
                )
            except psycopg.errors.LockNotAvailable:
                return False
        return True

    def _until_done(self, order: Order) -> int:
        """Run it as often as it asks to be repeated; how often that was."""
        for attempt in range(1, RERUNS + 1):
            status = self.workers.start(order).wait()
            if status == COMPLETE:
                return attempt
            if status == BLOCKED:
                break
        raise _NotRecoveredError(f"{order.domain} {order.days} as {order.shape} ended with {status} in rerun {attempt}")

    def _count(self, disturbance: Disturbance) -> None:
        self.account.disturbances[disturbance.kind] += 1
        self.account.instants[disturbance.instant.told if disturbance.instant.phase else AT_RANDOM] += 1

    def _last_run(self) -> int:
        return int(self.world.rows("select coalesce(max(run_id), 0) from interlock.run")[0][0])

    def _pointers(self, day: str) -> list[tuple[Any, ...]]:
        return self.world.rows(
            "select dataset_id, partition, version from interlock.partition where partition in (%s, 'all') order by 1",
            [day],
        )


def _other(content: str) -> str:
    return CONTENTS[content == CONTENTS[0]]


class _NotRecoveredError(Exception):
    """A run that did not come through although nothing disturbed it any more."""
