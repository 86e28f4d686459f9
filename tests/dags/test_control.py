"""Who a DAG run is to the control plane, and how it tells its facts."""

from __future__ import annotations

from datetime import timedelta

import pytest

from interlock.control import credentials
from interlock.control.credentials import Grant
from interlock.control.questions import Right


@pytest.fixture
def actor_of(dag_bag, database):
    """Airflow is imported with the home of the one; people are in the other."""
    from interlock.operators.actions import actor_of

    return actor_of


def test_a_run_acts_for_the_person_behind_the_login_even_after_that_was_taken_from_them(actor_of):
    grant = Grant(
        person="anna", scopes=(Right.APPROVE,), domains=("*",), lasts=timedelta(days=1), airflow_login="Anna A."
    )
    made, _ = credentials.create(grant, "tester")
    assert actor_of("team", "Anna A.").on_behalf_of == "anna"
    credentials.revoke(made.credential_id, "She left the team.", "tester")
    assert actor_of("team", "Anna A.").on_behalf_of == "anna"
    assert actor_of("team", "nobody-knows").on_behalf_of == "nobody-knows"


def test_a_run_that_nobody_triggered_or_the_platform_itself_acts_for_nobody(actor_of):
    assert [actor_of("team", login).on_behalf_of for login in (None, "interlock")] == [None, None]
    assert actor_of("team").name == "airflow:team"


def test_a_fact_is_told_as_the_action_has_it_however_a_template_wrote_its_numbers(dag_bag):
    from interlock.operators.actions import QuarantinePartitionOperator

    about = {"dataset": "fct_orders", "partitions": "2013-01-05", "version": "17", "rationale": "Two keys are doubled."}
    task = QuarantinePartitionOperator(task_id="withdraw", **about)
    fact = task._fact({"kind": "failed_check", "count": "2", "root": "None"}, "the key")
    assert (fact.dataset, fact.partition, fact.version, fact.count) == ("fct_orders", "2013-01-05", 17, 2)
    assert (fact.message, fact.root) == ("Two keys are doubled.", "the key")
    unversioned = QuarantinePartitionOperator(task_id="withdraw", **about | {"version": None})
    with pytest.raises(ValueError, match="names none"):
        unversioned._fact({"kind": "failed_check"}, "the key")
