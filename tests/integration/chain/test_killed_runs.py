"""A run that dies at any instruction: what readers see is whole, and the next run ends as if it had never been."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from interlock.db.connection import Role
from interlock.ingestion import loads
from interlock.pipeline import chain, phases
from interlock.pipeline.runs import Session

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

DAY, BEFORE = "2013-01-08", "2013-01-07"
WEATHER = "airport_weather"
DATASETS = ("observations", "stg_airport_weather__observations", "fct_departure_conditions")

# Where the run dies: what it is about to call (or has just called), which time, and what is published by then.
PLACES = {
    "in the middle of a load": (loads.marks, "require_unchanged", 1, ()),
    "after the verdict on a load": (phases.publications, "publish", 1, ()),
    "with a candidate built and not sealed": (phases, "_sealing_failure", 1, DATASETS[:1]),
    "with a candidate sealed": (phases.gate, "judge", 1, DATASETS[:1]),
    "with the second layer's inputs pinned": (phases.candidates, "build", 2, DATASETS[:2]),
    "before the last publish": (phases.publications, "publish", 3, DATASETS[:2]),
    "at the very end": (Session, "finish", 1, DATASETS),
}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
@pytest.mark.parametrize("place", PLACES)
def test_a_run_that_is_killed_leaves_what_was_and_the_next_one_ends_the_same(world: World, place: str):
    others = _counts(world, BEFORE)
    module, name, time, published = PLACES[place]
    process = multiprocessing.get_context("fork").Process(target=_run_until, args=(module, name, time))
    process.start()
    process.join(120)
    assert process.exitcode == -signal.SIGKILL

    assert _counts(world, BEFORE) == others
    versions = world.versions()
    assert [name for name in DATASETS if versions[name, DAY]] == list(published)
    assert {key for key in world.unsafe() if key[1] != DAY} == set()

    assert world.run(WEATHER, DAY).is_complete
    assert world.unsafe() == set()
    assert _counts(world, DAY) == len((world.landing / "flights" / f"flights_{DAY}.csv").read_text().splitlines()) - 1
    assert world.rows("select count(*) from interlock.claim", role=Role.AUDITOR) == [(0,)]
    assert world.rows(r"select nspname from pg_namespace where nspname like 'run\_%%' and %s", True) == []
    delivered = len((world.landing / "observations" / f"observations_{DAY}.csv").read_text().splitlines()) - 1
    loaded = "select count(*) from raw_airport_weather.observations_accepted where _partition = %s"
    assert world.rows(loaded, DAY, role=Role.DEVELOPER) == [(delivered,)]


@pytest.mark.parametrize("place", ["after the verdict on a load", "with a candidate built and not sealed"])
@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_a_run_that_is_interrupted_gives_its_partitions_free_at_once(
    world: World, monkeypatch: pytest.MonkeyPatch, place: str, interruption: type[BaseException]
):
    module, name, _, _ = PLACES[place]

    def interrupt(*_: Any, **__: Any) -> None:
        raise interruption

    with monkeypatch.context() as patched:
        patched.setattr(module, name, interrupt)
        with pytest.raises(interruption):
            chain.run(WEATHER, [DAY], trigger="test", by="tester")
    ended = "select state, split_part(message, ':', 1) from interlock.run order by run_id desc limit 1"
    assert world.rows(ended, role=Role.AUDITOR) == [("failed", interruption.__name__)]
    assert world.rows("select count(*) from interlock.claim", role=Role.AUDITOR) == [(0,)]
    assert world.rows(r"select nspname from pg_namespace where nspname like 'run\_%%' and %s", True) == []
    assert world.state("fct_departure_conditions", DAY) == "unknown"


def _run_until(module: Any, name: str, time: int) -> None:
    """Runs the chain in this process, and kills it instead of calling something for the given time."""
    calls = 0
    real: Callable[..., Any] = getattr(module, name)

    def fatal(*arguments: Any, **keywords: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == time:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **keywords)

    setattr(module, name, fatal)
    chain.run(WEATHER, [DAY], trigger="test", by="tester")


def _counts(world: World, day: str) -> int:
    [(rows,)] = world.rows("select count(*) from safe.fct_departure_conditions where flight_date = %s", day)
    return int(rows)
