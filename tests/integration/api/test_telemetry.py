"""What machines watch is what people are told, of the domains that they may know of."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from interlock.control.questions import Right
from interlock.telemetry.numbers import BY_DATASET, OF_WORK

ALERTS = Path(__file__).parents[3] / "include" / "alerts"
DAY, NEWEST = "2013-01-05", "2013-01-06"


def samples(answer) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    """Each sample by its name and labels."""
    assert answer.status_code == 200, answer.text
    families = text_string_to_metric_families(answer.text)
    return {(one.name, frozenset(one.labels.items())): one.value for family in families for one in family.samples}


def value(found, name: str, **labels: str) -> float:
    """The one sample of that name that has these labels."""
    (only,) = [number for (other, has), number in found.items() if other == name and labels.items() <= set(has)]
    return only


@pytest.fixture
def scrape(asked, token):
    """Reads the numbers with a token of the scope read."""
    reader = asked(token("prometheus", [Right.READ]))
    return lambda: samples(reader.get("/metrics"))


def make_bad(platform) -> None:
    """A delivery of the newest day that fails its gate."""
    run = platform.admit("shop", NEWEST)
    version = platform.load(run, "orders", NEWEST)
    platform.fail(run, version, NEWEST)
    platform.finish(run)


def test_a_bad_delivery_is_one_root_cause_however_much_depends_on_it(filled, scrape):
    before = scrape()
    assert value(before, "interlock_dataset_partitions", dataset="fct_orders", state="safe") == 2
    assert not [name for name, _ in before if name == "interlock_root_causes"]
    assert value(before, "interlock_dataset_completeness_ratio", dataset="fct_orders") == 1
    assert value(before, "interlock_dataset_rows", dataset="fct_orders") == 2
    assert value(before, "interlock_dataset_row_delta_ratio", dataset="fct_orders") == 0

    make_bad(filled)
    after = scrape()
    causes = {labels: number for (name, labels), number in after.items() if name == "interlock_root_causes"}
    assert causes == {frozenset({("dataset", "orders"), ("domain", "shop"), ("code", "gate_failed")}): 1}
    for dataset in ("orders", "fct_orders", "agg_orders"):
        assert value(after, "interlock_dataset_partitions", dataset=dataset, state="unsafe") == 1
        assert value(after, "interlock_dataset_safe", dataset=dataset) == 0


def test_no_partition_is_a_label_and_a_token_sees_its_own_domains(filled, asked, token):
    whole = samples(asked(token("ada", [Right.READ])).get("/metrics"))
    assert not [labels for _, labels in whole if re.search(r"2013-01|partition", str(labels))]
    own = samples(asked(token("ben", [Right.READ], ["weather"])).get("/metrics"))
    seen = {dict(labels)["domain"] for _, labels in own if "domain" in dict(labels)}
    assert seen == {"weather"}
    assert asked().get("/metrics").status_code == 401


def test_requests_are_counted_by_route_and_never_by_what_was_asked_for(filled, asked, token):
    reader = asked(token("ada", [Right.READ]))
    for day in (DAY, "2013-01-06", "2013-01-07"):
        reader.get(f"/v1/safety/fct_orders/{day}")
    reader.get("/v1/safety/no_such_dataset")
    reader.get("/nowhere/at/all")
    found = samples(reader.get("/metrics"))
    route = "/v1/safety/{dataset}/{partition}"
    assert value(found, "interlock_http_requests_total", route=route, method="GET", status="200") == 3
    assert value(found, "interlock_http_request_duration_seconds_count", route=route) == 3
    assert value(found, "interlock_http_requests_total", route="/v1/safety/{dataset}", status="404") == 1
    routes = {dict(labels)["route"] for name, labels in found if name == "interlock_http_requests_total"}
    assert not [route for route in routes if "no_such" in route or "nowhere" in route]


@pytest.mark.system
def test_the_alert_rules_do_what_they_say():
    for words in (["check", "rules", "interlock.yaml"], ["test", "rules", "interlock.test.yaml"]):
        ended = subprocess.run([_program("promtool"), *words], check=False, capture_output=True, text=True, cwd=ALERTS)
        assert ended.returncode == 0, ended.stdout + ended.stderr


def test_every_number_that_a_rule_asks_for_is_one_that_is_given(filled, scrape):
    """A rule over a name that was misspelt, or renamed, never fires."""
    text = (ALERTS / "interlock.yaml").read_text()
    wanted = set(re.findall(r"\binterlock_\w+", "\n".join(re.findall(r"expr:(.*?)(?:for:|labels:)", text, re.DOTALL))))
    scrape()  # itself a request that the next one counts
    of_datasets = {f"interlock_dataset_{name}" for name, _ in BY_DATASET.values()}
    given = {name for name, _ in scrape()} | {f"interlock_{name}" for name in OF_WORK} | of_datasets
    assert wanted - given == set()


def _program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name} on the PATH (Debian's package `prometheus`)")
    return found
