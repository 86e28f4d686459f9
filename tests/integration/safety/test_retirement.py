"""A dataset that was retired is hidden, never safe, and kept; and it comes back only when somebody says so."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from interlock.cli.answers import sentences
from interlock.db.connection import Role
from interlock.errors import Exit
from interlock.safety.answer import State
from interlock.safety.answers import ask
from interlock.safety.matrix import matrix

DAY, NEXT = "2013-01-05", "2013-01-06"
WHY = "replaced by the monthly report"


def retire(platform: Any, dataset: str, *, by: Role = Role.OPERATOR) -> None:
    platform.call(by, "retire_dataset", dataset, WHY, "ann@host")


def is_refused(code: str, match: str) -> Any:
    return pytest.raises(psycopg.Error, match=match, check=lambda error: error.sqlstate == code)


@pytest.fixture
def retired(filled: Any) -> Any:
    """The leaf `price_list` is out of use."""
    retire(filled, "price_list")
    return filled


def test_nothing_of_a_retired_dataset_is_safe_or_shown_and_everything_of_it_is_kept(retired: Any):
    for partition in (DAY, "2013-03-01", None):
        answer = ask("price_list", partition)
        assert (answer.state, answer.safe, answer.exit_code) == (State.UNKNOWN, False, Exit.UNKNOWN)
        [reason] = answer.reasons
        assert (reason.code, reason.clears) == ("retired", "Its contract, and `interlock contract restore price_list`.")
        assert "retired by ann@host at 20" in reason.message
        assert reason.message.endswith(WHY)
    assert WHY in "\n".join(sentences(ask("price_list")))
    assert retired.amounts("price_list") == []
    assert "price_list" not in {row.dataset for row in matrix().rows}
    kept = "select count(*), min(version) is not null from interlock.safety where dataset = 'price_list'"
    assert retired.rows(Role.OPERATOR, kept) == [(2, True)]
    assert retired.session(Role.OWNER).execute("select count(*) from curated.price_list").fetchone() == (4,)
    [(actor, payload)] = retired.rows(Role.AUDITOR, "select actor, payload from interlock.event where kind = 'retired'")
    assert (actor, payload) == ("ann@host", {"reason": WHY})
    assert retired.state("fct_orders", DAY) == "safe"


def test_nothing_brings_a_retired_dataset_back_in_passing(retired: Any):
    retired.call(Role.OPERATOR, "renew_leases", "tester")
    assert retired.state("price_list", DAY) == "unknown"
    run = retired.admit("shop", DAY)
    version = retired.rows(Role.OPERATOR, "select version from interlock.safety where dataset = 'price_list'")[0][0]
    with is_refused("IL014", "retired by ann@host .*: replaced"):
        retired.renew(run, "price_list", DAY)
    with is_refused("IL014", "retired by ann@host"):
        retired.register_one("price_list", contract_version="2.0.0", content_digest="c2")
    with is_refused("IL014", "retired by ann@host"):
        retire(retired, "price_list")
    assert (
        version
        == retired.rows(Role.OPERATOR, "select version from interlock.safety where dataset = 'price_list'")[0][0]
    )
    assert retired.state("price_list", DAY) == "unknown"
    # Nobody asks for it to be built again, whatever becomes of its inputs.
    retired.deliver(run, "orders", DAY, (7, 8))
    retired.renew(run, "stg_orders", DAY)
    rebuilds = (
        "select d.name from interlock.rebuild r join interlock.dataset d using (dataset_id) where r.done_at is null"
    )
    assert ("price_list",) not in retired.rows(Role.OPERATOR, rebuilds)


def test_what_is_read_cannot_be_retired_before_its_readers(filled: Any):
    with is_refused("IL012", "is read by total_orders"):
        retire(filled, "agg_orders")
    # Without the lineage as well: what is served was built from it.
    lineage = "delete from interlock.edge where downstream_id = interlock.dataset_id_of('total_orders')"
    filled.session(Role.OWNER).execute(lineage)
    with is_refused("IL012", "is read by total_orders"):
        retire(filled, "agg_orders")
    assert filled.state("agg_orders", DAY) == "safe"
    retire(filled, "total_orders")
    retire(filled, "agg_orders")
    assert filled.state("agg_orders", DAY) == "unknown"


@pytest.mark.parametrize("role", [Role.LOADER, Role.BUILDER, Role.GATE, Role.PUBLISHER, Role.DEVELOPER, Role.CONSUMER])
def test_only_the_operator_may_retire(platform: Any, role: Role):
    with is_refused("42501", "permission denied"):
        retire(platform, "price_list", by=role)


def test_what_is_taken_into_use_again_is_not_safe_before_its_gate_has_passed_it_anew(retired: Any):
    run = retired.admit("shop", DAY)
    retired.deliver(run, "orders", DAY, (7, 8))  # while nobody looked after it, its input moved
    retired.renew(run, "stg_orders", DAY)
    retired.call(Role.OPERATOR, "restore_dataset", "price_list", "needed after all", "bob@host")
    retired.register()
    retired.call(Role.OPERATOR, "renew_leases", "tester")
    assert [retired.state("price_list", day) for day in (DAY, NEXT)] == ["unsafe", "unsafe"]
    assert retired.reasons("price_list", DAY)[0]["code"] == "was_retired"
    assert retired.amounts("price_list") == []
    old = retired.rows(
        Role.OPERATOR, "select version from interlock.safety where dataset = 'price_list' and partition = %s", DAY
    )[0][0]
    with is_refused("IL008", "was judged before the finding"):
        retired.publish(run, DAY, old)
    retired.renew(run, "price_list", DAY, amounts=(9,))
    retired.finish(run)
    assert [retired.state("price_list", day) for day in (DAY, NEXT)] == ["safe", "unsafe"]
    assert retired.amounts("price_list") == [9]
    with is_refused("IL014", "it was not retired"):
        retired.call(Role.OPERATOR, "restore_dataset", "price_list", "twice", "bob@host")
