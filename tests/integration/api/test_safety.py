"""Safety over HTTP: the same answer as everywhere, to whoever may read it, and never *fine* where nobody could say."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from interlock.control.questions import Right
from interlock.safety.answers import ask

DAY = "2013-01-05"


def _without_time(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name not in ("as_of", "freshness")}


def test_the_answer_over_http_is_the_command_lines(filled: Any, asked: Any, token: Any):
    client = asked(token())
    for dataset, partition in (
        ("fct_orders", DAY),
        ("fct_orders", None),
        ("dim_sizes", "all"),
        ("orders", "2013-02-01"),
    ):
        told = client.get(f"/v1/safety/{dataset}/{partition}" if partition else f"/v1/safety/{dataset}")
        assert told.status_code == 200, told.text
        assert _without_time(told.json()) == _without_time(ask(dataset, partition).model_dump(mode="json"))


def test_over_a_socket_too(filled: Any, served: Any, token: Any):
    told = served(token()).get(f"/v1/safety/fct_orders/{DAY}")
    assert told.json()["safe"] is True
    assert told.headers["interlock-valid-until"]


def test_another_domains_token_is_refused_and_told_which_domain_it_lacks(filled: Any, asked: Any, token: Any):
    client = asked(token("ben", [Right.READ], ["weather"]))
    told = client.get(f"/v1/safety/fct_orders/{DAY}")
    assert told.status_code == 403
    assert told.headers["content-type"] == "application/problem+json"
    assert "shop" in told.json()["detail"]
    assert client.get(f"/v1/safety/fct_conditions/{DAY}").status_code == 200


def test_of_many_questions_each_is_answered_or_refused_by_itself(filled: Any, asked: Any, token: Any):
    questions = [
        {"dataset": "fct_conditions", "partition": DAY}, {"dataset": "fct_conditions"}, {"dataset": "fct_condition"},
        {"dataset": "fct_conditions", "partition": "yesterday"}, {"dataset": "fct_orders", "partition": DAY},
        {"dataset": "no\u0000name"}, {"dataset": "fct_conditions", "partition": DAY},
    ]  # fmt: skip
    client = asked(token("ben", [Right.READ], ["weather"]))
    told = client.post("/v1/safety", json={"questions": questions}).json()["answers"]
    assert [one["problem"] and one["problem"]["status"] for one in told] == [None, None, 404, 400, 403, 404, None]
    assert [one["answer"] is None for one in told] == [False, False, True, True, True, True, False]
    assert told[0]["answer"] == told[-1]["answer"]
    assert "fct_conditions" in told[2]["problem"]["fix"]


def test_questions_that_arrive_at_once_each_get_their_own_answer(filled: Any, served: Any, token: Any):
    client = served(token())
    days = ["2013-01-05", "2013-01-06", "2013-01-07"] * 20
    with ThreadPoolExecutor(12) as threads:
        told = list(threads.map(lambda day: client.get(f"/v1/safety/fct_orders/{day}").json(), days))
    assert [(one["partition"], one["state"]) for one in told] == [
        (day, "unknown" if day == "2013-01-07" else "safe") for day in days
    ]


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("nowhere", 404),
        (f"fct_orders/{DAY}x", 400),
        ("fct_orders/2013-02-30", 400),
        ("fct_orders%00", 400),
        ("x" * 300, 404),
    ],
)
def test_what_cannot_be_asked_is_said_in_words(filled: Any, asked: Any, token: Any, path: str, status: int):
    told = asked(token()).get(f"/v1/safety/{path}")
    assert told.status_code == status
    assert told.json()["request_id"] == told.headers["x-request-id"]
    assert told.json()["fix"]


def _answer_otherwise(server: Any, platform: Any, more: str) -> None:
    """Let every answer have more in it, or something else."""
    server.run(
        "create or replace function interlock.ask_all(datasets text[], partitions text[])"
        " returns table (place integer, domain text, answer text) language sql stable security definer begin atomic"
        f" select q.place::integer, 'shop', (interlock.ask(q.name, q.day) || jsonb_build_object({more}))::text"
        " from unnest(datasets, partitions) with ordinality as q (name, day, place); end",
        database=platform.database.name,
    )


def test_an_answer_of_another_shape_is_no_answer(filled: Any, asked: Any, token: Any, server: Any):
    client = asked(token())
    _answer_otherwise(server, filled, "'safe', true")
    assert client.get(f"/v1/safety/fct_orders/{DAY}").status_code == 200
    for more in ("'safe', 'certainly'", "'perhaps', true", "'state', 'fine'"):
        _answer_otherwise(server, filled, more)
        told = client.get(f"/v1/safety/fct_orders/{DAY}")
        assert (told.status_code, told.json()["title"]) == (503, "Could not ask"), more


def test_a_question_that_breaks_the_statement_keeps_nobody_else_from_an_answer(
    filled: Any, asked: Any, token: Any, server: Any
):
    _answer_otherwise(server, filled, "'warnings', 0 / (q.name <> 'agg_orders')::integer")
    client = asked(token())
    questions = {name: client.later(f"/v1/safety/{name}/{DAY}") for name in ("agg_orders", "fct_orders", "stg_orders")}
    told = {name: answer() for name, answer in questions.items()}
    assert {name: one.status_code for name, one in told.items()} == {
        "agg_orders": 503, "fct_orders": 200, "stg_orders": 200,
    }  # fmt: skip
    assert "division" not in told["agg_orders"].text
