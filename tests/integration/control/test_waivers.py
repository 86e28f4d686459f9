"""A waiver lets one named consumer read what is not safe, in `waived.<dataset>` alone; it makes nothing safe."""

from __future__ import annotations

from contextlib import ExitStack
from uuid import uuid4

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.conftest import Server
from tests.integration.conftest import Platform
from tests.integration.control.people import ANNA, BEN, CARL, proposal
from typer.testing import CliRunner

from interlock import cli
from interlock.cli.answers import sentences
from interlock.control import actions
from interlock.control.kinds.waivers import RevokeWaiver, Waive
from interlock.control.questions import ActionState
from interlock.control.records import Proposal, Verb
from interlock.db import consumers
from interlock.db.connection import Role
from interlock.db.embedded import SUPERUSER
from interlock.errors import PermanentFailure, UsageError
from interlock.safety.answers import ask

DAY, NEXT = "2013-01-05", "2013-01-06"
RADIUS = {"partitions": 1, "rows": 2, "datasets": [], "domains": [], "consumers": [], "metrics": [], "touches": {}}


class Waivers:
    """Calls that propose, approve and execute, without a policy in the way; consumers with logins of their own."""

    def __init__(self, platform: Platform, server: Server, stack: ExitStack) -> None:
        self.platform = platform
        self.server = server
        self.stack = stack
        self.logins: dict[str, str] = {}

    def login(self, name: str) -> str:
        """A consumer of this test's own; returns its real name."""
        real = f"{name}_{self.platform.database.name}"
        self.logins[real] = consumers.create(real, "tester")
        self.stack.callback(self.server.run, f"drop role if exists {real}")
        return real

    def session(self, login: str, *, autocommit: bool = True) -> psycopg.Connection:
        """A connection of that consumer."""
        return self.stack.enter_context(psycopg.connect(self.logins[login], autocommit=autocommit))

    def definition(self, kind: str, dataset: str, *days: str, **more: object) -> dict[str, object]:
        """An action's row, for the version that is served."""
        (dataset_id, version) = self.platform.rows(
            Role.OPERATOR,
            "select p.dataset_id, p.version from interlock.partition p join interlock.dataset d using (dataset_id)"
            " where d.name = %s and p.partition = %s", dataset, days[0],
        )[0]  # fmt: skip
        actor = {"kind": "person", "name": "ana", "domains": ["*"], "rights": ["propose"], "on_behalf_of": None}
        return {
            "action_id": 0, "key": str(uuid4()), "kind": kind, "domains": ["shop"], "dataset_id": dataset_id,
            "partitions": list(days), "version": version, "parameters": {}, "rationale": "the board meets today",
            "actor": actor, "radius": RADIUS, "undoes": None,
        } | more  # fmt: skip

    def act(self, effect: str, definition: dict[str, object]) -> tuple[int, dict[str, object]]:
        """Carry an action out; returns its id and its result."""
        controller = self.platform.as_(Role.CONTROLLER)
        with controller.transaction():
            propose = "select action_id from interlock.propose_action(%s, '[]')"
            (action,) = controller.execute(propose, [Jsonb(definition)]).fetchone()
            allow = Jsonb({"allow": True})
            controller.execute("select interlock.record_decision(%s, %s)", [action, allow])
            controller.execute("select interlock.move_action(%s, 'proposed', 'approved', 'policy')", [action])
        with controller.transaction():
            controller.execute("select interlock.begin_execution(%s, 'ana')", [action])
            (result,) = controller.execute(f"select interlock.{effect}(%s)".encode(), [action]).fetchone()
            controller.execute("select interlock.end_execution(%s, 'ana', %s)", [action, Jsonb(result)])
        return action, result

    def grant(self, consumer: str, dataset: str, *days: str, hours: int = 8) -> int:
        """Waive the served version of some days."""
        parameters = {"consumer": consumer, "lasts_hours": hours}
        return self.act("grant_waiver", self.definition("waive", dataset, *days, parameters=parameters))[0]


