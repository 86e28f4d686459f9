"""What is done to a run: it is killed, or what it stands on; it is stopped and woken; another one is set beside it."""

from __future__ import annotations

import signal
import time
from contextlib import suppress
from typing import Any

import psycopg
from tests.chaos.account import Account, Delivery
from tests.chaos.invariants import Subject
from tests.chaos.orchestrated import Orchestrator
from tests.chaos.plans import Disturbance, Edge, Instant, Kind
from tests.chaos.workers import AGAIN, BLOCKED, COMPLETE, Order, WarmParent, Worker
from tests.chaos.world import DOMAINS, World

from interlock.db.connection import Role

RERUNS, WATCH_SECONDS, LOOK_SECONDS = 4, 60, 0.004
STOPPED_SECONDS, LEASE_SECONDS = 60, 4.0
STALE, HELD = "IL005", "IL001"


class NotRecoveredError(Exception):
    """A run that did not come through although nothing disturbed it any more."""


class Disturber:
    """Does one thing to one run. What cannot be recovered from is raised, what did not hold is returned."""

    def __init__(self, world: World, workers: WarmParent, account: Account, subject: Subject) -> None:
        self.world = world
        self.workers = workers
        self.account = account
        self.subject = subject
        self.seconds: dict[str, float] = {}  # that the undisturbed run of a domain took
        self.orchestrator: Orchestrator | None = None
        self._last_phase = 0
        self._dag_runs: dict[str, str] = {}

    def disturb(self, order: Order, disturbance: Disturbance, delivery: Delivery) -> list[str]:
        """Do it; what did not hold."""
        match disturbance.kind:
            case Kind.KILL | Kind.KILL_DATABASE:
                return self._kill(order, disturbance)
            case Kind.KILL_SCHEDULER:
                return self._kill_scheduler(order, disturbance)
            case Kind.KILL_DATABASE_SEEN:
                return self._kill_when_seen(order, disturbance, delivery.day)
            case Kind.STOP | Kind.STOP_AT_WRITE | Kind.STOP_IN_WRITE:
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
            self.account.count_missed()
            return []
        self.account.count(disturbance)
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

    def _kill_when_seen(self, order: Order, disturbance: Disturbance, day: str) -> list[str]:
        """Kill the database when a publish can be seen and nothing has been written to disk since: it must stay."""
        self.world.wait_for_database()
        with self.world.nothing_written_in_passing():
            worker = self.workers.start(order.model_copy(update={"stop": disturbance.stop}))
            self._wait_until_stopped(worker)
            if worker.has_ended:
                self.account.count_missed()
                return []
            self.account.count(disturbance)
            seen = self._pointers(day)
            self.world.kill_database()
        worker.signal(signal.SIGCONT)
        worker.wait()
        self.world.start_database()
        lost = sorted(set(seen) - set(self._pointers(day)))
        return [f"what was seen as published is not there after a crash: {lost}"] if lost else []

    def _kill_scheduler(self, order: Order, disturbance: Disturbance) -> list[str]:
        """Kill the scheduler in the middle of a DAG run of the day, and start it again."""
        assert self.orchestrator is not None
        last = int(self.world.rows("select coalesce(max(phase_id), 0) from interlock.phase")[0][0])
        if order.key not in self._dag_runs:
            self._dag_runs[order.key] = self.orchestrator.trigger(order.domain, order.days[0])
        run = self._dag_runs[order.key]
        self._wait_in_dag_run(order.domain, run, disturbance.instant, last)
        if self.orchestrator.is_over(order.domain, run):
            self.account.count_missed()
            return []
        self.account.count(disturbance)
        self.orchestrator.kill_scheduler()
        self.orchestrator.start()
        return []

    def dag_run_ended(self, order: Order) -> list[str]:
        """See the DAG run through whose scheduler was killed, if there is one."""
        run = self._dag_runs.pop(order.key, None)
        if run is None or self.orchestrator is None:
            return []
        ended, was_cleared = self.orchestrator.see_through(order.domain, run)
        how = f"{ended} after it was cleared" if was_cleared else ended
        self.account.outcomes[f"a DAG run whose scheduler was killed ended with {how}"] += 1
        return [] if ended == "success" else [f"the DAG run whose scheduler was killed ended with {ended}"]

    def _stop(self, order: Order, disturbance: Disturbance, delivery: Delivery) -> list[str]:
        """Stop a worker past its lease, let another run take over, wake it: the database must let it write nothing."""
        last = self.last_run()
        order = order.model_copy(update={"stop": disturbance.stop, "lease_seconds": LEASE_SECONDS})
        if disturbance.stop:
            worker = self.workers.start(order)
            self._wait_until_stopped(worker)
        else:
            worker = self._started(order, disturbance.instant)
            # Before it is admitted there is no lease to outlive, and who starts the server holds up all who want it.
            while not worker.has_ended and self.last_run() == last:
                time.sleep(LOOK_SECONDS)
            worker.signal(signal.SIGSTOP)
        if worker.has_ended:
            self.account.count_missed()
            return []
        self.account.count(disturbance)
        self.subject.woken += [
            run for (run,) in self.world.rows("select run_id from interlock.run where run_id > %s", [last])
        ]
        self._wait_for_leases()
        if disturbance.is_corrected:
            delivery.correct(self.world)
            if order.domain != DOMAINS[0]:
                self.until_done(Order(domain=DOMAINS[0], days=order.days))
        self.until_done(Order(domain=order.domain, days=order.days))
        served = self._pointers(delivery.day)
        worker.signal(signal.SIGCONT)
        status = worker.wait()
        self.account.outcomes[f"woken past its lease, it ended with {status}"] += 1
        found = self._account_for_woken(disturbance, worker)
        if disturbance.stop and disturbance.stop.function == "publish" and self._pointers(delivery.day) != served:
            found.append(f"the woken worker moved pointers: {served} became {self._pointers(delivery.day)}")
        return found

    def _account_for_woken(self, disturbance: Disturbance, worker: Worker) -> list[str]:
        """What the database refused to a worker that was woken: its stale token, or its transaction was ended."""
        refusals = worker.refusals
        is_stale = STALE in refusals
        self.account.stale_refused += is_stale
        if disturbance.kind is Kind.STOP_AT_WRITE and not is_stale:
            return [f"the write of a woken worker was not refused as stale: {refusals}"]
        if disturbance.kind is Kind.STOP_IN_WRITE:
            was_ended = bool({*refusals} & {"", "57P01"})
            self.account.writes_ended += was_ended
            return [] if was_ended else [f"the transaction of a woken worker was not ended: {refusals}"]
        return []

    def _two_at_once(self, order: Order, disturbance: Disturbance, other: Order) -> list[str]:
        """Two runs that want the same partition: one is refused or waits, and at least one gets through."""
        self.account.count(disturbance)
        pair = [self.workers.start(order), self.workers.start(other)]
        statuses = sorted(worker.wait() for worker in pair)
        held = [HELD in worker.refusals for worker in pair]
        self.account.held_refused += sum(held)
        self.account.outcomes[f"two at once ended with {statuses[0]} and {statuses[1]}"] += 1
        if COMPLETE not in statuses or not set(statuses) <= {COMPLETE, AGAIN}:
            return [f"two runs at once ended with {statuses}"]
        if AGAIN in statuses and not any(held):
            return [f"one of two runs at once was sent away as not held: {[worker.refusals for worker in pair]}"]
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

    def _wait_in_dag_run(self, dag: str, run: str, instant: Instant, last_phase: int) -> None:
        assert self.orchestrator is not None
        states = ["completed", "failed"] if instant.edge is Edge.COMPLETED else ["started", "completed", "failed"]
        query = "select count(*) from interlock.phase where phase_id > %s and phase = %s and state = any (%s)"
        while not self.world.rows(query, [last_phase, str(instant.phase), states])[0][0]:
            if self.orchestrator.is_over(dag, run):
                return

    def _wait_until_stopped(self, worker: Worker) -> None:
        import psutil

        deadline = time.monotonic() + STOPPED_SECONDS
        while not worker.has_ended and time.monotonic() < deadline:
            with suppress(psutil.NoSuchProcess):
                if psutil.Process(worker.pid).status() == psutil.STATUS_STOPPED:
                    return
            time.sleep(LOOK_SECONDS)

    def _wait_for_leases(self) -> None:
        """Until no claim has a lease that still runs."""
        query = "select coalesce(max(extract(epoch from expires_at - clock_timestamp())), 0) from interlock.claim"
        while (left := float(self.world.rows(query)[0][0])) > 0:
            time.sleep(min(left, LEASE_SECONDS))

    def until_done(self, order: Order) -> int:
        """Run it as often as it asks to be repeated; how often that was."""
        for attempt in range(1, RERUNS + 1):
            status = self.workers.start(order).wait()
            if status == COMPLETE:
                return attempt
            if status == BLOCKED:
                break
        raise NotRecoveredError(f"{order.domain} {order.days} as {order.shape} ended with {status} in rerun {attempt}")

    def last_run(self) -> int:
        """The newest run."""
        return int(self.world.rows("select coalesce(max(run_id), 0) from interlock.run")[0][0])

    def _pointers(self, day: str) -> list[tuple[Any, ...]]:
        return self.world.rows(
            "select dataset_id, partition, version from interlock.partition where partition in (%s, 'all') order by 1",
            [day],
        )
