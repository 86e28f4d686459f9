"""A run phase by phase, as an orchestrator drives it: the same end as in one go, whatever is rerun, skipped or stopped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from interlock.db.connection import Role
from interlock.errors import PermanentFailure, TransientFailure
from interlock.pipeline import chain, phases
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from .conftest import World

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAY = "2013-01-08"
LATER = list(Phase)[1:]
CURATED = ("fct_flights", "agg_carrier_daily", "fct_departure_conditions", "dim_aircraft", "dim_carriers", "dim_airports")


def test_phase_by_phase_ends_where_the_chain_in_one_process_ends(worlds: Callable[..., World], week: World):
    ends = []
    for drive in (_in_one_process, _phase_by_phase):
        world = worlds(week)
        world.deliver(DAY)
        for domain in (FLIGHTS, WEATHER):
            drive(domain)
        ends.append((world.unsafe(), {name: world.published(name) for name in CURATED}, _left_behind(world)))
    assert ends[0] == ends[1]
    assert ends[0][0] == set()
    assert ends[0][2] == ([], [])


def test_every_phase_may_run_twice(world: World):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    for phase in LATER:
        chain.run_phase(phase, key)
        once = {key: version for key, version in world.versions().items() if key[1] in (DAY, "all")}
        chain.run_phase(phase, key)
        assert once == {key: version for key, version in world.versions().items() if key[1] in (DAY, "all")}
    assert ("fct_departure_conditions", DAY) not in world.versions() or True
    assert {name for name, day in world.unsafe() if day == DAY} <= {"fct_departure_conditions"}


@pytest.mark.parametrize("skipped", LATER[:-1])
def test_a_phase_whose_predecessor_was_only_marked_successful_fails_and_publishes_nothing(world: World, skipped: Phase):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    at = LATER.index(skipped)
    for phase in LATER[:at]:
        chain.run_phase(phase, key)
    before = world.versions()
    with pytest.raises(PermanentFailure, match=f"`{skipped}` before it has not run"):
        chain.run_phase(LATER[at + 1], key)
    assert world.versions() == before


def test_a_gate_that_failed_and_was_marked_successful_lets_nothing_through(world: World):
    world.deliver(DAY, fault="half_the_rows")
    key = _admitted(FLIGHTS)
    chain.run_phase(Phase.LOAD, key)
    with pytest.raises(PermanentFailure, match="flights 2013-01-08: rows"):
        chain.run_phase(Phase.GATE_RAW, key)
    for phase in LATER[2:]:
        with pytest.raises(PermanentFailure, match="marked|Marking"):
            chain.run_phase(phase, key)
    assert world.rows("select count(*) from safe.fct_flights where flight_date = %s", DAY) == [(0,)]
    assert world.state("fct_flights", DAY) == "unsafe"


def test_what_passed_is_published_although_a_sibling_failed_its_gate(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    for phase in LATER[:6]:
        chain.run_phase(phase, key)
    _with_impossible_clause(monkeypatch, "agg_carrier_daily")
    with pytest.raises(PermanentFailure, match="agg_carrier_daily 2013-01-08: "):
        chain.run_phase(Phase.GATE_CURATED, key)
    assert world.state("fct_flights", DAY) == "safe"
    assert world.state("agg_carrier_daily", DAY) == "unsafe"
    held = "select count(*) from versions.agg_carrier_daily__v%s"
    version = world.rows("select max(version) from interlock.version", role=Role.AUDITOR)[0][0]
    names = world.rows("select table_name from interlock.version_table order by version desc limit 3", role=Role.AUDITOR)
    held = next(name for (name,) in names if name.startswith("agg_carrier_daily"))
    assert version
    assert world.rows(f"select count(*) > 0 from versions.{held}", role=Role.GATE) == [(True,)]


def test_what_reads_a_candidate_that_failed_its_gate_is_not_judged(world: World, monkeypatch: pytest.MonkeyPatch):
    world.deliver(DAY)
    _with_impossible_clause(monkeypatch, "fct_flights")
    report = world.run(FLIGHTS, DAY)
    assert {(item.dataset, item.began_at) for item in report.blocked} == {
        (name, ("fct_flights", DAY)) for name in ("fct_flights", "agg_carrier_daily")
    }
    verdicts = "select count(*) from interlock.verdict v join interlock.dataset d using (dataset_id) where d.name = %s and partition = %s"
    assert world.rows(verdicts, "agg_carrier_daily", DAY, role=Role.AUDITOR) == [(0,)]
    assert [reason["path"] for reason in world.reasons("agg_carrier_daily", DAY)] == [["fct_flights", "agg_carrier_daily"]]


def test_a_gate_that_is_asked_again_after_its_run_ended_refuses_to_judge(world: World, monkeypatch: pytest.MonkeyPatch):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    with monkeypatch.context() as patched:
        _with_impossible_clause(patched, "stg_flight_operations__flights")
        for phase in LATER[:3]:
            chain.run_phase(phase, key)
        with pytest.raises(PermanentFailure):
            chain.run_phase(Phase.GATE_STAGED, key)
    with pytest.raises(PermanentFailure, match="cannot be judged any more"):
        chain.run_phase(Phase.GATE_STAGED, key)

    for phase in LATER[2:]:
        chain.run_phase(phase, key)
    assert world.state("fct_flights", DAY) == "safe"


def test_a_run_resumes_from_the_phase_that_failed(world: World, monkeypatch: pytest.MonkeyPatch):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    for phase in LATER[:2]:
        chain.run_phase(phase, key)
    for failure in (TransientFailure("the database is starting up"), RuntimeError("nobody foresaw this")):
        with monkeypatch.context() as patched:
            patched.setattr(phases.candidates, "build", _raising(failure))
            with pytest.raises(type(failure)):
                chain.run_phase(Phase.STAGE, key)
        assert _left_behind(world)[0] == []
    for phase in LATER[2:]:
        chain.run_phase(phase, key)
    assert world.state("fct_flights", DAY) == "safe"
    assert _left_behind(world) == ([], [])


def test_the_second_of_two_runs_of_one_partition_is_refused_for_now(world: World):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    chain.run_phase(Phase.LOAD, key)
    with pytest.raises(TransientFailure, match=f"partition {DAY} .* is held by run"):
        world.run(FLIGHTS, DAY, "2013-01-09")
    assert world.run(FLIGHTS, "2013-01-03").is_complete  # another day goes on beside it
    chain.run_phase(Phase.GATE_RAW, key)
    chain.abandon(key, "stopped by an operator")
    assert world.run(FLIGHTS, DAY).is_complete


def test_a_phase_of_a_run_whose_partitions_were_taken_over_publishes_nothing(world: World):
    world.deliver(DAY)
    key = _admitted(FLIGHTS)
    for phase in LATER[:4]:
        chain.run_phase(phase, key)
    chain.abandon(key, "stopped by an operator")
    assert world.run(FLIGHTS, DAY).is_complete
    before = world.versions()
    chain.run_phase(Phase.PUBLISH_STAGED, key)
    assert world.versions() == before


def test_an_input_that_was_replaced_before_the_publish_is_built_from_anew(world: World):
    world.deliver(DAY)
    assert world.run(FLIGHTS, DAY).is_complete
    key = _admitted(WEATHER)
    for phase in LATER[:7]:
        chain.run_phase(phase, key)
    flights = world.landing / "flights" / f"flights_{DAY}.csv"
    flights.write_text("".join(flights.read_text().splitlines(keepends=True)[:-1]))
    flights.with_name(flights.name + ".done").unlink()
    assert world.run(FLIGHTS, DAY).is_complete

    chain.run_phase(Phase.PUBLISH_CURATED, key)
    assert world.unsafe() == set()
    both = "select (select count(*) from safe.fct_flights where flight_date = %s), (select count(*) from safe.fct_departure_conditions where flight_date = %s)"
    [(ours, theirs)] = world.rows(both, DAY, DAY)
    assert ours == theirs


def _in_one_process(domain: str) -> None:
    assert chain.run(domain, [DAY], trigger="test", by="tester").is_complete


def _phase_by_phase(domain: str) -> None:
    key = _admitted(domain)
    for phase in LATER:
        chain.run_phase(phase, key)


def _admitted(domain: str) -> str:
    key = f"orchestrated {domain}"
    chain.admit(domain, [DAY], run_key=key, trigger="test", by="tester")
    return key


def _left_behind(world: World) -> tuple[list[tuple[object, ...]], list[tuple[object, ...]]]:
    """Claims and workspaces: a run that has ended leaves neither."""
    claims = world.rows("select domain, partition, run_id from interlock.claim", role=Role.AUDITOR)
    return claims, world.rows(r"select nspname from pg_namespace where nspname like 'run\_%%' and %s", True)


def _raising(failure: Exception) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise failure

    return fail


def _with_impossible_clause(monkeypatch: pytest.MonkeyPatch, dataset: str) -> None:
    """One of the dataset's clauses that block cannot hold any more; its name and its place stay."""
    checks_of = phases.checks_of

    def impossible(contract: object) -> object:
        checks = checks_of(contract)
        if contract.dataset != dataset:
            return checks
        chosen = next(check for check in checks if check.kind == "not_null")
        return tuple(check.model_copy(update={"columns": ("no_such_column",)}) if check is chosen else check for check in checks)

    monkeypatch.setattr(phases, "checks_of", impossible)
