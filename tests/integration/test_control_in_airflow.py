"""The control plane in a real Airflow: operators in a team's own DAG, approvals as its questions, pauses beside it.

One Airflow for all of these tests. The control DAG's own schedule runs meanwhile, as it does in production; where a
test wants it now it triggers a run.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_airflow import FLIGHTS, ROOT, WEATHER, Platform, forget, running_platform

from interlock import orchestration
from interlock.control import actions, pauses
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.records import Action, Proposal
from interlock.db import consumers

CONTROL, APPROVAL, TEAM = "interlock_control", "interlock_approval", "team"
DAY = "2013-01-02"
APPROVE, ELSEWHERE = "Approve", "Answered elsewhere"


@dataclass(frozen=True)
class Controlled(Platform):
    """The platform, and what people and teams do about it in Airflow."""

    def team(self, task: str, **params: Any) -> str:
        """Trigger one task of the team's DAG; the run's id."""
        return self.trigger(TEAM, conf={"task": task, "day": DAY, **params})

    def log(self, dag: str, run_id: str, task: str) -> str:
        """What the last try of a task logged."""
        number = self.task(dag, run_id, task)["try_number"]
        said = self.airflow.call("GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/logs/{number}")
        return str(said)

    def sweep(self) -> None:
        """Have the control DAG do its work now."""
        assert self.ended(CONTROL, self.trigger(CONTROL)) == "success"

    def question(self, run_id: str) -> dict[str, Any]:
        """The question of a run, once it is put; sweeps until then."""
        self.sweep()
        self.until(lambda: self.task(APPROVAL, run_id, "ask")["state"], {"awaiting_input"})
        return self.airflow.call("GET", self.path_of(run_id))

    def answer(self, run_id: str, login: str, **params: str) -> None:
        """Approve as a login of Airflow's."""
        user, password = orchestration.login(login)
        token = self.airflow._ask("POST", "/auth/token", {"username": user, "password": password})["access_token"]
        body = {"chosen_options": [APPROVE], "params_input": params}
        self.airflow._ask("PATCH", self.path_of(run_id), body, {"Authorization": f"Bearer {token}"})

    def path_of(self, run_id: str) -> str:
        return f"/api/v2/dags/{APPROVAL}/dagRuns/{run_id}/taskInstances/ask/-1/hitlDetails"

    def is_paused_in_airflow(self, dag: str) -> bool:
        return self.airflow.paused()[dag]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Controlled, dict[str, str], str]]:
    """This checkout with a team's DAG in it, one published day, and two people: who logs in as admin, and ben."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("include", "dbt_project", "expectations", "plugins", "pyproject.toml"):
        if (ROOT / name).exists():
            (checkout / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "dags", checkout / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(Path(__file__).parent / "dags" / "team.py", checkout / "dags")
    with running_platform(checkout) as (running, own):
        platform = Controlled(running.airflow)
        platform.deliver(DAY)
        assert platform.ended(FLIGHTS, platform.run_day(FLIGHTS, DAY)) == "success"
        ben = platform.command(
            "token", "create", "--for", "ben", "--scope", "approve", "--scope", "read", "--domain", "*"
        )
        yield platform, own, ben.strip().splitlines()[-1]


@pytest.fixture
def platform(started: tuple[Controlled, dict[str, str], str], monkeypatch: pytest.MonkeyPatch) -> Controlled:
    """The running platform, with the settings pointing to it."""
    running, own, ben = started
    for name, value in own.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("INTERLOCK_TOKEN", ben)
    forget()
    return running


def test_a_team_withdraws_what_its_check_found_bad_and_gives_it_back_once_a_person_has_approved_in_airflow(platform):
    version = platform.served("fct_flights", DAY)
    withdrawing = platform.team("quarantine", version=version)
    assert platform.ended(TEAM, withdrawing) == "success"
    assert platform.readable_rows("fct_flights", DAY) == 0
    done = newest("quarantine_partition")
    assert (done.state, done.version, done.actor.kind, done.actor.name) == (
        ActionState.EXECUTED, version, ActorKind.RUN, "airflow:team",
    )  # fmt: skip
    assert [(fact.kind, fact.partition, fact.version, fact.count) for fact in done.evidence] == [
        ("failed_check", DAY, version, 3)
    ]

    # Cleared, it is the same action, and not another one.
    platform.clear(TEAM, withdrawing)
    platform.until(lambda: platform.run(TEAM, withdrawing)["state"], {"queued", "running"})
    assert platform.ended(TEAM, withdrawing) == "success"
    assert newest("quarantine_partition").action_id == done.action_id

    # Giving it back takes a person. The task waits for one without a process of its own.
    releasing = platform.team("release")
    platform.until(lambda: platform.task(TEAM, releasing, "release")["state"], {"up_for_reschedule"})
    waiting = newest("release_partition")
    first, second = f"action_{waiting.action_id}", f"action_{waiting.action_id}_2"
    asked = platform.question(first)
    assert asked["subject"].startswith(f"Action {waiting.action_id}: release_partition fct_flights {DAY}")
    assert "It was the check that was wrong" in asked["body"]

    # The platform's own login is nobody's: its answer is refused, and the question put again.
    platform.answer(first, "interlock", reason="let it through")
    assert platform.ended(APPROVAL, first) == "failed"
    assert "does not count" in platform.log(APPROVAL, first, "record")
    assert actions.get(waiting.action_id).state is ActionState.PROPOSED
    platform.question(second)
    platform.answer(second, "admin", reason="I looked at the rows")
    assert platform.ended(APPROVAL, second) == "success"
    assert platform.ended(TEAM, releasing) == "success"
    released = actions.get(waiting.action_id)
    assert released.state is ActionState.EXECUTED
    assert [(given.reason, given.via) for given in released.answers] == [("I looked at the rows", "airflow")]
    assert platform.readable_rows("fct_flights", DAY) == 943


def test_of_two_people_one_approves_in_airflow_and_one_at_the_command_line_and_no_question_stays_open(platform):
    consumers.create("board", "tester")
    about = Proposal(kind="quarantine_partition", dataset="fct_flights", partitions=(DAY,), rationale="It looks odd.")
    assert actions.propose(about, anna()).state is ActionState.EXECUTED  # and what was built from it is unsafe
    refused = platform.team("waive_for_ever")
    assert platform.ended(TEAM, refused) == "failed"
    assert platform.task(TEAM, refused, "waive_for_ever")["try_number"] == 1
    assert "lasts some hours, at most" in platform.log(TEAM, refused, "waive_for_ever")
    run = platform.team("waive")
    assert platform.ended(TEAM, run) == "success"
    waiting = newest("waive")
    first, second = f"action_{waiting.action_id}", f"action_{waiting.action_id}_2"
    asked = platform.question(first)
    assert "(approval 1 of 2)" in asked["subject"]
    # A rationale is words: it cannot draw an answer that nobody gave.
    assert re.findall(r"^\*\*Answers so far:\*\*(.*)$", asked["body"], re.MULTILINE) == [" none"]
    platform.answer(first, "admin")
    assert platform.ended(APPROVAL, first) == "success"
    assert "(approval 2 of 2)" in platform.question(second)["subject"]

    platform.command("action", "approve", str(waiting.action_id), "--reason", "for the board")
    assert actions.get(waiting.action_id).state is ActionState.EXECUTED
    platform.sweep()
    assert platform.ended(APPROVAL, second) == "success"
    closed = platform.airflow.call("GET", platform.path_of(second))
    assert (closed["chosen_options"], closed["responded_by_user"]["name"]) == ([ELSEWHERE], "interlock")
    assert len(actions.get(waiting.action_id).answers) == 2


def test_a_paused_domain_admits_nothing_whatever_airflows_switch_says_and_the_switch_follows_the_pause(platform):
    run = platform.team("pause")
    platform.until(lambda: platform.task(TEAM, run, "pause")["state"], {"up_for_reschedule"})
    waiting = newest("pause_pipeline")
    platform.command("action", "approve", str(waiting.action_id), "--reason", "they told us")
    assert platform.ended(TEAM, run) == "success"
    pauses.mirror(platform.airflow)
    assert platform.is_paused_in_airflow(WEATHER)
    assert not platform.is_paused_in_airflow(FLIGHTS)

    # Somebody throws the switch back, again and again: the run is red all the same.
    def state() -> str:
        platform.airflow.set_paused(WEATHER, False)
        return str(platform.run(WEATHER, refused)["state"])

    refused = platform.run_day(WEATHER, DAY)
    assert platform.until(state, {"success", "failed"}) == "failed"
    assert f"(action {waiting.action_id}): Their sensors are down." in platform.log(WEATHER, refused, "admit")
    assert platform.task(WEATHER, refused, "admit")["try_number"] == 1
    assert platform.served("observations", DAY) is None
    pauses.mirror(platform.airflow)
    assert platform.is_paused_in_airflow(WEATHER)

    # What a person paused in Airflow is reported, and left.
    platform.airflow.set_paused(FLIGHTS, True)
    resumed = actions.propose(Proposal(kind="resume_pipeline", domain=WEATHER, rationale="They are up again."), anna())
    platform.command("action", "approve", str(resumed.action_id), "--reason", "seen")
    left = [found.pipeline for found in pauses.mirror(platform.airflow) if found.set_to is None]
    assert left == [FLIGHTS]
    assert not platform.is_paused_in_airflow(WEATHER)
    assert platform.is_paused_in_airflow(FLIGHTS)
    assert f"{FLIGHTS} is paused in Airflow alone" in platform.command("doctor")
    platform.airflow.set_paused(FLIGHTS, False)


def test_the_dags_of_control_are_started_again_whoever_pauses_them(platform):
    for dag in (CONTROL, APPROVAL):
        platform.airflow.set_paused(dag, True)
    assert platform.ended("interlock_maintenance", platform.trigger("interlock_maintenance")) == "success"
    assert [platform.is_paused_in_airflow(dag) for dag in (CONTROL, APPROVAL)] == [False, False]


def test_what_cannot_be_proposed_fails_at_once_and_says_what_there_is(platform):
    run = platform.team("nonsense")
    assert platform.ended(TEAM, run) == "failed"
    assert platform.task(TEAM, run, "nonsense")["try_number"] == 1
    assert "There is no action 'make_it_good'" in platform.log(TEAM, run, "nonsense")


def newest(kind: str) -> Action:
    return actions.find(kind=kind, limit=1)[0]


def anna() -> Actor:
    return Actor(kind=ActorKind.PERSON, name="anna", on_behalf_of=None, domains=("*",), rights=tuple(Right))