@pytest.fixture
def waivers(filled, server):
    """The filled platform, with the day of fct_orders unsafe: its rerun failed its gate, and is held."""
    run = filled.admit("shop", DAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", DAY, amounts=(666,)), DAY)
    filled.finish(run)
    with ExitStack() as stack:
        yield Waivers(filled, server, stack)


def amounts(session, dataset="fct_orders"):
    """What a session reads in the waived view."""
    return [row[0] for row in session.execute(f"select amount from waived.{dataset} order by 1".encode())]


def test_a_waived_partition_is_read_by_its_consumer_alone_and_stays_unsafe_for_all(waivers):
    one, other = waivers.login("one"), waivers.login("other")
    action = waivers.grant(one, "fct_orders", DAY)
    reader = waivers.session(one)
    assert amounts(reader) == [1, 2]
    assert reader.execute("select distinct day::text from waived.fct_orders").fetchall() == [(DAY,)]
    assert amounts(reader, "agg_orders") == []
    assert amounts(waivers.session(other)) == amounts(waivers.platform.as_(Role.CONSUMER)) == []
    for session in (reader, waivers.session(other), waivers.platform.as_(Role.CONSUMER)):
        assert session.execute("select from safe.fct_orders where day = %s", [DAY]).fetchall() == []
        assert session.execute("select interlock.is_safe('fct_orders', %s)", [DAY]).fetchone() == (False,)
    answer = ask("fct_orders", DAY)
    assert (answer.safe, answer.state, answer.waiver.consumer, answer.waiver.action) == (False, "unsafe", one, action)
    assert any(f"Waived for {one} until " in line and f"(action {action})" in line for line in sentences(answer))
    assert ask("fct_orders", NEXT).waiver is None


def test_a_waiver_belongs_to_who_reads_and_to_no_role_that_they_pass_through(waivers):
    one, other = waivers.login("one"), waivers.login("other")
    waivers.grant(one, "fct_orders", DAY)
    reader, stranger = waivers.session(one), waivers.session(other)
    reader.execute("set plan_cache_mode = force_generic_plan")
    query = "select amount from waived.fct_orders order by 1"
    assert reader.execute(query, prepare=True).fetchall() == [(1,), (2,)]
    reader.execute("set role interlock_consumer")
    assert reader.execute(query, prepare=True).fetchall() == []
    reader.execute("reset role")
    assert reader.execute(query, prepare=True).fetchall() == [(1,), (2,)]
    for statement in (f"set role {one}", f"set session authorization {one}"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            stranger.execute(statement.encode())
    for role in (Role.DEVELOPER, Role.BUILDER, Role.LOADER):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            waivers.platform.session(role).execute(query)


def lapsed_lease(waivers):
    waivers.platform.session(Role.OWNER).execute("update interlock.dataset set lease_until = interlock.now()")


def quarantined(waivers):
    for dataset in ("fct_orders", "total_orders"):
        day = DAY if dataset == "fct_orders" else "all"
        waivers.act("withdraw_version", waivers.definition("quarantine_partition", dataset, day))


@pytest.mark.parametrize("hidden_by", [quarantined, lapsed_lease])
def test_what_a_quarantine_or_a_lapsed_lease_hides_can_be_waived_too(waivers, hidden_by):
    hidden_by(waivers)
    one = waivers.login("one")
    waivers.grant(one, "fct_orders", DAY)
    waivers.grant(one, "total_orders", "all")
    reader = waivers.session(one)
    assert amounts(reader) == amounts(reader, "total_orders") == [1, 2]
    assert reader.execute("select from safe.total_orders").fetchall() == []


def test_a_waiver_shows_the_version_that_it_names_and_nothing_once_another_one_is_served(waivers):
    one = waivers.login("one")
    waivers.grant(one, "fct_orders", DAY)
    reader = waivers.session(one)
    assert amounts(reader) == [1, 2]  # not the held 666
    run = waivers.platform.admit("shop", DAY, NEXT)
    waivers.platform.renew(run, "fct_orders", DAY, amounts=(5,))
    waivers.platform.renew(run, "fct_orders", NEXT, amounts=(7,))
    assert amounts(reader) == []
    waivers.platform.workspace(run)
    waivers.platform.fail(run, waivers.platform.build(run, "fct_orders", NEXT), NEXT)
    waivers.grant(one, "fct_orders", NEXT)
    assert amounts(reader) == [7]
    # A condition of the reader's own is not shown what is hidden: a row of 5 would divide by nothing.
    assert reader.execute("select amount from waived.fct_orders where 1 / (amount - 5) < 9").fetchall() == [(7,)]


def test_a_waiver_runs_out_by_itself_in_real_time_whatever_the_clock_is_set_to(waivers):
    one = waivers.login("one")
    action = waivers.grant(one, "fct_orders", DAY)
    reader = waivers.session(one)
    for instant in ("2013-01-08T06:00:00Z", "2099-01-01T00:00:00Z"):
        waivers.platform.call(Role.OPERATOR, "set_clock", instant, "tester")
        assert amounts(reader) == [1, 2]
    waivers.platform.call(Role.OPERATOR, "clear_clock", "tester")
    waivers.platform.session(Role.OWNER).execute(
        "update interlock.waiver set granted_at = now() - interval '9 hours', expires_at = now() - interval '1 second'"
    )
    assert amounts(reader) == []
    assert ask("fct_orders", DAY).waiver is None
    with pytest.raises(psycopg.Error, match="ran out at") as refused:
        waivers.act("revoke_waiver", waivers.definition("revoke_waiver", "fct_orders", DAY, undoes=action))
    assert refused.value.sqlstate == "IL017"


def test_a_revoked_waiver_gives_nothing_and_its_way_back_is_another_waiver(waivers):
    one = waivers.login("one")
    waived = waivers.grant(one, "fct_orders", DAY, hours=8)
    reader = waivers.session(one)
    revoke = waivers.definition("revoke_waiver", "fct_orders", DAY, undoes=waived)
    elsewhere = waivers.definition("revoke_waiver", "agg_orders", DAY, undoes=waived)
    with pytest.raises(psycopg.Error, match="not about just what this one would take back"):
        waivers.act("revoke_waiver", elsewhere)
    assert amounts(reader) == [1, 2]
    _, result = waivers.act("revoke_waiver", revoke)
    assert amounts(reader) == []
    assert (result["consumer"], result["hours_left"]) == (one, 8)
    events = waivers.platform.rows(
        Role.AUDITOR,
        "select kind, actor, partition, payload ->> 'consumer' from interlock.event"
        " where kind in ('waived', 'waiver_revoked') order by event_id",
    )
    assert events == [("waived", "ana", DAY, one), ("waiver_revoked", "ana", DAY, one)]


def test_nothing_is_waived_but_by_an_action_that_is_being_executed(waivers):
    one = waivers.login("one")
    action = waivers.grant(one, "fct_orders", DAY)
    for role in (Role.CONTROLLER, Role.OPERATOR, Role.CONSUMER):
        with pytest.raises(psycopg.Error) as refused:
            waivers.platform.session(role).execute("select interlock.grant_waiver(%s)", [action])
        assert refused.value.sqlstate in ("IL016", "42501")


def test_only_what_is_served_and_not_safe_is_waived_for_a_while_to_one_named_consumer(waivers):
    asked = {"consumer": waivers.login("one"), "lasts_hours": 8}
    waivable = waivers.definition("waive", "fct_orders", DAY)
    cases = [
        (waivable | {"partitions": [DAY, NEXT]}, {}, "does not serve version"),
        (waivable | {"version": 999999}, {}, "does not serve version"),
        (waivable | {"version": None}, {}, "does not serve version"),
        (waivers.definition("waive", "fct_orders", NEXT), {}, "is safe: it needs no waiver"),
        (waivers.definition("waive", "orders", DAY), {}, "is a feed"),
        (waivable, {"consumer": "interlock_consumer"}, "no consumer with a login of its own"),
        (waivable, {"consumer": "nobody_of_that_name"}, "no consumer with a login of its own"),
        (waivable, {"consumer": "pg_read_all_data"}, "no consumer with a login of its own"),
        (waivable, {"consumer": SUPERUSER}, "no consumer with a login of its own"),
        (waivable, {"consumer": None}, "no consumer with a login of its own"),
        (waivable, {"lasts_hours": 0}, "some whole hours"),
        (waivable, {"lasts_hours": 1.5}, "some whole hours"),
        (waivable, {"lasts_hours": None}, "for ever"),
    ]
    check = "select interlock.require_waivable(jsonb_populate_record(null::interlock.action, %s))"
    controller = waivers.platform.as_(Role.CONTROLLER)
    for definition, change, because in cases:
        with pytest.raises(psycopg.Error, match=because) as refused:
            controller.execute(check, [Jsonb(definition | {"parameters": asked | change})])
        assert refused.value.sqlstate == "IL017"
    controller.execute(check, [Jsonb(waivable | {"parameters": asked})])


def test_a_group_of_consumers_is_nobody_by_name(waivers):
    one = waivers.login("one")
    waivers.server.run(f"alter role {one} nologin")
    with pytest.raises(psycopg.Error, match="no consumer with a login of its own"):
        waivers.grant(one, "fct_orders", DAY)


def test_a_prepared_statement_fails_rather_than_miss_what_was_published_and_waived_in_its_transaction(waivers):
    one = waivers.login("one")
    reader = waivers.session(one, autocommit=False)
    reader.execute("set plan_cache_mode = force_generic_plan")
    query = "select amount from waived.fct_orders where day = %s order by 1"
    assert reader.execute(query, [DAY], prepare=True).fetchall() == []
    run = waivers.platform.admit("shop", DAY)
    waivers.platform.renew(run, "fct_orders", DAY, amounts=(5, 6))
    waivers.platform.workspace(run)
    waivers.platform.fail(run, waivers.platform.build(run, "fct_orders", DAY), DAY)
    assert reader.execute(query, [DAY], prepare=True).fetchall() == []  # theirs is nothing yet
    waivers.grant(one, "fct_orders", DAY)
    with pytest.raises(psycopg.errors.SerializationFailure, match="published anew after this statement was planned"):
        reader.execute(query, [DAY], prepare=True)
    reader.rollback()
    assert reader.execute(query, [DAY], prepare=True).fetchall() == [(5,), (6,)]


def test_a_proposal_is_completed_with_the_served_version_and_with_the_waiver_that_it_revokes(waivers):
    controller = waivers.platform.as_(Role.CONTROLLER)
    one, other = waivers.login("one"), waivers.login("other")
    asked = Proposal(kind="waive", rationale="r", dataset="fct_orders", partitions=(DAY,))
    for parameters in (
        {},
        {"consumer": one},
        {"consumer": one, "lasts_hours": True},
        {"consumer": one, "lasts_hours": 0},
    ):
        with pytest.raises(UsageError):
            Waive().complete(controller, asked.model_copy(update={"parameters": parameters}))
    asked = asked.model_copy(update={"parameters": {"consumer": one, "lasts_hours": 8}})
    version = waivers.definition("waive", "fct_orders", DAY)["version"]
    assert Waive().complete(controller, asked).version == version
    for days, because in (((DAY, NEXT), "have several"), (("2013-02-01",), "was ever published")):
        with pytest.raises(UsageError, match=because):
            Waive().complete(controller, asked.model_copy(update={"partitions": days}))

    revoking = Proposal(kind="revoke_waiver", rationale="r", dataset="fct_orders")
    with pytest.raises(UsageError, match="no such waiver"):
        RevokeWaiver().complete(controller, revoking)
    waived = waivers.grant(one, "fct_orders", DAY)
    completed = RevokeWaiver().complete(controller, revoking)
    assert (completed.undoes, completed.partitions, completed.version) == (waived, (DAY,), version)
    second = waivers.grant(other, "fct_orders", DAY)
    with pytest.raises(UsageError, match="Several waivers"):
        RevokeWaiver().complete(controller, revoking)
    chosen = revoking.model_copy(update={"parameters": {"consumer": other}})
    assert RevokeWaiver().complete(controller, chosen).undoes == second


def test_a_person_approves_a_waiver_and_taking_it_back_leaves_everything_as_it_was(waivers):
    one = waivers.login("one")
    before = ask("fct_orders", DAY)
    asked = proposal("waive", "fct_orders", DAY, parameters={"consumer": one, "lasts_hours": 8})
    waiting = actions.propose(asked, ANNA)
    assert (waiting.state, ask("fct_orders", DAY).waiver) == (ActionState.PROPOSED, None)
    waived = actions.answer(waiting.action_id, BEN, Verb.APPROVE, "the board meets", via="command line")
    assert (waived.state, waived.result["consumer"]) == (ActionState.EXECUTED, one)
    assert ask("fct_orders", DAY).waiver.action == waived.action_id
    assert amounts(waivers.session(one)) == [1, 2]

    revoked = actions.roll_back(waived.action_id, ANNA, "the board has met")
    assert (revoked.state, revoked.undoes) == (ActionState.EXECUTED, waived.action_id)
    assert actions.get(waived.action_id).state is ActionState.ROLLED_BACK
    aged = {"as_of", "freshness"}
    assert ask("fct_orders", DAY).model_dump(exclude=aged) == before.model_dump(exclude=aged)
    assert amounts(waivers.session(one)) == []
    again = actions.way_back(revoked.action_id, "it meets again")
    assert (again.kind, again.version, again.parameters) == ("waive", waived.version, asked.parameters)


def test_a_waiver_of_more_than_a_week_takes_two_who_did_not_propose_it(waivers):
    one = waivers.login("one")
    asked = proposal("waive", "fct_orders", DAY, parameters={"consumer": one, "lasts_hours": 240})
    waiting = actions.propose(asked, ANNA)
    for actor, state in ((ANNA, ActionState.PROPOSED), (BEN, ActionState.PROPOSED), (CARL, ActionState.EXECUTED)):
        waiting = actions.answer(waiting.action_id, actor, Verb.APPROVE, "yes", via="command line")
        assert waiting.state is state
    actions.roll_back(waiting.action_id, ANNA, "enough")

    vain = actions.propose(asked, ANNA)
    actions.answer(vain.action_id, ANNA, Verb.APPROVE, "I need it", via="command line")
    taken_back = actions.answer(vain.action_id, ANNA, Verb.REJECT, "never mind", via="command line")
    assert taken_back.state is ActionState.REJECTED
    assert amounts(waivers.session(one)) == []


def told(*arguments: str) -> str:
    """What `interlock consumer` prints."""
    ended = CliRunner().invoke(cli.app, ["consumer", *arguments], catch_exceptions=False)
    assert ended.exit_code == 0
    return ended.stdout


def test_a_consumer_made_at_the_command_line_reads_safe_and_nothing_else_until_it_is_dropped(waivers):
    one = f"one_{waivers.platform.database.name}"
    waivers.stack.callback(waivers.server.run, f"drop role if exists {one}")
    waivers.logins[one] = told("create", one).strip()
    reader = waivers.session(one)
    assert reader.execute("select current_user").fetchone() == (one,)
    assert reader.execute("select count(*) from safe.stg_orders").fetchone() == (4,)
    assert reader.execute("select interlock.ask('fct_orders', %s) ->> 'safe'", [DAY]).fetchone() == ("false",)
    for relation in ("curated.fct_orders", "interlock.waiver", "interlock.partition", "raw_shop.orders"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            reader.execute(f"select from {relation}".encode())
    with pytest.raises(UsageError, match="already"):
        told("create", one)
    for name in ("interlock_mine", "With Capitals", "a" * 41, "x; drop table"):
        with pytest.raises(UsageError, match="no name for a consumer"):
            told("create", name)

    action = waivers.grant(one, "fct_orders", DAY)
    assert f"{one}: 1 waiver\n" in told("list")
    with pytest.raises(PermanentFailure, match="holds 1 waiver"):
        told("drop", one)
    waivers.act("revoke_waiver", waivers.definition("revoke_waiver", "fct_orders", DAY, undoes=action))
    told("drop", one)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reader.execute("select from safe.stg_orders")
    for name in (one, "interlock_operator"):
        with pytest.raises(UsageError, match="was made here"):
            told("drop", name)
