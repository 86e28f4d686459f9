"""`interlock runs`: what ran, how it ended, and what started and never ended."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from typing import Any

import pytest
from rich.console import Console

from interlock.cli import runs as printed
from interlock.db.connection import Role
from interlock.errors import UsageError
from interlock.pipeline import history
from interlock.pipeline.history import PhaseState, RunState

DAY, NEXT = "2013-01-05", "2013-01-06"
WEEK = [f"2013-01-0{day}" for day in range(1, 8)]
REASON = "orders 2013-01-05: 2 keys are doubled"


def interlock(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own."""
    return subprocess.run(
        [sys.executable, "-c", "from interlock.cli import main; main()", *arguments],
        capture_output=True, text=True, check=False, env=os.environ | environment,
    )  # fmt: skip


class Hand:
    """Runs made by hand: what the chain calls, one by one."""

    def __init__(self, platform: Any) -> None:
        self.platform = platform

    def admit(self, *days: str, domain: str = "shop", lease: str = "30 min", backend: int | None = None) -> int:
        self.platform.keys += 1
        run_id, _ = self.platform.call(
            Role.OPERATOR, "admit_run", f"hand:{self.platform.keys}", domain, list(days), "command line",
            "ann@host", lease, backend,
        )  # fmt: skip
        return int(run_id)

    def start(self, run: int, phase: str, *, lease: str = "30 min") -> int:
        return int(self.platform.call(Role.OPERATOR, "start_phase", run, phase, lease)[0])

    def end(self, phase: int, state: str = "completed", rows: int | None = None, *failure: str) -> None:
        self.platform.call(Role.OPERATOR, "end_phase", phase, state, rows, *(failure or (None, None)))

    def finish(self, run: int, state: str = "succeeded", message: str | None = None) -> None:
        self.platform.call(Role.OPERATOR, "finish_run", run, state, message)


@pytest.fixture
def hand(platform: Any) -> Hand:
    return Hand(platform)


@pytest.fixture
def ran(hand: Hand) -> dict[str, int]:
    """One run of each kind: a week that succeeded, a day that failed, one under way, one that died."""
    made = {}
    made["succeeded"] = hand.admit(*WEEK)
    hand.end(hand.start(made["succeeded"], "load"), "completed", 12345)
    hand.finish(made["succeeded"])
    made["failed"] = hand.admit(DAY)
    hand.end(hand.start(made["failed"], "load"), "completed", 36)
    hand.end(hand.start(made["failed"], "gate_raw"), "failed", 36, "Blocked", f"{REASON}\n  It holds back stg_orders.")
    hand.end(hand.start(made["failed"], "stage"), "failed", None, "Blocked", "orders is not safe")
    hand.finish(made["failed"], "failed", f"{REASON}\n  It holds back stg_orders.")
    made["running"] = hand.admit(DAY, domain="weather")
    hand.end(hand.start(made["running"], "load"), "completed", 71)
    hand.start(made["running"], "gate_raw")
    made["died"] = hand.admit(NEXT, lease="-1 second")
    hand.start(made["died"], "build", lease="-1 second")
    return made


def shown(found: Any, *, width: int | None = None) -> str:
    """What is printed, to a terminal of that width or to a file."""
    console = Console(file=io.StringIO(), width=width or 80, force_terminal=width is not None, color_system=None)
    if isinstance(found, history.RunHistory):
        printed.show_one(found, console)
    else:
        printed.show(found, console)
    return console.file.getvalue()  # type: ignore[attr-defined]


def test_each_run_is_listed_with_how_it_ended_and_what_failed(ran: dict[str, int]):
    lines = shown(history.runs()).splitlines()
    assert [line.split()[0] for line in lines[1:] if line[0] != " "][:-1] == [
        str(ran[name]) for name in ("died", "running", "failed", "succeeded")
    ]
    text = "\n".join(lines)
    for part in ("2013-01-01 to 2013-01-07 (7)", "12,345", "command line", "ann@host", "never ended", "running"):
        assert part in text
    assert f"gate_raw (Blocked): {REASON}" in text
    assert "last seen in build; nobody holds its partitions" in text
    assert "It holds back" not in text


