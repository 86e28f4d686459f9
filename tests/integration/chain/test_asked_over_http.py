"""What the API says of real data: contracts in words, measures with the learned band, the ledger, and metrics."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest
from tests.integration.chain.conftest import DAYS, FLIGHTS, World

from interlock.api.app import create_app
from interlock.control import credentials
from interlock.control.questions import Right
from interlock.db import pools
from interlock.transform import metrics

LAST, NEXT = DAYS[-1], "2013-01-09"


@dataclass(frozen=True)
class Client:
    """A client of the application in this process, with a token for the flights alone."""

    runner: asyncio.Runner
    client: httpx.AsyncClient

    def get(self, path: str, **more: Any) -> httpx.Response:
        """One request, to its end."""
        return self.runner.run(self.client.get(path, **more))


@pytest.fixture
def client(world: World) -> Iterator[Client]:
    grant = credentials.Grant(person="ada", scopes=(Right.READ,), domains=(FLIGHTS,), lasts=timedelta(hours=1))
    headers = {"authorization": f"Bearer {credentials.create(grant, 'tests')[1]}"}
    application = create_app()
    transport = httpx.ASGITransport(application)
    with asyncio.Runner() as runner:
        yield Client(runner, httpx.AsyncClient(transport=transport, base_url="http://interlock.test", headers=headers))
        runner.run(application.state.surface.close())
    pools.close()


def test_a_contract_is_told_in_words_and_its_measures_with_what_was_to_be_expected(world, client):
    contract = client.get("/v1/datasets/flights/contract").json()
    assert contract["document"]["kind"] == "DataContract"
    assert any(sentence.startswith("On failure: ") for sentence in contract["words"])
    assert {check["severity"] for check in contract["checks"]} >= {"critical", "warning"}
    found = client.get("/v1/datasets/flights/measures").json()
    rows = next(measure for measure in found["measures"] if measure["name"] == "row_count")
    assert (rows["unit"], [point["partition"] for point in rows["points"]]) == ("rows", list(DAYS))
    first, last = rows["points"][0], rows["points"][-1]
    assert first["median"] is None, "nothing was known before the first day"
    assert last["expected_low"] < last["median"] < last["expected_high"]
    for point in rows["points"]:
        if point["median"] is not None:  # the gate said the same when it judged the day
            assert point["failed"] is not (point["expected_low"] <= point["value"] <= point["expected_high"]), point
    assert {measure["name"] for measure in found["measures"]} >= {"freshness_lag"}


def test_a_day_that_is_cut_short_is_a_point_outside_of_its_band(world, client):
    world.deliver(NEXT, feeds=("flights",))
    file = world.landing / "flights" / f"flights_{NEXT}.csv"
    world.put("flights", file.name, "".join(file.read_text().splitlines(keepends=True)[:40]))
    world.run(FLIGHTS, NEXT)
    found = client.get("/v1/datasets/flights/measures", params={"partition_from": NEXT}).json()
    (point,) = next(measure for measure in found["measures"] if measure["name"] == "row_count")["points"]
    assert (point["outcome"], point["failed"], point["is_served"]) == ("failed", True, False)
    assert point["value"] == 39 < point["expected_low"]
    detail = client.get(f"/v1/datasets/flights/partitions/{NEXT}").json()
    assert detail["judgements"][0]["findings"]


def test_the_ledger_leads_from_the_file_to_the_fact_as_far_as_one_may_read(world, client):
    ledger = client.get(f"/v1/datasets/fct_flights/partitions/{LAST}/ledger").json()
    assert (ledger["is_balanced"], ledger["hidden"]) == (True, 0)
    assert [entry["dataset"] for entry in ledger["entries"]] == [
        "flights", "stg_flight_operations__flights", "fct_flights",
    ]  # fmt: skip
    assert client.get(f"/v1/datasets/fct_departure_conditions/partitions/{LAST}/ledger").status_code == 403


def test_a_metric_is_what_the_command_line_says_and_goes_day_by_day(world, client):
    asked = {"start": DAYS[0], "end": LAST}
    told = client.get("/v1/metrics/scheduled_flights", params=asked).json()
    known = metrics.metric("scheduled_flights")
    assert (told["value"], told["safe"]) == (known.value, True)
    assert set(told["contract_versions"]) == {"fct_flights"}
    assert len(told["inputs"]) == len(DAYS)
    history = client.get("/v1/metrics/scheduled_flights/history", params=asked).json()
    assert [point["partition"] for point in history["points"]] == list(DAYS)
    assert sum(point["value"] for point in history["points"]) == known.value
    listed = client.get("/v1/metrics").json()["items"]
    assert "scheduled_flights" in {metric["metric"] for metric in listed}
    assert client.get("/v1/metrics/no_such").status_code == 404
    assert client.get("/v1/metrics/scheduled_flights", params={"group_by": "no_such"}).status_code == 400


def test_while_a_contract_cannot_be_read_its_dataset_is_shown_without_it(world, client, own_checkout):
    contract = own_checkout() / "include" / "contracts" / FLIGHTS / "flights.yaml"
    contract.write_text("half a contr")
    assert client.get("/v1/datasets/flights").json()["description"] == ""
    assert client.get(f"/v1/datasets/flights/partitions/{LAST}").status_code == 200
    assert client.get("/v1/datasets/flights/contract").status_code == 404
