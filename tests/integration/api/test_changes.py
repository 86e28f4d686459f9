"""The feed of changes: everything once, in order, only what was committed, and only to whom it concerns."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
from tests.integration.api.conftest import serving

from interlock.api import identity
from interlock.api.app import create_app
from interlock.api.resources import changes
from interlock.control import credentials
from interlock.control.questions import Right
from interlock.db.connection import Role

DAY, OTHER = "2013-01-05", "2013-01-06"


@contextmanager
def _listening(client: httpx.Client, after: str | None = None) -> Iterator[Iterator[dict[str, Any]]]:
    """The events of a stream, each with the `id` that a browser would come back with, from where it says it is."""
    headers = {} if after is None else {"Last-Event-ID": after}
    with client.stream("GET", "/v1/changes", headers=headers) as stream:
        assert stream.status_code == 200, stream.read()
        events = _events(stream.iter_lines())
        next(events)  # where it begins: a place without an event
        yield events


def _events(lines: Iterator[str]) -> Iterator[dict[str, Any]]:
    place: dict[str, Any] = {}
    for line in lines:
        assert not line.startswith(":"), "nothing was told for ten seconds"
        name, _, value = line.partition(": ")
        if name == "id":
            if not place:
                yield {"place": value}
            place = {"place": value}
        elif name == "data":
            yield json.loads(value) | place


def _fail(platform: Any, day: str) -> None:
    """A later version fails its gate: the day becomes unsafe, and with it what was built from it."""
    run = platform.admit("shop", day)
    platform.workspace(run)
    version = platform.build(run, "fct_orders", day)
    platform.fail(run, version, day)
    platform.finish(run)


def _touched(day: str) -> list[str]:
    """What a failure of the orders of a day makes unsafe."""
    return [f"fct_orders/{day}", f"agg_orders/{day}", "total_orders/all", f"fct_conditions/{day}"]


def _places(events: list[dict[str, Any]]) -> list[list[int]]:
    return [[int(part) for part in event["place"].split(".")] for event in events]


def test_each_partition_whose_safety_changed_is_told_once_with_how_it_stands(filled: Any, served: Any, token: Any):
    with _listening(served(token())) as events:
        _fail(filled, DAY)
        told = [next(events) for _ in range(4)]
    assert {event["subject"]: event["data"]["state"] for event in told} == dict.fromkeys(_touched(DAY), "unsafe")
    assert {event["data"]["cause"] for event in told} == {"cause_opened"}
    assert {event["type"] for event in told} == {"interlock.safety.changed"}
    assert _places(told) == sorted(_places(told))


def test_a_client_that_comes_back_misses_nothing_and_hears_nothing_twice_across_a_restart(
    filled: Any, served: Any, token: Any
):
    client = served(token())
    with _listening(client) as events:
        _fail(filled, DAY)
        before = [next(events) for _ in range(2)]  # the stream ends amidst the four of one commit
    _fail(filled, OTHER)
    with (
        serving(create_app()) as another,
        _listening(another(client.headers["authorization"].split()[1]), before[-1]["place"]) as events,
    ):
        after = [next(events) for _ in range(6)]
        filled.call(Role.OPERATOR, "clear_clock", "tester")
        assert next(events)["data"]["cause"] == "clock_cleared"
    told = sorted(event["subject"] for event in (*before, *after))
    assert told == sorted([*_touched(DAY), *_touched(OTHER)])


def test_a_change_is_told_once_it_is_committed_and_not_before(filled: Any, served: Any, token: Any):
    with _listening(served(token())) as events:
        with filled.database.connect(Role.OWNER) as owner:
            owner.execute(
                "update interlock.partition set open_causes = 1 where partition = %s and dataset_id ="
                " (select dataset_id from interlock.dataset where name = 'agg_orders')", [DAY]
            )  # fmt: skip
            owner.execute("insert into interlock.event (kind, actor) values ('clock_set', 'undone')")
            owner.rollback()
        _fail(filled, DAY)
        told = [next(events) for _ in range(4)]
    assert {event["data"]["cause"] for event in told} == {"cause_opened"}


def test_a_change_that_no_event_tells_of_is_given_one_lest_everybody_has_passed_it(
    filled: Any, served: Any, token: Any
):
    with _listening(served(token())) as events:
        with filled.database.connect(Role.OWNER) as owner:
            owner.execute(
                "update interlock.partition set open_causes = 1 where partition = %s and dataset_id ="
                " (select dataset_id from interlock.dataset where name = 'agg_orders')", [DAY]
            )  # fmt: skip
        told = next(events)
    assert told["subject"] == f"agg_orders/{DAY}"
    assert told["data"]["cause"] == "safety_changed"


def test_nobody_hears_of_a_domain_that_they_may_not_read(filled: Any, served: Any, token: Any):
    with _listening(served(token("ben", [Right.READ], ["weather"]))) as events:
        _fail(filled, DAY)
        filled.call(Role.OPERATOR, "clear_clock", "tester")
        told = [next(events), next(events)]
    assert [event["data"]["dataset"] for event in told] == ["fct_conditions", None]


@pytest.mark.parametrize("place", ["999999", "999999.5"])
def test_a_place_that_was_never_reached_is_gone(filled: Any, served: Any, token: Any, place: str):
    told = served(token()).get("/v1/changes", params={"after": place})
    assert told.status_code == 410
    assert "Read anew" in told.json()["fix"]


def test_a_stream_ends_when_its_token_is_revoked(
    database: Any, served: Any, token: Any, monkeypatch: pytest.MonkeyPatch
):
    for module in (identity, changes):
        monkeypatch.setattr(module, "KEPT_SECONDS", 0.3)
    shown = token()
    with _listening(served(shown)) as events:
        credentials.revoke(int(shown.split("_")[1]), "It was lost.", "tests")
        assert list(events) == []
