"""What a team's Airflow asks with: over HTTP or of the database, in a task or in the triggerer, it is the same."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from interlock.control.questions import Right
from interlock.db.connection import Role
from interlock.errors import CouldNotAsk, InterlockError, UsageError
from interlock.operators.asking import Question, answers, answers_meanwhile, relied

DAYS = ("2013-01-05", "2013-01-06")
NOWHERE = "http://127.0.0.1:9"


@pytest.fixture(params=["database", "api"])
def ask(request, filled, monkeypatch):
    """Makes a question for the way that is tested."""
    url = None
    if request.param == "api":
        served, token = (request.getfixturevalue(name) for name in ("served", "token"))
        monkeypatch.setenv("INTERLOCK_TOKEN", token("ada", scopes=[Right.READ]))
        url = served.url
    return lambda dataset="fct_orders", partitions=DAYS, **more: Question(dataset, partitions, url, **more)


def meanwhile(question):
    return asyncio.run(answers_meanwhile(question))


def test_each_partition_gets_the_answer_that_the_database_gives_a_consumer(ask, filled):
    filled.fail(run := filled.admit("shop", DAYS[1]), filled.deliver(run, "orders", DAYS[1], [7]), DAYS[1])
    told = {day: filled.call(Role.CONSUMER, "ask", "fct_orders", day) for day in DAYS}
    for way in (answers, meanwhile):
        given = way(ask())
        assert [(a.partition, a.state.value, a.version) for a in given] == [
            (day, told[day]["state"], told[day]["version"]) for day in DAYS
        ]
    assert [answer.safe for answer in answers(ask())] == [True, False]


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ({"dataset": "fct_ordres"}, "There is no dataset"),
        ({"partitions": ("all",)}, "fct_orders has no partition all"),
        ({"dataset": "dim_sizes"}, "dim_sizes has no partition 2013-01-05"),
        ({"consumer": "nobody_registered"}, "No consumer is registered"),
    ],
)
def test_what_no_repetition_mends_is_said_at_once(ask, question, said):
    with pytest.raises(UsageError, match=said):
        answers(ask(**question))


@pytest.mark.parametrize("way", [answers, meanwhile])
def test_nobody_there_is_no_answer(ask, way, monkeypatch):
    monkeypatch.setenv("INTERLOCK_CONSUMER_URL", "postgresql://nobody@127.0.0.1:9/nothing")
    question = ask()
    with pytest.raises(CouldNotAsk):
        way(replace(question, url=NOWHERE) if question.url else question)


def test_without_an_address_of_its_own_a_task_takes_the_environments(monkeypatch):
    assert Question("d", DAYS).where.url is None
    monkeypatch.setenv("INTERLOCK_URL", NOWHERE)
    assert (Question("d", DAYS).where.url, Question("d", DAYS, "http://own").where.url) == (NOWHERE, "http://own")


def test_who_went_on_is_on_record_under_the_dag_where_the_platform_itself_was_asked(ask, filled):
    question = ask()
    relied(question, answers(question), "airflow:team")
    noted = filled.rows(Role.OPERATOR, "select distinct who, via from interlock.reliance where via = 'airflow'")
    assert noted == ([] if question.url else [("airflow:team", "airflow")])


def test_no_token_is_no_answer_either(served, filled, monkeypatch):
    monkeypatch.setenv("INTERLOCK_TOKEN", f"ilk_1_{'0' * 64}")
    with pytest.raises(InterlockError, match="token"):
        answers(Question("fct_orders", DAYS, served.url))
