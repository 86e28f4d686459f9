"""The control plane in a real Airflow: operators in a team's own DAG, approvals as its questions, pauses beside it; and
the consumer's side there: what a team's DAG asks before it acts, the mirrors, and the mounted API.

One Airflow for all of these tests. The control DAG's own schedule runs meanwhile, as it does in production; where a
test wants it now it triggers a run.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.integration.test_airflow import FLIGHTS, ROOT, WEATHER, Platform, forget, running_platform

from interlock import orchestration
from interlock.control import actions, pauses
from interlock.control.questions import ActionState, Actor, ActorKind, Right
from interlock.control.records import Action, Proposal
from interlock.db import consumers
from interlock.db.connection import Role, connect

CONTROL, APPROVAL, TEAM, REPORT = "interlock_control", "interlock_approval", "team", "report"
DAY, NEXT = "2013-01-02", "2013-01-03"
APPROVE, ELSEWHERE = "Approve", "Answered elsewhere"


@dataclass(frozen=True)
class Controlled(Platform):
    """The platform, and what people and teams do about it in Airflow."""

    def team(self, task: str, **params: Any) -> str:
        """Trigger one task of the team's DAG; the run's id."""
        return self.trigger(TEAM, conf={"task": task, "day": DAY, **params})

    def log(self, dag: str, run_id: str, task: str, number: int = 0) -> str:
        """What one try of a task logged, or else the last."""
        number = number or self.task(dag, run_id, task)["try_number"]
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
        body = {"chosen_options": [APPROVE], "params_input": params}
        self.airflow._ask("PATCH", self.path_of(run_id), body, {"Authorization": f"Bearer {self.logged_in(login)}"})

    def logged_in(self, login: str) -> str:
        """Airflow's token of a login."""
        user, password = orchestration.login(login)
        answer = self.airflow._ask("POST", "/auth/token", {"username": user, "password": password})
        return str(answer["access_token"])

    def returned(self, dag: str, run_id: str, task: str) -> Any:
        """What a task returned."""
        found = self.airflow.call(
            "GET", f"/api/v2/dags/{dag}/dagRuns/{run_id}/taskInstances/{task}/xcomEntries/return_value"
        )
        return found["value"]

    def reaction(self, known: set[str]) -> str:
        """The run that an asset's event has started, other than those that are known."""
        started: list[str] = []

        def look() -> str:
            runs = self.airflow.call("GET", "/api/v2/dags/reaction/dagRuns")["dag_runs"]
            started[:] = [run["dag_run_id"] for run in runs if run["dag_run_id"] not in known]
            return "started" if started else "none"

        self.until(look, {"started"})
        return started[0]

    def reactions(self) -> set[str]:
        """The runs that events have started so far."""
        return {run["dag_run_id"] for run in self.airflow.call("GET", "/api/v2/dags/reaction/dagRuns")["dag_runs"]}

    def announce(self, **extra: Any) -> str:
        """Send an event of fct_flights as anybody may who can write to Airflow; the run that it starts."""
        known = self.reactions()
        asset = self.airflow.call("GET", "/api/v2/assets?name_pattern=fct_flights")["assets"][0]["id"]
        self.airflow.call("POST", "/api/v2/assets/events", {"asset_id": asset, "extra": extra})
        return self.reaction(known)

    def asked(self, path: str, **headers: str) -> tuple[int, Any]:
        """The API that is mounted, asked with these headers: its status and what it says."""
        answer = httpx.get(f"{self.airflow.address}/interlock{path}", headers=headers, timeout=30, trust_env=False)
        return answer.status_code, answer.json()

    def path_of(self, run_id: str) -> str:
        return f"/api/v2/dags/{APPROVAL}/dagRuns/{run_id}/taskInstances/ask/-1/hitlDetails"

    def is_paused_in_airflow(self, dag: str) -> bool:
        return self.airflow.paused()[dag]


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Controlled, dict[str, str], str]]:
    """This checkout with teams' DAGs in it, one published day, and two people: who logs in as admin, and ben."""
    checkout = tmp_path_factory.mktemp("checkout")
    for name in ("include", "dbt_project", "expectations", "plugins", "pyproject.toml"):
        if (ROOT / name).exists():
            (checkout / name).symlink_to(ROOT / name)
    shutil.copytree(ROOT / "dags", checkout / "dags", ignore=shutil.ignore_patterns("__pycache__"))
    for file in (Path(__file__).parent / "dags").glob("*.py"):
        shutil.copy(file, checkout / "dags")
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


