"""Who was told what is on record: as whom they were known, counted by the minute, and never rewritten."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from psycopg.types.json import Jsonb
from tests.integration.control.people import version_of
from tests.integration.safety.relying import ADA, DAY, NEXT, reliances, turn_bad

from interlock.db.connection import Role
from interlock.errors import UsageError
from interlock.recovery import maintenance
from interlock.safety.answers import ask, check
from interlock.safety.recall import recall
from interlock.safety.reliances import Asker, Recorder, Via, note_own


def test_what_is_alike_within_a_minute_is_one_row(filled, recorder):
    answer = ask("fct_orders", DAY)
    noon = datetime(2026, 5, 1, 12, 0, 5, tzinfo=UTC)
    for second in range(50):
        recorder.note(ADA.checked(answer)._replace(at=noon + timedelta(seconds=second)))
        if second % 10 == 0:
            recorder.flush()
    recorder.flush()
    assert reliances(filled) == [("ada", "api", True, 50)]
    for _ in range(20):
        check("fct_orders", DAY)
    own = filled.rows(Role.AUDITOR, "select sum(count), count(*) from interlock.reliance where via = 'cli'")
    assert own[0][0] == 20
    assert own[0][1] <= 2


def test_a_login_of_the_database_is_noted_as_itself_and_as_nobody_else(filled, dashboard):
    consumer, operator = filled.as_(Role.CONSUMER), filled.as_(Role.OPERATOR)
    answer = filled.call(Role.CONSUMER, "check", "fct_orders", DAY, dashboard)
    assert answer["safe"]
    consumer.execute(
        "select interlock.rely('read', 'fct_orders', %s)", [Jsonb({DAY: answer["version"], NEXT: 999_999})]
    )
    noted = filled.rows(
        Role.AUDITOR, "select who, via, kind, consumer, partition, version from interlock.reliance order by kind"
    )
    assert noted == [
        ("interlock_consumer", "sql", "check", "dashboard", DAY, answer["version"]),
        ("interlock_consumer", "sql", "read", None, DAY, answer["version"]),
    ]
    note_own(
        "revenue", 7.0, DAY, {"fct_orders": {DAY: answer["version"], NEXT: version_of(filled, "fct_orders", NEXT)}}
    )
    assert filled.rows(
        Role.AUDITOR,
        "select r.who, r.via, r.metric, r.value, r.about, b.partitions from interlock.reliance r"
        " join interlock.reliance_basis b using (basis_id)",
    ) == [("interlock_consumer", "cli", "revenue", 7.0, DAY, [DAY, NEXT])]
    forged = json.dumps([{"who": "ada", "via": "api", "kind": "check", "dataset": "fct_orders", "safe": True}])
    for connection, statement in (
        (consumer, "select interlock.record_reliances(%s)"),
        (consumer, "select interlock.add_reliances(%s)"),
        (consumer, "insert into interlock.reliance (who) values (%s)"),
        (operator, "update interlock.reliance set who = %s"),
    ):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute(statement.encode(), [forged])
    for via in ("cli", "sql", "dbt"):
        with pytest.raises(psycopg.errors.InvalidParameterValue):
            operator.execute("select interlock.record_reliances(%s)", [forged.replace('"api"', f'"{via}"')])
    with pytest.raises(UsageError, match="no consumer is registered as"):
        check("fct_orders", DAY, "dashbord")


def test_a_record_is_counted_on_and_never_rewritten_even_by_its_owner(filled):
    check("fct_orders", DAY)
    owner = filled.as_(Role.ADMIN)
    for change in (
        "update interlock.reliance set who = 'somebody else'",
        "update interlock.reliance set count = 1",
        "delete from interlock.reliance",
        "truncate interlock.reliance",
    ):
        with pytest.raises(psycopg.Error) as refused:
            owner.execute(change.encode())
        assert refused.value.sqlstate == "IL010"


def test_one_login_leaves_so_many_rows_in_a_minute_and_the_rest_is_a_gap(filled):
    consumer = filled.as_(Role.CONSUMER)
    version = version_of(filled, "fct_orders")
    consumer.execute(
        "select interlock.rely('metric', 'fct_orders', %s, null, 'm', n) from generate_series(1, 500) as n",
        [Jsonb({DAY: version})],
    )
    rows, dropped = filled.rows(
        Role.AUDITOR,
        "select (select count(*) from interlock.reliance), coalesce(sum(count), 0) from interlock.reliance_gap",
    )[0]
    assert rows + dropped == 500
    assert rows <= 400


def test_what_could_not_be_kept_is_a_gap_that_a_recall_shows(filled):
    recorder = Recorder(capacity=1)
    for name in ("ada", "ben", "carl"):
        recorder.note(Asker(name, Via.API).checked(ask("fct_orders", DAY)))
    recorder.close()
    turn_bad(filled)
    [fallen] = recall("fct_orders", DAY).fallen
    [gap] = fallen.gaps
    assert gap.count == 2
    assert [one.who for one in fallen.relied] == ["ada"]


def test_what_was_noted_while_the_database_was_away_is_written_when_it_is_back(filled, monkeypatch, caplog):
    answer = ask("fct_orders", DAY)
    recorder = Recorder(capacity=2)
    monkeypatch.setenv("INTERLOCK_OPERATOR_URL", "postgresql://nobody@127.0.0.1:1/nowhere")
    for _ in range(3):
        recorder.note(ADA.checked(answer))
        assert not recorder.flush()
    for name in ("ben", "carl"):
        recorder.note(Asker(name, Via.API).checked(answer))
    assert caplog.text.count("cannot be written") == 1
    monkeypatch.delenv("INTERLOCK_OPERATOR_URL")
    assert recorder.flush()
    recorder.close()
    assert {(who, count) for who, _, _, count in reliances(filled)} >= {("ben", 1)}
    assert sum(count for who, _, _, count in reliances(filled) if who == "ada") == 3
    assert filled.rows(Role.AUDITOR, "select sum(count) from interlock.reliance_gap") == [(1,)]


def test_a_forked_child_writes_its_own_notes_and_none_of_its_parents(filled, recorder):
    answer = ask("fct_orders", DAY)
    recorder.note(ADA.checked(answer))
    child = os.fork()
    if child == 0:
        recorder.note(Asker("child", Via.API).checked(answer))
        recorder.close()
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    recorder.close()
    assert sorted((who, count) for who, _, _, count in reliances(filled)) == [("ada", 1), ("child", 1)]


def test_a_check_answers_when_it_cannot_be_noted(filled):
    other = filled.session(Role.ADMIN, autocommit=False)
    other.execute("lock table interlock.reliance in access exclusive mode")
    assert check("fct_orders", DAY).safe
    other.rollback()
    assert reliances(filled) == []
    with filled.session(Role.CONSUMER) as reader:
        reader.execute("set default_transaction_read_only = on")
        assert reader.execute("select interlock.check('fct_orders') ->> 'safe'").fetchone() == ("true",)


def test_maintenance_prunes_what_outlived_its_retention_and_nothing_else_does(filled, recorder):
    answer, days = ask("fct_orders", DAY), {DAY: 1, NEXT: 2}
    long_ago = datetime.now(UTC) - timedelta(days=400)
    recorder.note(ADA.checked(answer)._replace(at=long_ago))
    recorder.note(ADA.read("fct_orders", days)._replace(at=long_ago))
    recorder.note(ADA.checked(answer))
    recorder.flush()
    report = maintenance.maintain("tests")
    assert next(item.count for item in report.pruned if "relied" in item.what) == 2
    assert len(reliances(filled)) == 1
    assert filled.rows(Role.AUDITOR, "select count(*) from interlock.reliance_basis") == [(0,)]
