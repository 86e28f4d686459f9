"""A run phase by phase, as an orchestrator drives it: the same end as in one go, whatever is rerun or skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from interlock.db.connection import Role
from interlock.errors import PermanentFailure, TransientFailure
from interlock.pipeline import chain, phases
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAY, NEXT = "2013-01-08", "2013-01-09"  # of the first the flights are published
LATER = list(Phase)[1:]


def test_phase_by_phase_ends_where_the_chain_in_one_process_ends(worlds: Callable[..., World], week: World):
    ends = []
    for drive in (_in_one_process, _phase_by_phase):
        world = worlds(week)
        drive()
        ends.append((world.unsafe(), world.published("fct_departure_conditions"), _left_behind(world)))
    assert ends[0] == ends[1]
    assert ends[0][0] == set()
    assert ends[0][2] == ([], [])


def test_every_phase_may_run_twice(world: World):
    key = _admitted()
    for phase in LATER:
        chain.run_phase(phase, key)
        once = {key: version for key, version in world.versions().items() if key[1] in (DAY, "all")}
        chain.run_phase(phase, key)
        assert once == {key: version for key, version in world.versions().items() if key[1] in (DAY, "all")}
    assert world.unsafe() == set()


@pytest.mark.parametrize("skipped", [Phase.LOAD, Phase.GATE_RAW, Phase.BUILD, Phase.GATE_CURATED])
def test_a_phase_whose_predecessor_was_only_marked_successful_fails_and_publishes_nothing(world: World, skipped: Phase):
    key = _admitted()
    at = LATER.index(skipped)
    for phase in LATER[:at]:
        chain.run_phase(phase, key)
    before = world.versions()
    with pytest.raises(PermanentFailure, match=f"`{skipped}` before it has not run"):
        chain.run_phase(LATER[at + 1], key)
    assert world.versions() == before


def test_a_gate_that_failed_and_was_marked_successful_lets_nothing_through(world: World):
    world.deliver(DAY, feeds=("observations",), fault="half_the_rows")
    key = _admitted()
    chain.run_phase(Phase.LOAD, key)
    with pytest.raises(PermanentFailure, match="observations 2013-01-08: "):
        chain.run_phase(Phase.GATE_RAW, key)
    for phase in LATER[2:]:
        with pytest.raises(PermanentFailure, match="Marking a task as successful does not do its work"):
            chain.run_phase(phase, key)
    assert world.rows("select count(*) from safe.fct_departure_conditions where flight_date = %s", DAY) == [(0,)]
    assert world.state("fct_departure_conditions", DAY) == "unsafe"


def test_what_passed_is_published_although_a_sibling_failed_its_gate(world: World, monkeypatch: pytest.MonkeyPatch):
    world.deliver(NEXT, feeds=("flights",))
    key = _admitted(FLIGHTS, NEXT)
    for phase in LATER[:6]:
        chain.run_phase(phase, key)
    _with_impossible_clause(monkeypatch, "agg_carrier_daily")
    with pytest.raises(PermanentFailure, match=f"^agg_carrier_daily {NEXT}: "):
        chain.run_phase(Phase.GATE_CURATED, key)
    assert world.state("fct_flights", NEXT) == "safe"
    assert world.state("agg_carrier_daily", NEXT) == "unsafe"
    [(held,)] = world.rows(
        "select t.table_name from interlock.verdict v join interlock.version_table t using (version)"
        " where v.outcome = 'failed'",
        role=Role.AUDITOR,
    )
    assert world.rows(f"select count(*) > 0 from versions.{held}", role=Role.GATE) == [(True,)]


def test_what_reads_a_candidate_that_failed_its_gate_is_not_judged(world: World, monkeypatch: pytest.MonkeyPatch):
    world.deliver(NEXT, feeds=("flights",))
    _with_impossible_clause(monkeypatch, "fct_flights")
    report = world.run(FLIGHTS, NEXT)
    assert {(item.dataset, item.began_at) for item in report.blocked} == {
        (name, ("fct_flights", NEXT)) for name in ("fct_flights", "agg_carrier_daily")
    }
    judged = (
        "select count(*) from interlock.verdict join interlock.dataset d using (dataset_id)"
        " where d.name = %s and partition = %s"
    )
    assert world.rows(judged, "agg_carrier_daily", NEXT, role=Role.AUDITOR) == [(0,)]
    paths = [reason["path"] for reason in world.reasons("agg_carrier_daily", NEXT)]
    assert paths == [["fct_flights", "agg_carrier_daily"]]


def test_a_gate_that_is_asked_again_after_its_run_ended_refuses_to_judge(world: World, monkeypatch: pytest.MonkeyPatch):
    key = _admitted()
    with monkeypatch.context() as patched:
        _with_impossible_clause(patched, "stg_airport_weather__observations")
        for phase in LATER[:3]:
            chain.run_phase(phase, key)
        with pytest.raises(PermanentFailure):
            chain.run_phase(Phase.GATE_STAGED, key)
    with pytest.raises(PermanentFailure, match="cannot be judged any more"):
        chain.run_phase(Phase.GATE_STAGED, key)

    for phase in LATER[2:]:
        chain.run_phase(phase, key)
    assert world.state("fct_departure_conditions", DAY) == "safe"


def test_a_run_resumes_from_the_phase_that_failed(world: World, monkeypatch: pytest.MonkeyPatch):
    key = _admitted()
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
    assert world.state("fct_departure_conditions", DAY) == "safe"
    assert _left_behind(world) == ([], [])


def test_the_second_of_two_runs_of_one_partition_is_refused_for_now(world: World):
    key = _admitted()
    chain.run_phase(Phase.LOAD, key)
    with pytest.raises(TransientFailure, match=f"partition {DAY} .* is held by run"):
        world.run(WEATHER, DAY, NEXT)
    assert world.run(WEATHER, "2013-01-03").is_complete  # another day goes on beside it
    chain.run_phase(Phase.GATE_RAW, key)
    chain.abandon(key, "stopped by an operator")
    assert world.run(WEATHER, DAY).is_complete


def test_a_phase_of_a_run_whose_partitions_were_taken_over_publishes_nothing(world: World):
    key = _admitted()
    for phase in LATER[:4]:
        chain.run_phase(phase, key)
    chain.abandon(key, "stopped by an operator")
    assert world.run(WEATHER, DAY).is_complete
    before = world.versions()
    chain.run_phase(Phase.PUBLISH_STAGED, key)
    assert world.versions() == before


def test_an_input_that_was_replaced_before_the_publish_is_built_from_anew(world: World):
    key = _admitted()
    for phase in LATER[:7]:
        chain.run_phase(phase, key)
    world.correct("flights", DAY)
    assert world.run(FLIGHTS, DAY).is_complete

    chain.run_phase(Phase.PUBLISH_CURATED, key)
    assert world.unsafe() == set()
    counted = "select count(*) from safe.{} where flight_date = %s"
    assert world.rows(counted.format("fct_departure_conditions"), DAY) == world.rows(counted.format("fct_flights"), DAY)


def _in_one_process() -> None:
    assert chain.run(WEATHER, [DAY], trigger="test", by="tester").is_complete


def _phase_by_phase() -> None:
    key = _admitted()
    for phase in LATER:
        chain.run_phase(phase, key)


def _admitted(domain: str = WEATHER, day: str = DAY) -> str:
    chain.admit(domain, [day], run_key="orchestrated", trigger="test", by="tester")
    return "orchestrated"


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
        broken = chosen.model_copy(update={"columns": ("no_such_column",)})
        return tuple(broken if check is chosen else check for check in checks)

    monkeypatch.setattr(phases, "checks_of", impossible)
