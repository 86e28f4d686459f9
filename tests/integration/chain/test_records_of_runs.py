"""What a run leaves behind for whoever asks later: its phases, its log, and, where it never began, its refusal."""

from __future__ import annotations

import io
import json
import logging
import re
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from interlock import logs
from interlock.contracts import loading
from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.errors import InterlockError
from interlock.pipeline import chain, disk_space, history
from interlock.pipeline.history import RunState
from interlock.pipeline.runs import Phase
from interlock.settings import settings

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

WEATHER, DAY = "airport_weather", "2013-01-08"
STAGED, FACTS = "stg_airport_weather__observations", "fct_departure_conditions"


@pytest.fixture
def written(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The log as JSON, from its finest level on; reads what was written so far."""
    package = logging.getLogger(logs.PACKAGE)
    before = package.handlers[:], package.level, package.propagate
    stream = io.StringIO()
    monkeypatch.setenv("INTERLOCK_LOG_FORMAT", "json")
    monkeypatch.setenv("INTERLOCK_LOG_LEVEL", "debug")
    settings.cache_clear()
    monkeypatch.setattr(sys, "stderr", stream)
    package.handlers[:] = []
    logs.configure()
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    package.handlers[:], package.level, package.propagate = before


def test_every_phase_leaves_its_end_and_its_rows_and_every_line_of_the_log_its_ids(
    world: World, written: Callable[[], list[dict[str, Any]]]
):
    report = world.run(WEATHER, DAY)
    found = history.run(report.run_id)
    assert [(phase.phase, phase.state) for phase in found.phases] == [(phase.value, "completed") for phase in Phase]
    assert all(phase.seconds is not None for phase in found.phases)
    rows = {phase.phase: phase.rows for phase in found.phases}
    assert [phase for phase, count in rows.items() if not count] == ["admit"]
    assert rows["stage"] == rows["gate_staged"] == rows["publish_staged"]
    assert rows["build"] == rows["gate_curated"] == rows["publish_curated"]

    records = written()
    ended = {record["phase"]: record.get("rows") for record in records if " completed in " in record["message"]}
    assert ended == {phase: count for phase, count in rows.items() if count} | {"admit": None}
    names = re.compile(rf"\b({'|'.join(loading.load_contracts())})\b")
    about = [record for record in records if names.search(record["message"])]
    for record in about:
        ids = (record.get("run"), record.get("dataset"), record.get("partition"))
        assert ids == (report.run_id, names.search(record["message"])[0], DAY), record
    numbered = {(record["phase"], record["dataset"]) for record in about if {"load", "version"} & record.keys()}
    assert numbered >= {
        ("gate_raw", "observations"), ("stage", STAGED), ("gate_staged", STAGED), ("publish_staged", STAGED),
        ("build", FACTS), ("gate_curated", FACTS), ("publish_curated", FACTS),
    }  # fmt: skip
    assert {record["run"] for record in records if record["phase"] != "admit"} == {report.run_id}


def test_a_run_that_is_refused_is_on_record_with_its_reason_and_its_key_is_free_for_another_try(
    world: World, monkeypatch: pytest.MonkeyPatch
):
    held = chain.admit(WEATHER, [DAY], run_key="the first", trigger="test", by="tester")
    assert _refused(lambda: world.run(WEATHER, DAY)) == "RefusedForNow"
    assert _refused(lambda: world.run("no_domain", DAY)) == "UsageError"
    assert _refused(lambda: world.run(WEATHER)) == "UsageError"
    with monkeypatch.context() as patched:
        patched.setenv("INTERLOCK_ROOT", str(settings().state))
        settings.cache_clear()
        assert _refused(lambda: world.run(WEATHER, DAY)) == "ContractInvalid"
    settings.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(disk_space, "require_space", _full)
        assert _refused(lambda: world.run(WEATHER, DAY)) == "TooLittleSpace"

    def admit() -> None:
        chain.admit(WEATHER, [DAY], run_key="the second", trigger="airflow scheduled", by="airflow")

    assert _refused(admit) == "RefusedForNow"
    chain.abandon("the first", "stopped")
    admit()
    chain.run_phase(Phase.LOAD, "the second")
    states = [run.state for run in history.runs(partition=DAY, last=7)]
    assert states == [RunState.RUNNING, *[RunState.REFUSED] * 5, RunState.FAILED]
    assert history.run(held).state is RunState.FAILED
    assert world.rows("select count(*) from interlock.claim where run_id = %s", held, role=Role.AUDITOR) == [(0,)]


def test_a_refusal_that_cannot_be_recorded_is_logged_and_is_still_what_is_raised(
    world: World, written: Callable[[], list[dict[str, Any]]], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("INTERLOCK_OPERATOR_URL", "postgresql://x@127.0.0.1:1/x")
    connections.forget()
    with pytest.raises(InterlockError, match="There is no domain"):
        world.run("no_domain", DAY)
    said = [(record["level"], record["message"].split(":")[0]) for record in written()]
    assert said[1:] == [
        ("error", said[1][1]), ("warning", "what was to be recorded or cleared away at the end was not"),
    ]  # fmt: skip
    assert said[1][1].startswith("admit failed after")


def _full() -> None:
    raise disk_space.TooLittleSpace("the disk is full")


def _refused(attempt: Callable[[], object]) -> str | None:
    """The class of the refusal that an attempt leaves on record, with the words that were raised."""
    with pytest.raises(InterlockError) as raised:
        attempt()
    newest = history.runs(last=1)[0]
    assert (newest.state, newest.failed_phase, newest.failure_message) == (RunState.REFUSED, "admit", newest.message)
    assert newest.message == str(raised.value)
    return newest.failure_class