def test_one_run_is_shown_with_each_of_its_phases_and_the_whole_of_what_was_said(ran: dict[str, int]):
    text = shown(history.run(ran["failed"]))
    columns = [line.split()[:2] for line in text.split("phase ", 1)[1].splitlines()[1:] if line[0] != " "]
    assert columns == [["load", "completed"], ["gate_raw", "failed"], ["stage", "failed"]]
    for part in ("by ann@host", "Blocked", "It holds back stg_orders.", "orders is not safe"):
        assert part in text


def test_a_run_is_running_as_long_as_somebody_holds_its_partitions_and_never_ended_after(platform: Any, hand: Hand):
    process = platform.session(Role.OPERATOR)
    run = hand.admit(DAY, lease="6 hours", backend=process.info.backend_pid)
    hand.start(run, "load", lease="6 hours")
    alive = history.run(run)
    assert (alive.state, alive.is_held_by_process, alive.phases[0].state) == (
        RunState.RUNNING, True, PhaseState.STARTED,
    )  # fmt: skip
    assert "holds its partitions as long as its process lives" in shown(alive)
    assert "under way for" in shown(alive)

    pid = process.info.backend_pid
    assert platform.rows(Role.ADMIN, "select pg_terminate_backend(%s, 5000)", pid) == [(True,)]
    dead = history.run(run)
    assert (dead.state, dead.finished_at, dead.held_until) == (RunState.NEVER_ENDED, None, None)
    assert dead.phases[0].state is PhaseState.NEVER_ENDED
    assert "nobody holds its partitions any more" in shown(dead)
    assert "ago and never ended" in shown(dead)


def test_of_a_run_that_is_held_only_the_newest_phase_can_be_under_way(hand: Hand):
    run = hand.admit(DAY)
    hand.start(run, "load")  # the task that did it was killed, and is tried again
    hand.start(run, "load")
    found = history.run(run)
    assert [phase.state for phase in found.phases] == [PhaseState.NEVER_ENDED, PhaseState.STARTED]
    assert (found.state, found.is_held_by_process) == (RunState.RUNNING, False)
    assert "by a lease until" in shown(found)


def test_a_phase_that_was_mended_by_another_attempt_is_not_what_failed(hand: Hand):
    run = hand.admit(DAY)
    hand.end(hand.start(run, "load"), "failed", None, "TransientFailure", "not there yet")
    hand.end(hand.start(run, "load"), "completed", 5)
    hand.end(hand.start(run, "gate_raw"), "failed", 5, "Blocked", REASON)
    hand.finish(run, "failed", REASON)
    [found] = history.runs()
    assert (found.failed_phase, found.failure_class, found.rows_loaded) == ("gate_raw", "Blocked", 5)


def test_ages_are_by_real_time_whatever_the_clock_is_set_to(platform: Any, ran: dict[str, int]):
    platform.call(Role.OPERATOR, "set_clock", "2030-01-08T06:00:00Z", "tester")
    assert all(0 <= found.age_seconds < 3600 for found in history.runs())
    assert history.run(ran["running"]).state is RunState.RUNNING
    assert all(0 <= phase.age_seconds < 3600 for phase in history.run(ran["died"]).phases)


