"""Every list and every detail says what the rooms know: on a platform with a bad day, actions and people."""

from __future__ import annotations

from typing import Any

from tests.integration.control.people import carried_out

from interlock.control.questions import Right
from interlock.db.connection import Role
from interlock.publishing import versions

GOOD, BAD = "2013-01-05", "2013-01-06"


def test_the_matrix_has_a_letter_for_every_day_and_says_where_the_feed_goes_on(busy, asked, token):
    shown = asked(token()).get("/v1/matrix").json()
    rows = {row["dataset"]: row for row in shown["rows"]}
    assert shown["days"] == [BAD, GOOD]
    assert (rows["orders"]["states"], rows["fct_conditions"]["states"]) == ("us", "us")
    assert rows["price_list"]["states"] == "uq"
    assert (rows["dim_sizes"]["states"], rows["dim_sizes"]["all"]) == ("..", "safe")
    assert {trouble["dataset"]: trouble["state"] for trouble in shown["troubles"]} == {
        "orders": "unsafe", "price_list": "quarantined",
    }  # fmt: skip
    assert shown["feed_position"] == busy.rows(Role.AUDITOR, "select position from interlock.audit_head")[0][0]
    before = asked(token()).get("/v1/matrix", params={"before": BAD, "domain": "shop"}).json()
    assert before["days"] == [GOOD]
    assert {row["domain"] for row in before["rows"]} == {"shop"}


def test_a_day_that_is_missing_between_two_others_is_a_dot(busy, asked, token):
    busy.call(Role.OPERATOR, "admit_run", "later", "weather", ["2013-01-09"], "test", "tester", "30 min")
    shown = asked(token()).get("/v1/matrix", params={"domain": "weather"}).json()
    assert shown["days"] == ["2013-01-09", "2013-01-08", "2013-01-07", BAD, GOOD]
    assert {row["states"] for row in shown["rows"]} == {"c..ss", "c..us"}


def test_a_list_goes_on_where_its_page_ended_and_ends(busy, asked, token):
    client, names, cursor = asked(token()), [], None
    while True:
        page = client.get("/v1/datasets", params={"limit": 5} | ({"cursor": cursor} if cursor else {})).json()
        names += [item["dataset"] for item in page["items"]]
        cursor = page["next"]
        if cursor is None:
            break
    assert names == sorted(names)
    assert len(names) == len(set(names)) == 12


def test_every_list_gives_each_item_once_whatever_the_size_of_its_pages(busy, asked, token):
    client = asked(token())
    for path in ("datasets/fct_orders/partitions", "verdicts", "runs", "quarantine", "actions", "audit"):
        whole = client.get(f"/v1/{path}", params={"limit": 1000}).json()["items"]
        single: list[Any] = []
        page: dict[str, Any] = {"next": None}
        while not single or page["next"]:
            params = {"limit": 1} | ({"cursor": page["next"]} if page["next"] else {})
            page = client.get(f"/v1/{path}", params=params).json()
            single += page["items"]
        for item in (*whole, *single):
            item.pop("age_seconds", None)
        assert single == whole, path
        assert len(whole) > 1, path


FILTERED = (
    ("datasets", {"state": "unsafe", "domain": "shop"}, 6),
    ("datasets", {"layer": ["raw", "staged"]}, 6),
    ("datasets/orders/partitions", {"state": "unsafe"}, 1),
    ("datasets/orders/partitions", {"partition_to": GOOD}, 1),
    ("datasets/orders/partitions", {"partition": "2013-02-01"}, 0),
    ("verdicts", {"state": "failed"}, 1),
    ("verdicts", {"dataset": "orders", "partition_from": BAD}, 2),
    ("verdicts", {"until": "2013-01-01T00:00:00Z"}, 0),
    ("runs", {"domain": "weather"}, 1),
    ("runs", {"partition_from": "2013-01-07"}, 0),
    ("runs", {"state": "failed"}, 1),
    ("quarantine", {"kind": "rows"}, 1),
    ("quarantine", {"kind": "version", "dataset": "price_list"}, 1),
    ("actions", {"state": "executed"}, 1),
    ("actions", {"kind": "pause_pipeline"}, 1),
    ("audit", {"kind": "withdrawn"}, 1),
    ("audit", {"dataset": "nothing"}, 0),
)


def test_the_one_filter_cuts_every_list(busy, asked, token):
    client = asked(token())
    for path, params, count in FILTERED:
        page = client.get(f"/v1/{path}", params=params)
        assert (page.status_code, len(page.json()["items"])) == (200, count), (path, params, page.text)


