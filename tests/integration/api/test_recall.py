"""What callers were told is on record, and a recall over HTTP says so to whoever may know."""

from __future__ import annotations

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from interlock.control.questions import Right
from interlock.db.connection import Role

DAY = "2013-01-05"
HERE = f"/v1/datasets/fct_orders/partitions/{DAY}/recall"


@pytest.fixture
def dashboard(filled: Any) -> str:
    """A registered consumer."""
    known = {"kind": "consumer", "name": "dashboard", "owner": "bi-team", "contact": "bi@example.org"}
    filled.call(Role.OPERATOR, "register_dependents", Jsonb([known | {"datasets": ["fct_orders"]}]))
    return "dashboard"


def turn_bad(platform: Any) -> None:
    run = platform.admit("shop", DAY)
    platform.fail(run, platform.load(run, "orders", DAY), DAY)


def test_every_way_of_asking_for_safety_is_on_record_under_the_callers_name(
    filled: Any, asked: Any, token: Any, application: Any, dashboard: str
):
    ada = asked(token("ada"), Interlock_Consumer=dashboard, User_Agent="interlock-client")
    assert ada.get(f"/v1/safety/fct_orders/{DAY}").status_code == 200
    ben = asked(token("ben"))
    assert ben.get("/v1/safety/fct_orders").status_code == 200
    questions = [{"dataset": "fct_orders", "partition": DAY}, {"dataset": "nothing"}]
    assert ben.post("/v1/safety", json={"questions": questions}).status_code == 200
    refused = asked(token("carl"), Interlock_Consumer="dashbord").get(f"/v1/safety/fct_orders/{DAY}")
    assert refused.status_code == 400
    assert "dashboard" in refused.json()["fix"]

    application.state.surface.recorder.flush()
    turn_bad(filled)
    eve = asked(token("eve"))
    assert eve.get(f"/v1/safety/fct_orders/{DAY}").json()["safe"] is False
    application.state.surface.recorder.flush()
    [fallen] = eve.get(HERE).json()["fallen"]
    assert sorted((one["who"], one["via"], one["consumer"], one["times"]) for one in fallen["relied"]) == [
        ("ada", "client", "dashboard", 1), ("ben", "api", None, 1),
    ]  # fmt: skip


def test_a_recall_is_cut_to_the_callers_domains_and_telling_takes_the_right_to_execute(
    filled: Any, asked: Any, token: Any, dashboard: str
):
    turn_bad(filled)
    reader = asked(token("ada", [Right.READ], ["shop"]))
    found = reader.get(HERE).json()
    assert {item["domain"] for item in found["fallen"][0]["built"]} == {"shop"}
    assert found["hidden"] == 1
    assert reader.post(HERE, json={"tell": True}).status_code == 403
    assert asked(token("ben", domains=["weather"])).get(HERE).status_code == 403
    assert asked().get(HERE).status_code == 401
    assert reader.get(HERE.replace(DAY, "someday")).status_code == 400

    executor = asked(token("carl", domains=["shop"]))
    assert executor.post(HERE, json={"tell": False}).status_code == 422
    told = executor.post(HERE, json={"tell": True})
    assert told.json() == {"told": [], "told_before": [], "without_address": ["bi-team"]}


def test_registered_consumers_are_listed_with_whom_to_ask(filled: Any, asked: Any, token: Any, dashboard: str):
    shop = asked(token("ada", [Right.READ], ["shop"])).get("/v1/consumers").json()
    assert shop["items"] == [
        {
            "kind": "consumer", "name": "dashboard", "owner": "bi-team", "contact": "bi@example.org",
            "datasets": ["fct_orders"],
        }
    ]  # fmt: skip
    assert asked(token("ben", [Right.READ], ["weather"])).get("/v1/consumers").json()["items"] == []