def test_rows_of_a_build_are_those_that_it_sealed_and_of_a_publish_those_that_it_serves(platform: Any, hand: Hand):
    """Of this attempt and this layer."""
    run = platform.admit("shop", DAY)
    platform.deliver(run, "orders", DAY, (1, 2, 3))
    steps = (
        ("stage", "stg_orders", 3),
        ("stage", None, 0),
        ("build", "price_list", 2),
        ("publish_curated", "price_list", 4),
        ("publish_curated", None, 0),
    )
    for phase, dataset, rows in steps:
        attempt, run.token = platform.call(Role.OPERATOR, "start_phase", run.run_id, phase, "30 min")
        if dataset:
            platform.workspace(run)
            version = platform.build(run, dataset, DAY, amounts=range(rows))
            platform.judge(run, version, DAY)
            platform.publish(run, DAY, version)
        hand.end(attempt)
    found = history.run(run.run_id)
    assert [(phase.phase, phase.rows) for phase in found.phases] == [
        ("stage", 3), ("stage", None), ("build", 2), ("publish_curated", 4), ("publish_curated", None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ({}, ["died", "running", "failed", "succeeded"]),
        ({"domain": "weather"}, ["running"]),
        ({"partition": DAY}, ["running", "failed", "succeeded"]),
        ({"domain": "shop", "partition": DAY, "last": 1}, ["failed"]),
        ({"partition": "2013-02-01"}, []),
    ],
)
def test_runs_are_chosen_by_domain_and_partition_the_newest_first(
    ran: dict[str, int], asked: dict[str, Any], found: list[str]
):
    assert [run.run_id for run in history.runs(**asked)] == [ran[name] for name in found]


def test_a_domain_that_nobody_knows_is_refused_and_one_that_never_ran_is_not(platform: Any):
    assert history.runs("shop") == ()
    assert "interlock run DOMAIN" in shown(())
    with pytest.raises(UsageError, match="'shops'") as refused:
        history.runs("shops")
    assert "shop, weather" in refused.value.fix


def test_the_table_fits_a_terminal_and_is_whole_where_it_goes_to_a_file(ran: dict[str, int]):
    narrow = shown(history.runs(), width=60).splitlines()
    assert all(len(line) <= 60 for line in narrow)
    assert all(any(word in line for line in narrow) for word in ("never ended", "running", "failed", "succeeded"))
    assert "ann@host" not in "".join(narrow)
    assert "ann@host" in shown(history.runs())


@pytest.mark.parametrize(
    ("partitions", "words"),
    [
        ([DAY], DAY),
        (["all"], "all"),
        ([NEXT, DAY], f"{DAY} to {NEXT} (2)"),
        (WEEK, "2013-01-01 to 2013-01-07 (7)"),
        ([*WEEK, "all"], "2013-01-01 to 2013-01-07 (7), all"),
        (["2013-01-05", "2013-02-05"], "2013-01-05, 2013-02-05"),
        (["2013-01-05", "2013-02-05", "2013-03-05"], "3 days from 2013-01-05 to 2013-03-05"),
    ],
)
def test_a_range_is_said_in_few_words_and_never_hides_a_gap(partitions: list[str], words: str):
    assert printed.shortened(partitions) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.0181, "18 ms"), (4.24, "4.2 s"), (125, "2 min 5 s"), (7260, "2 h 1 min"), (180000, "2 d 2 h")],
)
def test_a_length_of_time_is_said_in_its_largest_units(seconds: float, words: str):
    assert printed.duration(seconds) == words


def test_the_command_answers_in_json_on_request(ran: dict[str, int]):
    listed = json.loads(interlock("runs", "--domain", "shop", "--last", "2", "--json").stdout)
    assert [(run["run_id"], run["state"]) for run in listed] == [
        (ran["died"], "never_ended"), (ran["failed"], "failed"),
    ]  # fmt: skip
    one = json.loads(interlock("runs", str(ran["failed"]), "--json").stdout)
    assert [phase["failure_class"] for phase in one["phases"]] == [None, "Blocked", "Blocked"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["99"], "no run 99"),
        (["--partition", "5 January"], "YYYY-MM-DD"),
        (["--domain", "shops"], "shop, weather"),
        (["1", "--last", "2"], "Give either its number"),
        (["--last", "0"], "--last"),
    ],
)
def test_wrong_usage_exits_2_and_says_what_is_right(platform: Any, arguments: list[str], said: str):
    ended = interlock("runs", *arguments)
    assert (ended.returncode, said in ended.stderr, ended.stdout) == (2, True, ""), ended
    assert "Traceback" not in ended.stderr


def test_a_database_that_cannot_be_asked_exits_5(platform: Any):
    ended = interlock("runs", INTERLOCK_OPERATOR_URL="postgresql://x@127.0.0.1:1/x")
    assert (ended.returncode, ended.stdout) == (5, "")
    assert "What to do" in ended.stderr