def test_a_partition_tells_why_on_what_evidence_and_along_which_way(busy, asked, token):
    detail = asked(token()).get(f"/v1/datasets/agg_orders/partitions/{BAD}").json()
    assert detail["answer"]["state"] == "unsafe"
    path = detail["cause_path"]
    assert (path["root"], path["edges"][0], path["edges"][-1]) == (
        "orders", ["orders", "stg_orders"], ["fct_orders", "agg_orders"],
    )  # fmt: skip
    assert {node["state"] for node in path["nodes"]} == {"unsafe"}
    failed = detail["judgements"][0]
    assert (failed["dataset"], failed["outcome"], failed["findings"][0]["clause"]) == ("orders", "failed", "keys")
    assert (detail["rows"], detail["run_id"]) == (2, 1)


def test_versions_say_what_is_served_and_held_and_differ_in_counts(busy, asked, token):
    client, path = asked(token()), f"/v1/datasets/orders/partitions/{BAD}"
    held, served = client.get(f"{path}/versions").json()["versions"]
    assert (held["is_held"], held["is_served"], served["is_held"], served["is_served"]) == (True, False, False, True)
    found = client.get(f"{path}/difference", params={"from": served["version"], "to": held["version"]}).json()
    assert (found["rows"], found["only_in_from"], found["only_in_to"]) == ({"from": 2, "to": 3}, 2, 3)
    same = client.get(f"{path}/difference", params={"from": held["version"], "to": held["version"]}).json()
    assert (same["only_in_from"], same["only_in_to"], same["changed"]) == (0, 0, 0)
    unknown = client.get(f"{path}/difference", params={"from": 999, "to": held["version"]})
    assert (unknown.status_code, unknown.json()["detail"]) == (404, f'"orders" partition {BAD} has no version 999')
    forget = b"update interlock.version set condemned_at = now() where version = %s"
    busy.as_(Role.OWNER).execute(forget, [held["version"]])
    gone = client.get(f"{path}/difference", params={"from": served["version"], "to": held["version"]})
    assert (gone.status_code, "were pruned" in gone.json()["detail"]) == (409, True)


def test_a_comparison_that_takes_too_long_is_ended_and_says_so(busy, asked, token, monkeypatch):
    monkeypatch.setattr(versions, "COMPARING_SECONDS", 0.001)
    path = "/v1/datasets/fct_orders/partitions/2013-01-05/versions"
    (served,) = asked(token()).get(path).json()["versions"]
    both = {"from": served["version"], "to": served["version"]}
    answer = asked(token()).get(path.replace("versions", "difference"), params=both)
    assert (answer.status_code, "took longer than" in answer.json()["detail"]) == (503, True)


def test_rows_of_one_key_are_compared_column_by_column(filled):
    run = filled.admit("shop", GOOD)
    filled.workspace(run)
    old = filled.rows(
        Role.AUDITOR, "select version from interlock.safety where dataset = 'price_list' and partition = %s", GOOD
    )
    new = filled.build(run, "price_list", GOOD, amounts=(1, 7, 8))
    found = filled.call(Role.AUDITOR, "difference", "price_list", GOOD, old[0][0], new, ["id"])
    assert (found["rows"], found["only_in_from"], found["only_in_to"], found["changed"]) == (
        {"from": 2, "to": 3},
        0,
        1,
        1,
    )
    assert {column["name"]: column["changed"] for column in found["columns"]} == {"id": 0, "day": 0, "amount": 1}


def test_lineage_is_followed_in_the_direction_and_as_far_as_is_asked(busy, asked, token):
    client = asked(token())
    around = client.get("/v1/lineage", params={"dataset": "stg_orders", "direction": "down", "depth": 1}).json()
    assert {node["dataset"] for node in around["nodes"]} == {"stg_orders", "fct_orders", "price_list"}
    assert [edge["upstream"] for edge in around["edges"]] == ["stg_orders", "stg_orders"]
    whole = client.get("/v1/lineage").json()
    assert (len(whole["nodes"]), len(whole["edges"]), [c["name"] for c in whole["consumers"]]) == (12, 12, ["board"])


