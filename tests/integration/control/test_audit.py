"""The audit's chain: whole when nobody touched it, and every kind of harm is found and named."""

from __future__ import annotations

import hashlib
import json

import psycopg
import pytest
from typer.testing import CliRunner

from interlock.cli import app
from interlock.control import audit
from interlock.control.audit import Harm
from interlock.db.connection import Role

DAY = "2013-01-05"


@pytest.fixture
def tamper(filled):
    """Change events as somebody would who owns the database: past every right and trigger."""

    def change(*statements):
        with filled.database.connect(Role.ADMIN, autocommit=True) as connection:
            connection.execute("set session_replication_role = replica")
            for statement in statements:
                connection.execute(statement)

    return change


def harms():
    return [(finding.harm, finding.position) for finding in audit.verify().findings]


def test_the_chain_is_whole_and_anybody_can_hash_it_again(filled):
    report = audit.verify()
    assert report.is_whole
    assert report.events == report.head.position > 10
    previous = audit.GENESIS
    for link in audit.trail():
        event = json.loads(link.as_json)
        digest = event.pop("hash")
        text = json.dumps(event, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert hashlib.sha256(text.encode()).hexdigest() == digest
        assert event["previous"] == previous
        previous = digest


def test_events_of_sessions_that_write_at_once_are_chained_in_the_order_of_their_commits(filled):
    first, second = filled.session(Role.OPERATOR, autocommit=False), filled.session(Role.OPERATOR, autocommit=False)
    first.execute("select interlock.clear_clock('first')")
    second.execute("set statement_timeout = '200ms'")
    with pytest.raises(psycopg.errors.QueryCanceled):
        second.execute("select interlock.clear_clock('second')")
    second.rollback()
    first.commit()
    second.execute("select interlock.clear_clock('second')")
    second.commit()
    assert audit.verify().is_whole
    assert [link.actor for link in audit.trail()][-2:] == ["first", "second"]


@pytest.mark.parametrize(
    "column",
    ["actor = 'nobody'", "at = at + interval '1 microsecond'", "payload = payload || '{\"x\": 1}'", "run_id = 77"],
)
def test_a_changed_event_is_named(filled, tamper, column):
    tamper(f"update interlock.event set {column} where position = 5")
    assert harms() == [(Harm.CHANGED, 5)]


def test_one_flipped_bit_is_named(filled, tamper):
    tamper("update interlock.event set hash = set_bit(hash, 3, 1 - get_bit(hash, 3)) where position = 4")
    assert (Harm.CHANGED, 4) in harms()


def test_a_removed_event_is_named(filled, tamper):
    tamper("delete from interlock.event where position = 6")
    (finding,) = audit.verify().findings
    assert (finding.harm, finding.position, finding.message) == (Harm.REMOVED, 7, "position 6 is gone")


def test_events_that_changed_places_are_named(filled, tamper):
    tamper(
        "update interlock.event set position = -1 where position = 3",
        "update interlock.event set position = 3 where position = 8",
        "update interlock.event set position = 8 where position = -1",
    )
    found = harms()
    assert {(Harm.REORDERED, 3), (Harm.REORDERED, 8)} <= set(found)


def test_an_inserted_event_is_named_though_it_has_a_right_hash(filled, tamper):
    tamper(
        "update interlock.event set position = -position - 1 where position > 6",
        "update interlock.event set position = -position where position < 0",
        "insert into interlock.event (kind, actor, payload, position, previous, hash) overriding user value"
        " select 'rolled_back', 'nobody', '{}', 7, e.hash, '' from interlock.event e where position = 6",
        "update interlock.event e set hash = sha256(convert_to(interlock.event_document(e), 'UTF8'))"
        " where position = 7",
    )
    assert (Harm.INSERTED, 7) in harms()
    assert Harm.REORDERED not in {harm for harm, _ in harms()}


def test_a_tail_that_was_cut_does_not_fit_its_anchor(filled, tamper):
    head = audit.anchor()
    assert head is not None
    cut = head.position - 2
    tamper(
        f"delete from interlock.event where position > {cut}",
        "update interlock.audit_head h set (position, hash) ="
        f" (select e.position, e.hash from interlock.event e where e.position = {cut})",
    )
    assert harms() == [(Harm.CUT, head.position)]


def test_a_chain_that_was_made_anew_does_not_fit_its_anchor(filled, tamper):
    head = audit.anchor()
    assert head is not None
    tamper(
        "update interlock.event set actor = 'nobody' where position = 2",
        """do $$
        declare
          e interlock.event;
          known bytea := decode(repeat('00', 32), 'hex');
        begin
          for e in select * from interlock.event order by position loop
            e.previous := known;
            known := sha256(convert_to(interlock.event_document(e), 'UTF8'));
            update interlock.event x set previous = e.previous, hash = known where x.position = e.position;
          end loop;
          update interlock.audit_head set hash = known;
        end $$""",
    )
    assert harms() == [(Harm.REWRITTEN, head.position)]


def test_nobody_but_the_database_chains_and_nobody_moves_its_head(filled):
    for role in (Role.OPERATOR, Role.PUBLISHER, Role.AUDITOR):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.session(role).execute("update interlock.audit_head set position = 0")
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            filled.session(role).execute("insert into interlock.event (kind, actor) values ('published', 'me')")


def test_the_command_says_what_is_wrong_or_cannot_be_told_and_its_exit_code_too(filled, tamper):
    alone = CliRunner().invoke(app, ["audit", "verify"])
    assert (alone.exit_code, "nobody can tell" in alone.output) == (4, True)
    audit.anchor()
    whole = CliRunner().invoke(app, ["audit", "verify"])
    assert (whole.exit_code, "The audit is whole" in whole.output) == (0, True)
    tamper("update interlock.event set actor = 'nobody' where position = 5")
    broken = CliRunner().invoke(app, ["audit", "verify"])
    assert broken.exit_code == 3
    assert "changed at position 5: event 5 is not what its hash was made of" in broken.output


def test_the_trail_leaves_as_cloudevents(filled):
    told = CliRunner().invoke(app, ["audit", "export", "--cloudevents", "--since", "3"]).output
    events = [json.loads(line) for line in told.splitlines()]
    assert events[0]["id"] == "4"
    published = next(event for event in events if event["type"] == "org.interlock.published")
    assert published["specversion"] == "1.0"
    assert published["subject"].count("/") == 1
    assert published["time"].endswith("Z")
    assert {"kind", "actor", "payload", "hash"} <= set(published["data"])
