"""New blocking clauses take effect together with the verdicts that they give on everything that is served."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
import yaml
from psycopg.types.json import Jsonb
from typer.testing import CliRunner

from interlock.contracts.loading import load_contracts
from interlock.contracts.model import Catalog
from interlock.db.connection import Role
from interlock.errors import PermanentFailure, TransientFailure
from interlock.pipeline.activation import Activation, activate

if TYPE_CHECKING:
    from conftest import HandRun, Platform

MONDAY, TUESDAY = "2013-01-05", "2013-01-06"
CLAUSES = ["rows", "keys", "amounts"]

ROOT = Path(__file__).resolve().parents[2]


def served(platform: Platform, dataset: str) -> dict[str, int]:
    """The served version of every partition."""
    query = "select p.partition, p.version from interlock.partition p join interlock.dataset d using (dataset_id)"
    return dict(platform.rows(Role.OPERATOR, f"{query} where d.name = %s and p.version is not null", dataset))


def definition(platform: Platform, dataset: str, **changes: Any) -> dict[str, Any]:
    """What the database knows of a dataset, as a new version of its contract with other clauses."""
    (known,) = platform.rows(Role.OPERATOR, "select to_jsonb(d) from interlock.dataset d where name = %s", dataset)
    new = {"contract_version": "1.1.0", "content_digest": "c2", "clause_digest": "d2", "clauses": CLAUSES}
    return known[0] | new | changes


def result(partition: str, version: int, *failing: str) -> dict[str, Any]:
    """What a gate hands over for one partition."""
    evidence = [{"clause": c, "success": c not in failing, "message": f"{c} told"} for c in CLAUSES]
    return {"partition": partition, "version": version, "evidence": evidence}


def make_active(
    platform: Platform, run: HandRun, given: dict[str, Any], results: list[dict[str, Any]], role: Role = Role.GATE
) -> list[tuple[Any, ...]]:
    call = "select * from interlock.activate_contract(%s, %s, %s, %s)"
    return platform.rows(role, call, run.run_id, run.token, Jsonb(given), Jsonb(results))


def judged(platform: Platform, dataset: str, **failing: str) -> list[tuple[Any, ...]]:
    """Activate new clauses of a daily dataset; `failing` names a clause by day (`d05`)."""
    run = platform.admit("shop", MONDAY, TUESDAY)
    results = [
        result(day, version, *([failing[key]] if (key := f"d{day[-2:]}") in failing else []))
        for day, version in served(platform, dataset).items()
    ]
    found = make_active(platform, run, definition(platform, dataset), results)
    platform.finish(run)
    return found


def test_what_passes_the_new_clauses_stays_safe_under_a_new_verdict(filled: Platform) -> None:
    before = dict(
        filled.rows(Role.OPERATOR, "select partition, verdict_id from interlock.safety where dataset = 'fct_orders'")
    )
    verdicts = {
        partition: verdict for partition, outcome, verdict in judged(filled, "fct_orders") if outcome == "passed"
    }
    answer = filled.call(Role.CONSUMER, "ask", "fct_orders", MONDAY)
    assert (answer["state"], answer["reasons"], answer["contract_version"]) == ("safe", [], "1.1.0")
    assert answer["verdict_id"] == verdicts[MONDAY] != before[MONDAY]


def test_what_fails_the_new_clauses_is_unsafe_with_everything_built_from_it(filled: Platform) -> None:
    outcomes = {partition: outcome for partition, outcome, _ in judged(filled, "fct_orders", d05="amounts")}
    assert outcomes == {MONDAY: "failed", TUESDAY: "passed"}
    assert filled.state("fct_orders", MONDAY) == "unsafe"
    (reason,) = filled.reasons("fct_orders", MONDAY)
    assert (reason["code"], reason["message"]) == ("gate_failed", "amounts told")
    assert filled.amounts("fct_orders", MONDAY) == []
    assert filled.reasons("agg_orders", MONDAY)[0]["path"] == ["fct_orders", "agg_orders"]
    assert filled.state("fct_conditions", MONDAY) == "unsafe"
    assert filled.state("fct_orders", TUESDAY) == filled.state("agg_orders", TUESDAY) == "safe"


def test_serve_last_good_serves_nothing_that_the_new_clauses_refuse(filled: Platform) -> None:
    filled.register_one(
        "fct_orders", on_gate_failure="serve-last-good", contract_version="1.0.1", content_digest="c1.1"
    )
    judged(filled, "fct_orders", d05="amounts")
    assert filled.state("fct_orders", MONDAY) == "unsafe"


def test_clauses_that_what_is_served_passes_again_end_the_episode(filled: Platform) -> None:
    judged(filled, "fct_orders", d05="amounts")
    run = filled.admit("shop", MONDAY, TUESDAY)
    back = definition(filled, "fct_orders", contract_version="1.2.0", content_digest="c3", clause_digest="d1")
    make_active(filled, run, back, [result(day, version) for day, version in served(filled, "fct_orders").items()])
    for dataset in ("fct_orders", "agg_orders", "fct_conditions"):
        assert filled.state(dataset, MONDAY) in ("safe", "rebuilding"), filled.reasons(dataset, MONDAY)


def test_a_finding_about_something_else_is_not_ended(filled: Platform) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    filled.workspace(run)
    filled.fail(run, filled.build(run, "fct_orders", MONDAY), MONDAY)
    results = [result(day, version) for day, version in served(filled, "fct_orders").items()]
    make_active(filled, run, definition(filled, "fct_orders"), results)
    assert filled.state("fct_orders", MONDAY) == "unsafe"
    assert filled.reasons("fct_orders", MONDAY)[0]["message"] == "2 keys are doubled"


@pytest.mark.parametrize("left_out", [MONDAY, TUESDAY])
def test_no_contract_becomes_active_over_a_partition_that_was_not_judged(filled: Platform, left_out: str) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    results = [result(day, v) for day, v in served(filled, "fct_orders").items() if day != left_out]
    with pytest.raises(psycopg.DatabaseError, match=f"partition {left_out} of") as raised:
        make_active(filled, run, definition(filled, "fct_orders"), results)
    assert raised.value.sqlstate == "IL009"
    assert active(filled) == "1.0.0"


def test_no_contract_becomes_active_on_a_verdict_about_another_version(filled: Platform) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    stale = served(filled, "fct_orders")
    filled.renew(run, "fct_orders", MONDAY, amounts=(5,))
    with pytest.raises(psycopg.DatabaseError, match="is served"):
        make_active(filled, run, definition(filled, "fct_orders"), [result(day, v) for day, v in stale.items()])
    assert active(filled) == "1.0.0"


def test_a_clause_that_was_never_evaluated_fails(filled: Platform) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    results = [result(day, version) for day, version in served(filled, "fct_orders").items()]
    results[0]["evidence"].pop()
    found = make_active(filled, run, definition(filled, "fct_orders"), results)
    assert [outcome for _, outcome, _ in found] == ["failed", "passed"]
    assert filled.reasons("fct_orders", MONDAY)[0]["message"] == "never evaluated: amounts"


def test_a_version_that_means_something_else_already_changes_nothing(filled: Platform) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    results = [result(day, version, "amounts") for day, version in served(filled, "fct_orders").items()]
    with pytest.raises(psycopg.DatabaseError, match="is already registered with other content"):
        make_active(filled, run, definition(filled, "fct_orders", contract_version="1.0.0"), results)
    assert filled.state("fct_orders", MONDAY) in ("safe", "rebuilding")
    assert filled.rows(Role.AUDITOR, "select 1 from interlock.verdict where contract_version <> '1.0.0'") == []


def test_activation_demands_the_claims_of_its_run(filled: Platform) -> None:
    run = filled.admit("shop", MONDAY)
    results = [result(day, version) for day, version in served(filled, "fct_orders").items()]
    with pytest.raises(psycopg.DatabaseError) as raised:
        make_active(filled, run, definition(filled, "fct_orders"), results)
    assert raised.value.sqlstate == "IL005"


@pytest.mark.parametrize(
    "role", [Role.BUILDER, Role.LOADER, Role.OPERATOR, Role.PUBLISHER, Role.AUDITOR, Role.CONSUMER]
)
def test_only_the_gate_activates(filled: Platform, role: Role) -> None:
    run = filled.admit("shop", MONDAY, TUESDAY)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        make_active(filled, run, definition(filled, "fct_orders"), [], role)


def active(platform: Platform, dataset: str = "fct_orders") -> str:
    """The version of the contract that is active."""
    return str(
        platform.rows(Role.OPERATOR, "select contract_version from interlock.dataset where name = %s", dataset)[0][0]
    )


def catalog(
    tmp_path: Path, dataset: str, version: str = "1.1.0", highest: int = 10, quality: list[Any] | None = None
) -> Catalog:
    """The contract of one dataset of the hand-driven platform, with a range on its amounts, from real YAML."""
    layer = "raw" if dataset in ("orders", "sizes") else "curated"
    grain = "all" if dataset in ("sizes", "total_orders") else "day"
    number = {"logicalType": "integer", "physicalType": "integer"}
    properties: list[dict[str, Any]] = [
        {"name": "id", **number, "required": True},
        {"name": "day", "logicalType": "date", "physicalType": "date"},
        {"name": "amount", **number, "logicalTypeOptions": {"maximum": highest}},
    ]
    if dataset == "sizes":
        properties[1] = {"name": "day", "logicalType": "string"}
    token = "{delivered}" if grain == "all" else "{partition}"
    mode = "increment" if dataset == "sizes" else "full-partition"
    custom: dict[str, Any] = {"layer": layer, "partition": {"grain": grain}}
    if layer == "raw":
        custom["delivery"] = {"mode": mode, "landing": f"{dataset}_{token}.csv"}
    elif grain == "day":
        custom["partition"]["column"] = "day"
    document = {
        "apiVersion": "v3.1.0", "kind": "DataContract", "id": dataset, "version": version, "status": "active",
        "domain": "shop", "team": {"name": "shop-team"},
        "schema": [{"name": dataset, "properties": properties, "quality": quality or []}],
        "customProperties": [{"property": f"interlock.{key}", "value": value} for key, value in custom.items()],
    }  # fmt: skip
    folder = tmp_path / version / "include" / "contracts"
    file = folder / "shop" / f"{dataset}.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    return load_contracts(folder)


def one(found: list[Activation]) -> Activation:
    (activation,) = found
    return activation


def renewed(platform: Platform, amounts: tuple[int, ...]) -> None:
    """Monday's orders are built anew with these amounts, and all that reads them."""
    run = platform.admit("shop", MONDAY)
    for dataset in ("fct_orders", "agg_orders", "price_list"):
        platform.renew(run, dataset, MONDAY, amounts=amounts)
    platform.finish(run)


