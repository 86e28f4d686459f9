"""Which policy decides: the active one, which the database keeps, whatever lies in the checkout."""

from __future__ import annotations

import json
import shutil
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.conftest import POLICIES
from typer.testing import CliRunner

from interlock.cli import app
from interlock.control import actions, active, credentials
from interlock.control.bundles import Bundle, load_bundle
from interlock.control.cases import load_cases
from interlock.control.credentials import Grant
from interlock.control.decisions import Decision, PolicyInvalid
from interlock.control.policy import decide
from interlock.control.questions import ActionState, Actor, ActorKind, Question, Right
from interlock.control.records import Action, Proposal, Verb
from interlock.db.connection import Role
from interlock.errors import Exit
from interlock.settings import settings

if TYPE_CHECKING:
    from tests.conftest import Database

CASES = {case.name: case for case in load_cases(POLICIES)}
LIMITS = "interlock/limits/data.yaml"
AS_WIDE_AS_ALLOWED = Question.model_validate_json(json.dumps(CASES["as wide as the limit is still narrow"].document))


@pytest.fixture
def checkout(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The policies of a checkout of the test's own, beside a database in which none is active."""
    folder = Path(shutil.copytree(POLICIES, tmp_path / "project" / "include" / "policies"))
    monkeypatch.setenv("INTERLOCK_ROOT", str(tmp_path / "project"))
    settings.cache_clear()
    return folder


def narrow(folder: Path, partitions: int = 5) -> Bundle:
    """Write another limit into the checkout; as a bundle it is as good as any."""
    file = folder / LIMITS
    lines = [
        f"partitions_without_person: {partitions}" if line.startswith("partitions_without_person:") else line
        for line in file.read_text().splitlines()
    ]
    file.write_text("\n".join(lines) + "\n")
    return load_bundle(folder)


def person(name: str) -> Actor:
    return Actor(kind=ActorKind.PERSON, name=name, on_behalf_of=None, domains=("*",), rights=tuple(Right))


def proposed(database: Database, bundle: Bundle) -> Action:
    """Zoe proposes a bundle."""
    with database.connect(Role.OPERATOR) as connection:
        active.record(connection, bundle, "zoe")
    wanted = Proposal(kind="activate_policy", rationale="It is better.", parameters={"revision": bundle.revision})
    return actions.propose(wanted, person("zoe"))


def approved(action: Action, by: str) -> Action:
    return actions.answer(action.action_id, person(by), Verb.APPROVE, "I have read it.", via="command line")


def begun(database: Database, folder: Path) -> Bundle:
    """The checkout's bundle, active, and not yet known to this process."""
    bundle = load_bundle(folder)
    with database.connect(Role.CONTROLLER) as connection:
        assert active.begin(connection, bundle, "tester") == bundle.revision
    return bundle


def activations(database: Database) -> list[dict[str, Any]]:
    with database.connect(Role.AUDITOR) as connection:
        query = b"select payload from interlock.event where kind = 'policy_activated' order by event_id"
        return [row[0] for row in connection.execute(query)]


def run(*arguments: str):
    return CliRunner().invoke(app, ["policy", *arguments])


def test_a_changed_file_alone_changes_no_decision(checkout: Path):
    first = decide(AS_WIDE_AS_ALLOWED)
    narrow(checkout)
    second = decide(AS_WIDE_AS_ALLOWED)
    (checkout / LIMITS).write_text("a: [\n")
    third = decide(AS_WIDE_AS_ALLOWED)
    assert first.allow
    assert first == second == third


def test_of_two_that_decide_first_at_once_one_begins_the_policy(database: Database, checkout: Path):
    decisions: list[Decision] = []
    threads = [threading.Thread(target=lambda: decisions.append(decide(AS_WIDE_AS_ALLOWED))) for _ in range(2)]
    waiting = b"select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'"
    with database.connect(Role.ADMIN) as connection, database.connect(Role.ADMIN, autocommit=True) as other:
        connection.execute(b"select interlock.decide_alone()")
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + 30
        while other.execute(waiting).fetchone() != (2,):  # both have seen that there is none
            assert time.monotonic() < deadline
    for thread in threads:
        thread.join()
    revision = load_bundle(checkout).revision
    assert [(decision.allow, decision.revision) for decision in decisions] == [(True, revision)] * 2
    assert activations(database) == [{"revision": revision, "former": None, "action": None, "is_first": True}]


def test_a_first_decision_within_a_transaction_is_taken_back_with_it(database: Database, checkout: Path):
    with database.connect(Role.CONTROLLER) as connection:
        assert decide(AS_WIDE_AS_ALLOWED, connection).allow
        connection.rollback()
        assert active.revision(connection) is None


def test_a_policy_that_cannot_be_read_is_a_refusal(database: Database, checkout: Path):
    with database.connect(Role.CONTROLLER) as connection:
        connection.close()
        assert decide(AS_WIDE_AS_ALLOWED, connection).failure
    (checkout / LIMITS).write_text("a: [\n")
    decision = decide(AS_WIDE_AS_ALLOWED)
    assert (decision.allow, decision.revision) == (False, "")
    assert LIMITS in str(decision.failure)


def test_a_changed_row_decides_nothing(database: Database, checkout: Path):
    bundle = narrow(checkout, 19)
    begun(database, checkout)
    wider = bundle.contents | {LIMITS: bundle.contents[LIMITS].replace("person: 19", "person: 1000")}
    with database.connect(Role.ADMIN) as connection:
        connection.execute(b"alter table interlock.policy_bundle disable trigger append_only")
        connection.execute(b"alter table interlock.policy_bundle drop constraint revision_is_the_hash_of_the_content")
        connection.execute(b"update interlock.policy_bundle set content = %s", [Jsonb(wider)])
    decision = decide(AS_WIDE_AS_ALLOWED)
    assert not decision.allow
    assert "was changed since" in str(decision.failure)


def test_nothing_is_recorded_under_the_revision_of_something_else(database: Database, checkout: Path):
    forged = load_bundle(checkout).model_copy(update={"revision": "0" * 64})
    with (
        pytest.raises(psycopg.errors.CheckViolation),
        database.connect(Role.OPERATOR) as connection,
    ):
        active.record(connection, forged, "mallory")


def test_the_settings_choose_the_server_for_the_active_policy(checkout: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("INTERLOCK_OPA_URL", "http://127.0.0.1:1")
    settings.cache_clear()
    decision = decide(AS_WIDE_AS_ALLOWED)
    assert (decision.allow, decision.engine, decision.revision) == (False, "opa", load_bundle(checkout).revision)


def test_another_policy_decides_once_somebody_else_approved_it_and_the_former_one_again(
    database: Database, checkout: Path
):
    former, wanted = begun(database, checkout), narrow(checkout)
    action = proposed(database, wanted)
    assert action.state is ActionState.PROPOSED
    assert action.parameters == {"revision": wanted.revision, "former": former.revision}
    assert approved(action, "zoe").state is ActionState.PROPOSED
    assert decide(AS_WIDE_AS_ALLOWED).revision == former.revision

    done = approved(action, "bob")
    assert (done.state, done.result) == (ActionState.EXECUTED, {"former": former.revision})
    after = decide(AS_WIDE_AS_ALLOWED)
    assert (after.allow, after.revision) == (False, wanted.revision)

    back = actions.roll_back(done.action_id, person("zoe"), "It is too narrow.")
    assert back.state is ActionState.PROPOSED
    assert approved(back, "bob").state is ActionState.EXECUTED
    assert actions.get(done.action_id).state is ActionState.ROLLED_BACK
    assert decide(AS_WIDE_AS_ALLOWED).revision == former.revision
    assert [(event["revision"], event["action"]) for event in activations(database)] == [
        (former.revision, None), (wanted.revision, done.action_id), (former.revision, back.action_id),
    ]  # fmt: skip


def test_a_policy_that_was_approved_against_another_one_is_not_activated(database: Database, checkout: Path):
    begun(database, checkout)
    one, two = proposed(database, narrow(checkout, 5)), proposed(database, narrow(checkout, 6))
    assert approved(one, "bob").state is ActionState.EXECUTED
    late = approved(two, "bob")
    assert late.state is ActionState.INVALIDATED
    assert decide(AS_WIDE_AS_ALLOWED).revision == one.parameters["revision"]


def test_a_policy_that_nobody_could_replace_cannot_be_proposed(database: Database, checkout: Path):
    begun(database, checkout)
    file = checkout / "interlock" / "actions" / "kinds.rego"
    file.write_text(file.read_text().replace("activate_policy", "put_policy"))
    with pytest.raises(PolicyInvalid, match="could never be replaced"):
        proposed(database, load_bundle(checkout))


def test_a_difference_from_the_active_policy_exits_1_and_none_exits_0(database: Database, checkout: Path):
    assert run("diff").exit_code == Exit.FAILED  # none is active: all of it is new
    begun(database, checkout)
    assert (run("diff").exit_code, run("diff").output) == (Exit.OK, "")
    narrow(checkout)
    ended = run("diff")
    assert ended.exit_code == Exit.FAILED
    assert ended.output.splitlines()[:2] == [f"--- active/{LIMITS}", f"+++ checkout/{LIMITS}"]
    assert "\n-partitions_without_person: 20\n+partitions_without_person: 5\n" in ended.output


def test_what_is_shown_and_packed_is_the_active_policy(database: Database, checkout: Path, tmp_path: Path):
    assert "no policy is active" in run("show").output
    former = begun(database, checkout)
    assert "This checkout's is the same" in run("show").output
    narrow(checkout)
    shown = run("show").output
    assert f"Revision {former.revision}, active since" in shown
    assert "This checkout's differs" in shown
    assert "partitions_without_person: 20" in shown
    assert "Nothing automatic while a domain is frozen" in shown
    packed = run("bundle", "--active", "--to", str(tmp_path / "bundle.tar.gz"))
    assert f"revision {former.revision}" in packed.output


def test_the_command_proposes_what_decides_as_its_cases_say_and_nothing_else(
    database: Database, checkout: Path, monkeypatch: pytest.MonkeyPatch
):
    grant = Grant(person="zoe", scopes=tuple(Right), domains=("*",), lasts=timedelta(hours=1))
    monkeypatch.setenv("INTERLOCK_TOKEN", str(credentials.create(grant, "tester")[1]))
    settings.cache_clear()
    begun(database, checkout)
    narrow(checkout)
    refused = run("activate", "--reason", "Narrower.")
    assert refused.exit_code == Exit.FAILED
    assert "Not proposed" in refused.output
    assert actions.find() == []

    shutil.copytree(POLICIES, checkout, dirs_exist_ok=True)
    wanted = checkout / "interlock" / "actions" / "kinds.rego"
    wanted.write_text(wanted.read_text() + "\n# The same in other words.\n")
    ended = run("activate", "--reason", "Better words.")
    assert ended.exit_code == Exit.OK
    (action,) = actions.find()
    assert (action.kind, action.state, action.rationale) == ("activate_policy", ActionState.PROPOSED, "Better words.")
    assert action.parameters["revision"] == load_bundle(checkout).revision