def test_an_action_goes_its_way_over_http_and_back_again(busy, asked, token):
    ada, ben = asked(token("ada")), asked(token("ben"))
    wanted = {"kind": "quarantine_partition", "rationale": "wrong", "dataset": "stg_readings", "partitions": [GOOD]}
    preview = ada.post("/v1/actions/preview", json=wanted).json()
    assert (preview["obstacle"], preview["radius"]["datasets"]) == (None, ["fct_conditions", "stg_readings"])
    proposed = ada.post("/v1/actions", json=wanted, headers={"Idempotency-Key": "k-1"})
    action = proposed.json()
    assert (proposed.status_code, action["actor"]["name"]) == (201, "ada")
    again = ada.post("/v1/actions", json=wanted, headers={"Idempotency-Key": "k-1"}).json()
    assert again["action_id"] == action["action_id"]
    path = f"/v1/actions/{action['action_id']}"
    while ben.get(path).json()["state"] == "proposed":
        ben.post(f"{path}/answers", json={"verb": "approve", "reason": "seen"})
    assert ben.get(path).json()["state"] == "executed"
    assert busy.state("stg_readings", GOOD) == "quarantined"
    assert ben.post(f"{path}/answers", json={"verb": "reject", "reason": "late"}).status_code == 409
    inverse = ada.post(f"{path}/rollback", json={"reason": "was right"}).json()
    while inverse["state"] == "proposed":
        inverse = ben.post(
            f"/v1/actions/{inverse['action_id']}/answers", json={"verb": "approve", "reason": "y"}
        ).json()
    story = ben.get(path).json()
    assert (inverse["undoes"], story["state"]) == (action["action_id"], "rolled_back")
    assert story["events"][0]["type"] == "org.interlock.action_proposed"
    assert busy.state("stg_readings", GOOD) == "safe"


def test_what_waits_is_taken_back_by_who_proposed_it(busy, asked, token):
    ada = asked(token("ada", scopes=[Right.PROPOSE]))
    proposal = {"kind": "pause_pipeline", "rationale": "later", "domain": "weather"}
    action = ada.post("/v1/actions", json=proposal).json()
    assert action["state"] == "proposed"
    answered = ada.post(f"/v1/actions/{action['action_id']}/answers", json={"verb": "reject", "reason": "never mind"})
    assert (answered.status_code, answered.json()["state"]) == (200, "rejected")


BAD_INPUT = (
    ("datasets?cursor=abc", 400),
    ("datasets?kind=x", 400),
    ("datasets?state=green", 400),
    ("datasets?limit=100000", 422),
    ("datasets?domain=a%00b", 400),
    ("datasets/no_such", 404),
    ("datasets/fct_orders/partitions/all", 400),
    ("datasets/fct_orders/partitions/2013-13-45", 400),
    ("datasets/fct_orders/partitions?partition_from=never", 422),
    ("datasets/fct_orders/measures?partition_from=0001-01-01&partition_to=9999-12-31", 400),
    ("matrix?days=1000000", 422),
    ("matrix?before=0001-01-01", 200),
    ("verdicts?state=unsafe", 400),
    ("verdicts/99999999999999999999", 422),
    ("runs/999", 404),
    ("runs?until=0001-01-01T00:00:00%2B14:00", 200),
    ("actions/999", 404),
    ("quarantine?kind=neither", 400),
    ("lineage?dataset=no_such", 404),
    ("audit?cursor=" + "x" * 3000, 422),
)


def test_bad_input_gets_a_clear_problem(busy, asked, token):
    client = asked(token())
    for path, status in BAD_INPUT:
        answer = client.get(f"/v1/{path}")
        assert answer.status_code == status, (path, answer.text)
        if status >= 400:
            assert answer.headers["content-type"] == "application/problem+json"
            assert answer.json()["detail"]
    cursor = client.get("/v1/verdicts", params={"limit": 1}).json()["next"]
    assert client.get("/v1/runs", params={"cursor": cursor}).status_code == 400, "a cursor holds for its own list alone"


def test_what_has_not_changed_is_not_sent_again(busy, asked, token):
    client = asked(token())
    for path in ("matrix", "datasets", f"datasets/fct_orders/partitions/{BAD}", "runs/1", "actions", "audit"):
        first = client.get(f"/v1/{path}")
        assert client.get(f"/v1/{path}", headers={"If-None-Match": first.headers["etag"]}).status_code == 304, path
    carried_out("quarantine_partition", "stg_readings", GOOD)
    assert client.get("/v1/audit", headers={"If-None-Match": first.headers["etag"]}).status_code == 200


def test_with_the_evidence_gone_a_verdict_of_a_dataset_without_contract_shows_no_value(busy, asked, token):
    verdict = asked(token()).get("/v1/verdicts", params={"state": "failed"}).json()["items"][0]
    (finding, *_) = asked(token()).get(f"/v1/verdicts/{verdict['verdict_id']}").json()["findings"]
    assert (finding["observed"], finding["sample_keys"]) == ("***", [{"id": "***"}])