def test_asking_first_says_what_would_become_unsafe_and_changes_nothing(filled: Platform, tmp_path: Path) -> None:
    renewed(filled, (1, 99))
    found = one(activate("tester", commit=False, catalog=catalog(tmp_path, "fct_orders")))
    assert (found.judged, found.before, found.after, found.is_active) == (2, "1.0.0", "1.1.0", False)
    (finding,) = found.unsafe
    assert finding.partition == MONDAY
    assert finding.reason == "amount: 1 of 2 rows are not as expected; expected at most 10"
    assert "agg_orders" in found.readers
    assert filled.state("fct_orders", MONDAY) == "safe"
    assert active(filled) == "1.0.0"


def test_activating_judges_what_is_served_and_makes_it_unsafe_where_it_fails(filled: Platform, tmp_path: Path) -> None:
    renewed(filled, (1, 99))
    found = one(activate("tester", commit=True, catalog=catalog(tmp_path, "fct_orders")))
    assert found.is_active
    assert active(filled) == "1.1.0"
    assert filled.state("fct_orders", MONDAY) == "unsafe"
    assert filled.state("fct_orders", TUESDAY) == "safe"
    assert activate("tester", commit=True, catalog=catalog(tmp_path, "fct_orders", "1.1.1")) == []
    one(activate("tester", commit=True, catalog=catalog(tmp_path, "fct_orders", "1.2.0", highest=100)))
    assert filled.state("fct_orders", MONDAY) == "safe"