def test_a_sensor_waits_without_a_process_until_the_day_is_safe_and_what_it_relied_on_is_on_record(platform):
    platform.deliver(NEXT)
    known = platform.reactions()
    waiting = platform.trigger(REPORT, conf={"partition": NEXT})
    platform.until(lambda: platform.task(REPORT, waiting, "wait")["state"], {"deferred"})
    published = platform.run_day(FLIGHTS, NEXT)
    assert platform.ended(FLIGHTS, published) == "success"
    assert platform.ended(REPORT, waiting) == "success"
    version = platform.served("fct_flights", NEXT)
    relied = platform.returned(REPORT, waiting, "wait")
    assert (relied["dataset"], relied["partitions"], relied["versions"]) == ("fct_flights", [NEXT], [version])
    assert platform.returned(REPORT, waiting, "act") == [NEXT]
    links = platform.airflow.call("GET", f"/api/v2/dags/{REPORT}/dagRuns/{waiting}/taskInstances/wait/links")
    assert links["extra_links"]["Interlock"].endswith(f"/plugin/interlock/interlock/dataset/fct_flights/{NEXT}")

    # What was published started another team's run, which asked for that very day, and all of it is on record.
    reacting = platform.reaction(known)
    assert platform.ended("reaction", reacting) == "success"
    assert platform.returned("reaction", reacting, "require")["partitions"] == [NEXT]
    assert relying("fct_flights", NEXT) == {("airflow:reaction", version), ("airflow:report", version)}

    # With its event, and in the asset's store, Airflow has a mirror that says what it is.
    events = platform.airflow.call("GET", f"/api/v2/assets/events?source_dag_id={FLIGHTS}&source_run_id={published}")
    mirrors = {event["name"]: event["extra"] for event in events["asset_events"]}
    found = mirrors["fct_flights"]
    assert (found["interlock_mirror"], found["partition"], found["safe"], found["version"]) == (
        True,
        NEXT,
        True,
        version,
    )
    assert found["as_of"] < found["valid_until"]
    assert "Before acting, ask the platform" in found["note"]
    assert mirrors["dim_carriers"]["partition"] == "all"
    asset = events["asset_events"][0]["asset_id"]
    kept = platform.airflow.call("GET", f"/api/v2/assets/{asset}/state-store")["asset_state_store"]
    assert [entry["value"] for entry in kept] == [events["asset_events"][0]["extra"]]


def test_what_is_not_safe_fails_without_another_try_whatever_a_mirror_says(platform):
    require, log = ("require",), "is unknown: Nothing was ever delivered or built for this partition"
    liar = platform.announce(
        interlock_mirror=True, dataset="fct_flights", partition="2013-01-06", safe=True, state="safe"
    )
    assert platform.ended("reaction", liar) == "failed"
    assert platform.task("reaction", liar, *require)["try_number"] == 1
    assert log in platform.log("reaction", liar, *require)
    silent = platform.announce(safe=True)
    assert platform.ended("reaction", silent) == "failed"
    assert platform.task("reaction", silent, *require)["try_number"] == 1
    assert "names no partition" in platform.log("reaction", silent, *require)


def test_where_nobody_could_say_a_task_is_up_for_retry_and_has_not_passed(platform):
    with connect(Role.ADMIN, autocommit=True) as connection:
        connection.execute("alter role interlock_consumer nologin")
        try:
            running = platform.trigger(REPORT, conf={"partition": NEXT})
            platform.until(lambda: platform.task(REPORT, running, "wait")["state"], {"up_for_retry"})
        finally:
            connection.execute("alter role interlock_consumer login")
    assert platform.ended(REPORT, running) == "success"
    assert platform.task(REPORT, running, "wait")["try_number"] > 1
    assert "could not be asked" in platform.log(REPORT, running, "wait", 1)


def test_the_api_in_airflow_answers_whoever_is_logged_in_there_and_nobody_else(platform):
    question = f"/v1/safety/fct_flights/{NEXT}"
    token = platform.logged_in("admin")
    by_token, by_cookie = {"Authorization": f"Bearer {token}"}, {"Cookie": f"_token={token}"}
    assert [platform.asked(question, **way)[0] for way in ({}, by_token, by_cookie)] == [401, 200, 200]
    assert platform.asked(question, **by_cookie)[1]["version"] == platform.served("fct_flights", NEXT)
    # Nobody's: the platform's own login, a token that Airflow did not sign, and one of ours that never was.
    nobody = (platform.logged_in("interlock"), f"{token}x", f"ilk_1_{'0' * 64}")
    assert [platform.asked(question, Authorization=f"Bearer {shown}")[0] for shown in nobody] == [401] * 3
    ben = os.environ["INTERLOCK_TOKEN"]
    assert platform.asked("/v1/session", Authorization=f"Bearer {ben}")[1]["person"] == "ben"


def relying(dataset: str, partition: str) -> set[tuple[str, int]]:
    """Who went on because this was safe, by way of Airflow, and in which version."""
    with connect(Role.OPERATOR) as connection:
        return set(
            connection.execute(
                "select r.who, r.version from interlock.reliance r join interlock.dataset d using (dataset_id)"
                " where d.name = %s and r.partition = %s and r.via = 'airflow' and r.kind = 'check' and r.safe",
                [dataset, partition],
            )
        )


def newest(kind: str) -> Action:
    return actions.find(kind=kind, limit=1)[0]


def anna() -> Actor:
    return Actor(kind=ActorKind.PERSON, name="anna", on_behalf_of=None, domains=("*",), rights=tuple(Right))
