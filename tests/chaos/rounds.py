"""A round: something is delivered, its run is disturbed, and run again until it is done; then everything is checked."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from tests.chaos import invariants
from tests.chaos.account import CONTENTS, Account, Delivery, other
from tests.chaos.checksums import Known, Table, one_statement, parameters, tables
from tests.chaos.disturbances import Disturber, NotRecoveredError
from tests.chaos.invariants import Subject
from tests.chaos.orchestrated import orchestrator
from tests.chaos.plans import STOPS, Round
from tests.chaos.readers import Pool
from tests.chaos.workers import COMPLETE, Order, WarmParent
from tests.chaos.world import DOMAINS, World

from interlock.db.connection import Role

EMPTY_DATABASE, PRIMED_DATABASE = "chaos_nothing", "chaos_primed"


class Harness:
    """The platform, the parent of the workers and, once the undisturbed run is known, the readers."""

    def __init__(self, world: World, workers: WarmParent) -> None:
        self.world = world
        self.workers = workers
        self.tables: tuple[Table, ...] = tables()
        self.known: Known = {}
        self.account = Account()
        self.pool: Pool | None = None
        self.subject = Subject(world, self.tables, self.known)
        self._disturber = Disturber(world, workers, self.account, self.subject)
        self._must_begin_again = True

    @contextmanager
    def orchestrated(self) -> Iterator[None]:
        """With a real scheduler for the length of a block."""
        with orchestrator(self.world) as self._disturber.orchestrator:
            yield

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
                self._disturber.seconds[domain] = time.monotonic() - began
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
        self.subject.since_run, self.subject.woken = self._disturber.last_run(), []
        self.world.deliver(delivery.day, delivery.content)
        try:
            found += self._run_disturbed(round_, delivery)
        except (TimeoutError, NotRecoveredError) as error:
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
            self._disturber.until_done(Order(domain=DOMAINS[0], days=(day,)))
        order = Order(domain=round_.domain, days=(day,), shape=round_.shape, key=f"chaos:{round_.number}:{day}")
        found: list[str] = []
        for disturbance in round_.disturbances:
            found += self._disturber.disturb(order, disturbance, delivery)
            if disturbance.kind in STOPS:
                # Its phases belong to a candidate that was overtaken: from here on it is other runs that go on.
                order = order.model_copy(update={"key": f"{order.key}:again"})
        found += self._disturber.dag_run_ended(order)
        self.account.reruns += self._disturber.until_done(order) - 1
        self.account.recoveries += 1
        # What was corrected is corrected in both feeds, and the second domain reads what the first publishes.
        for domain in DOMAINS if delivery.is_corrected else DOMAINS[1:]:
            self._disturber.until_done(Order(domain=domain, days=(day,)))
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
        return Delivery(day, before, other(before))

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
            before = other(delivery.content) if delivery.is_corrected else delivery.before
            notes = self.pool.collected()
            begun_again = sum("begun_again" in note for note in notes)
            self.account.outcomes["reader's transaction begun again (40001)"] += begun_again
            found += invariants.what_readers_saw(
                self.subject, notes, before, delivery.content, is_ordered=not delivery.is_corrected
            )
            self.account.checks += 1
            self.account.readings, self.pool.polls = self.account.readings + self.pool.polls, 0
        return found