def test_a_feed_is_judged_load_by_load(filled: Platform, tmp_path: Path) -> None:
    run = filled.admit("shop", MONDAY)
    filled.deliver(run, "orders", MONDAY, amounts=(1, 99))
    filled.finish(run)
    found = one(activate("tester", commit=True, catalog=catalog(tmp_path, "orders")))
    assert [finding.partition for finding in found.unsafe] == [MONDAY]
    assert filled.state("orders", TUESDAY) == "safe"


TOO_MUCH = ["amount: 1 of 1 rows"]


@pytest.mark.parametrize(("amounts", "reasons"), [((99, 2), TOO_MUCH), ((2, 99), TOO_MUCH), ((2, 3), [])])
def test_an_increment_is_judged_in_all_its_accepted_loads(
    filled: Platform, tmp_path: Path, amounts: tuple[int, int], reasons: list[str]
) -> None:
    run = filled.admit("shop", MONDAY)
    for amount in amounts:
        filled.deliver(run, "sizes", "all", amounts=(amount,))
    filled.finish(run)
    found = one(activate("tester", commit=True, catalog=catalog(tmp_path, "sizes")))
    assert [finding.reason[:19] for finding in found.unsafe] == reasons
    assert (filled.state("sizes", "all") == "unsafe") == bool(reasons)


