"""Gate, clock, manifest, contract, task or disk fails: nothing turns green, and the message says what to do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from interlock import diagnosis
from interlock.db.connection import Role
from interlock.errors import PermanentFailure, TransientFailure, UsageError
from interlock.pipeline import chain, disk_space, retirement
from interlock.pipeline.runs import Phase
from interlock.quality import suites
from interlock.safety import answers, leases
from interlock.settings import settings
from interlock.transform import project

if TYPE_CHECKING:
    from tests.integration.chain.drills.conftest import Drill

FLIGHTS, WEATHER = "flight_operations", "airport_weather"
DAY, BEFORE = "2013-01-08", "2013-01-07"
LATER = list(Phase)[1:]
FACTS = "fct_departure_conditions"


# -- the gate --------------------------------------------------------------------------------------


def _crashes(*_: Any) -> None:
    raise RuntimeError("no batch")


BROKEN_GATES = {
    "crashes": (suites.Suites, "_batch", _crashes),
    "returns nothing": (suites.Suites, "_run", lambda *_: {}),
}


def test_a_gate_that_is_broken_blocks_what_it_should_have_judged(drill: Drill, monkeypatch: pytest.MonkeyPatch):
    for place, name, broken in BROKEN_GATES.values():
        with monkeypatch.context() as patched:
            patched.setattr(place, name, broken)
            report = drill.world.run(WEATHER, DAY)
        assert {item.dataset for item in report.blocked} >= {"observations", FACTS}
        assert "could not be evaluated" in report.blocked[0].reason
        drill.require_nothing_turned_green()
        assert drill.world.state("observations", DAY) == "unsafe"
    with monkeypatch.context() as patched:
        patched.setitem(suites.SESSION, "statement_timeout", "1ms")
        with pytest.raises(TransientFailure, match="statement timeout"):
            drill.world.run(WEATHER, DAY)
        drill.require_nothing_turned_green()
    drill.require_mended()


# -- the clock -------------------------------------------------------------------------------------


def test_a_clock_that_jumps_back_brings_no_answer_back_that_had_run_out(drill: Drill):
    _move_clock(drill, timedelta(days=30))
    assert drill.readable() == {}
    _move_clock(drill, timedelta(days=-1))
    assert drill.readable() == {}
    drill.world.rows("select interlock.clear_clock('tester')", role=Role.OPERATOR)
    assert drill.readable() == {}
    drill.require_nothing_turned_green()
    assert answers.ask(FACTS, BEFORE).reasons[0].code == "lease_ran_out"

    leases.renew("tester")
    drill.require_mended()


def test_a_clock_that_jumps_back_opens_no_late_delivery_again_and_gives_no_claim_free(drill: Drill):
    """What was found stays found, and a run keeps its partitions by real time."""
    _move_clock(drill, timedelta(days=400))
    leases.renew("tester")
    for file in (drill.world.landing / "observations").glob(f"*{DAY}*"):
        file.rename(file.with_name(f"{file.name}.away"))
    assert drill.world.run(WEATHER, DAY).blocked
    assert drill.world.state("observations", DAY) == "unsafe"
    _move_clock(drill, timedelta(days=-5000))
    assert drill.world.state("observations", DAY) == "unsafe"
    drill.require_nothing_turned_green()

    for file in (drill.world.landing / "observations").glob("*.away"):
        file.rename(file.with_name(file.name.removesuffix(".away")))
    chain.admit(WEATHER, [DAY], run_key="drilled", trigger="test", by="tester")
    for days in (4000, -8000):
        _move_clock(drill, timedelta(days=days))
        with pytest.raises(TransientFailure, match="is held by run"):
            drill.world.run(WEATHER, DAY)


def _move_clock(drill: Drill, by: timedelta) -> None:
    drill.world.rows("select interlock.set_clock(interlock.now() + %s, 'tester')", by, role=Role.OPERATOR)


# -- manifest and contracts ------------------------------------------------------------------------


def test_a_manifest_that_is_gone_or_cannot_be_read_is_parsed_anew(drill: Drill, monkeypatch: pytest.MonkeyPatch):
    kept = settings().state / "dbt" / f"manifest-{project.project_digest()[:16]}.msgpack"
    # Whatever ran before in this process may have left it in memory alone.
    monkeypatch.setattr(project, "_held", {})
    project.manifest()
    assert kept.exists()
    for break_it in (kept.unlink, lambda: kept.write_bytes(kept.read_bytes()[:1000])):
        break_it()
        monkeypatch.setattr(project, "_held", {})
        assert project.manifest().nodes
        assert len(kept.read_bytes()) > 1000
    drill.require_mended()


def test_a_manifest_of_other_files_or_of_another_dbt_is_not_used(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    digest = project.project_digest()
    model = next(checkout.rglob("fct_departure_conditions.sql"))
    model.write_text(model.read_text() + "\n-- edited\n")
    edited = project.project_digest()
    monkeypatch.setattr("importlib.metadata.version", lambda _: "9.9.9")
    assert len({digest, edited, project.project_digest()}) == 3


@pytest.mark.parametrize("lost", [f"{WEATHER}/{FACTS}.yaml", f"{WEATHER}/observations.yaml"])
def test_a_contract_that_vanished_stops_every_run_and_what_was_served_keeps_its_answer(
    drill: Drill, checkout: Path, lost: str
):
    file = checkout / "include" / "contracts" / lost
    kept = file.read_bytes()
    file.unlink()
    for domain in (WEATHER, FLIGHTS):
        with pytest.raises(PermanentFailure, match="served, and without a contract") as refused:
            drill.world.run(domain, DAY)
        assert "include/contracts/ back" in refused.value.fix
        assert f"interlock contract retire {file.stem}" in refused.value.fix
    assert answers.ask(file.stem, BEFORE).safe  # its verdict stands, until its lease runs out
    drill.require_nothing_turned_green()
    edges = "select count(*) from interlock.edge where downstream_id = interlock.dataset_id_of(%s)"
    assert drill.world.rows(edges, FACTS, role=Role.OPERATOR) == [(2,)]
    file.write_bytes(kept)
    drill.require_mended()


def test_a_contract_that_is_gone_for_good_is_retired_and_the_others_go_on(drill: Drill, checkout: Path):
    file = checkout / "include" / "contracts" / WEATHER / f"{FACTS}.yaml"
    gone = {file: file.read_bytes()}
    with pytest.raises(PermanentFailure, match="is still there"):
        retirement.retire(FACTS, "no longer read", "ann@host", commit=True)
    file.unlink()
    before = answers.ask(FACTS, BEFORE)
    said = retirement.retire(FACTS, "no longer read", "ann@host", commit=False)
    assert (said.served, said.safe, said.is_done) == (7, 7, False)
    assert answers.ask(FACTS, BEFORE).version == before.version
    assert retirement.retire(FACTS, "no longer read", "ann@host", commit=True).is_done
    marts = (checkout / "dbt_project" / "models" / "marts" / WEATHER).rglob("*.*")
    for path in [*marts, *checkout.rglob("assert_departure_conditions*.sql")]:
        gone[path] = path.read_bytes()
        path.unlink()
    report = drill.world.run(WEATHER, DAY)
    assert report.blocked == ()
    assert {name for name, _ in report.published} == {"stg_airport_weather__observations"}
    assert [reason.code for reason in answers.ask(FACTS, BEFORE).reasons] == ["retired"]

    for path, content in gone.items():
        path.write_bytes(content)
    with pytest.raises(PermanentFailure, match="retired, and with a contract"):
        drill.world.run(WEATHER, DAY)
    assert retirement.restore(FACTS, "needed after all", "bob@host") == 7
    assert drill.world.run(WEATHER, BEFORE, DAY).is_complete
    assert [answers.ask(FACTS, day).safe for day in (BEFORE, DAY, "2013-01-06")] == [True, True, False]


def test_a_model_that_vanished_stops_the_run(drill: Drill, checkout: Path):
    model = next(checkout.rglob("fct_departure_conditions.sql"))
    kept = model.read_bytes()
    model.unlink()
    with pytest.raises(PermanentFailure) as refused:
        drill.world.run(WEATHER, DAY)
    assert FACTS in str(refused.value)
    drill.require_nothing_turned_green()
    model.write_bytes(kept)
    drill.require_mended()


# -- tasks and phases ------------------------------------------------------------------------------


def test_a_publish_whose_tasks_before_it_were_only_marked_successful_publishes_nothing(drill: Drill):
    chain.admit(WEATHER, [DAY], run_key="drilled", trigger="test", by="tester")
    for phase in (Phase.PUBLISH_STAGED, Phase.PUBLISH_CURATED):
        with pytest.raises(PermanentFailure, match="before it has not run") as refused:
            chain.run_phase(phase, "drilled")
        assert "Clear the run from" in refused.value.fix
    drill.require_nothing_turned_green()


def test_a_run_without_phases_or_partitions_makes_nothing_safe(drill: Drill):
    with pytest.raises(UsageError, match="No partition was given"):
        drill.world.run(WEATHER)
    call = "select * from interlock.admit_run('drilled', %s, array['2013-01-08'], 'test', 'tester', '30 min')"
    [(run_id, _)] = drill.world.rows(call, WEATHER, role=Role.OPERATOR)
    drill.world.rows("select interlock.finish_run(%s, 'succeeded')", run_id, role=Role.OPERATOR)
    drill.require_nothing_turned_green()
    assert not answers.ask(FACTS, DAY).safe
    with pytest.raises(PermanentFailure, match="No run was admitted under"):
        chain.run_phase(Phase.PUBLISH_CURATED, "a run that never was")


# -- the disk --------------------------------------------------------------------------------------


@pytest.fixture
def _embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INTERLOCK_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("INTERLOCK_LANDING_URL", f"file://{tmp_path}/landing")
    monkeypatch.setenv("INTERLOCK_MINIMUM_FREE_MB", "100000000")
    settings.cache_clear()


@pytest.mark.usefixtures("_embedded")
def test_no_run_begins_where_the_disk_is_nearly_full(tmp_path: Path):
    with pytest.raises(TransientFailure, match="too little disk space") as refused:
        chain.admit(WEATHER, [DAY], run_key="drilled", trigger="test", by="tester")
    said = str(refused.value)
    assert "(the database)" in said
    assert f"free at {tmp_path}/landing (the landing folder)" in said
    assert "100,000,000 MiB" in said
    assert "`interlock maintain`" in said
    assert not (tmp_path / "state" / "logs").exists()  # no server was started for it


@pytest.mark.usefixtures("_embedded")
def test_the_doctor_looks_at_the_same_disk_by_the_same_measure(monkeypatch: pytest.MonkeyPatch):
    found = list(diagnosis._disk(settings()))
    assert [finding.must_be_mended for finding in found] == [True, True]
    monkeypatch.setenv("INTERLOCK_MINIMUM_FREE_MB", "0")
    settings.cache_clear()
    assert not any(finding.must_be_mended for finding in diagnosis._disk(settings()))
    disk_space.require_space()


def test_the_disk_of_a_server_elsewhere_is_not_guessed_at(drill: Drill, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INTERLOCK_MINIMUM_FREE_MB", "100000000")
    settings.cache_clear()
    disk_space.require_space()
