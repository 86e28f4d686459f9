"""Who may what: every endpoint of the OpenAPI document, asked by nobody, by a reader, and by somebody else's team."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.integration.api.conftest import QUOTED
from tests.integration.api.endpoints import OPEN, STREAMS, Endpoint, endpoints
from tests.integration.conftest import DATASETS

from interlock.control.questions import Right

# Of another team's answers: nothing of these may be in them.
FOREIGN = {*DATASETS, "shop", "weather", "board", "fct_flights", "flight_operations"}


@pytest.fixture
def every(application: Any, defined_metrics: None) -> list[Endpoint]:
    """Every endpoint that there is."""
    return list(endpoints(application.openapi()))


def test_nobody_is_told_anything_without_a_token(busy, asked, every):
    client = asked()
    for endpoint in every:
        answer = client.request(endpoint.method, endpoint.path, **endpoint.request)
        if endpoint.key not in OPEN:
            assert answer.status_code == 401, (endpoint, answer.text)
            assert answer.headers["www-authenticate"] == "Bearer"


def test_a_reader_changes_nothing(busy, asked, token, every):
    client = asked(token("rita", scopes=[Right.READ]))
    changing = [endpoint for endpoint in every if endpoint.changes]
    assert len(changing) >= 5
    for endpoint in changing:
        answer = client.request(endpoint.method, endpoint.path, **endpoint.request)
        assert answer.status_code == 403, (endpoint, answer.text)


def test_a_team_is_told_nothing_of_another_one_and_changes_nothing_of_it(busy, asked, token, every):
    client = asked(token("olga", domains=["elsewhere"]))
    refused = 0
    for endpoint in every:
        if endpoint.key in STREAMS or (endpoint.key in OPEN):
            continue
        answer = client.request(endpoint.method, endpoint.path, **endpoint.request)
        assert answer.status_code in ((403,) if endpoint.changes else (200, 403)), (endpoint, answer.text)
        refused += answer.status_code == 403
        if answer.status_code == 200 and endpoint.template.startswith("/v1/"):
            told = set(_words(answer.json())) & FOREIGN
            assert told <= {endpoint.request.get("json", {}).get("questions", [{}])[0].get("dataset")}, (endpoint, told)
    assert refused > 15


def test_a_team_is_told_what_is_its_own_in_every_list(busy, asked, token):
    client = asked(token("wanda", scopes=[Right.READ], domains=["weather"]))
    for path in ("datasets", "verdicts", "runs", "quarantine", "actions", "audit"):
        items = client.get(f"/v1/{path}").json()["items"]
        assert not {"shop"} & {item.get("domain", item.get("domains", [None])[0]) for item in items}, path
    assert {row["domain"] for row in client.get("/v1/matrix").json()["rows"]} == {"weather"}
    assert client.get("/v1/datasets", params={"domain": "shop"}).status_code == 403


def test_no_answer_quotes_a_value_that_the_record_holds(busy, asked, token, every):
    client = asked(token("ada"))
    quoting = [
        f"/v1/verdicts/{item['verdict_id']}"
        for item in client.get("/v1/verdicts", params={"state": "failed"}).json()["items"]
    ]
    quoting += [f"/v1/runs/{item['run_id']}" for item in client.get("/v1/runs").json()["items"]]
    quoting += ["/v1/datasets/orders/partitions/2013-01-06", "/v1/safety/orders/2013-01-06"]
    for path in [*quoting, *(e.path for e in every if e.method == "get" and e.key not in STREAMS and not e.request)]:
        answer = client.get(path)
        assert answer.status_code in (200, 404, 503), (path, answer.text)
        assert QUOTED not in answer.text, path


def _words(value: Any) -> Iterator[str]:
    """Every text in a JSON document."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield name
            yield from _words(item)
    elif isinstance(value, list):
        for item in value:
            yield from _words(item)
    elif isinstance(value, str):
        yield value