def test_clauses_about_other_datasets_see_what_is_served_of_them(filled: Platform, tmp_path: Path) -> None:
    same = {"check": "reconciles_with", "dataset": "agg_orders", "measure": {"sum": "amount"}}
    quality = [{"id": "as_aggregated", "type": "custom", "engine": "interlock", "implementation": same}]
    assert one(activate("tester", commit=False, catalog=catalog(tmp_path, "fct_orders", quality=quality))).unsafe == ()
    run = filled.admit("shop", MONDAY)
    filled.renew(run, "agg_orders", MONDAY, amounts=(7,))
    filled.finish(run)
    found = one(activate("tester", commit=False, catalog=catalog(tmp_path, "fct_orders", "1.1.1", quality=quality)))
    assert [finding.partition for finding in found.unsafe] == [MONDAY]


def test_activation_waits_for_a_run_that_holds_a_partition(filled: Platform, tmp_path: Path) -> None:
    filled.admit("shop", TUESDAY)
    with pytest.raises(TransientFailure, match=f"partition {TUESDAY} of"):
        activate("tester", commit=True, catalog=catalog(tmp_path, "fct_orders"))
    assert active(filled) == "1.0.0"


def test_changed_columns_are_refused_before_anything_is_judged(filled: Platform, tmp_path: Path) -> None:
    contract = catalog(tmp_path, "fct_orders")["fct_orders"]
    narrower = contract.model_copy(update={"columns": contract.columns[:2]})
    with pytest.raises(PermanentFailure, match="The columns of fct_orders differ"):
        activate("tester", commit=True, catalog=Catalog({"fct_orders": narrower}))


def test_the_command_asks_first_and_its_exit_code_says_what_is_unsafe(
    filled: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from interlock.cli import app
    from interlock.settings import settings

    renewed(filled, (1, 99))
    catalog(tmp_path, "fct_orders")
    project = tmp_path / "1.1.0" / "dbt_project"
    project.mkdir()
    for name in ("dbt_project.yml", "profiles.yml"):
        shutil.copy(ROOT / "dbt_project" / name, project / name)
    monkeypatch.setenv("INTERLOCK_ROOT", str(tmp_path / "1.1.0"))
    settings.cache_clear()
    asked = CliRunner().invoke(app, ["contract", "activate"])
    assert asked.exit_code == 3, asked.output
    assert "fct_orders 1.0.0 -> 1.1.0: 2 served partitions judged, 1 pass." in asked.output
    assert f"{MONDAY} would become unsafe: amount: 1 of 2 rows" in asked.output
    assert "Nothing was changed." in asked.output
    assert active(filled) == "1.0.0"
    assert CliRunner().invoke(app, ["contract", "activate", "--yes"]).exit_code == 3
    assert filled.state("fct_orders", MONDAY) == "unsafe"
    again = CliRunner().invoke(app, ["contract", "activate", "--yes"])
    assert (again.exit_code, again.output) == (
        0, "No contract has other blocking clauses than those that are active.\n",
    )  # fmt: skip
