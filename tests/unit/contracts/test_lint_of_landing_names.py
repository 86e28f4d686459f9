"""What a landing pattern has to say, so that a file's name tells which delivery it is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.contracts.conftest import Project

DAY, ALL = "orders", "customers"

GOOD = [
    (DAY, "full-partition", "orders_{partition}.csv"),
    (DAY, "full-partition", "orders_{partition}_{delivered}.csv.gz"),
    (DAY, "increment", "orders_{partition}_{delivered}.csv"),
    (DAY, "increment", "orders_{partition}_{sequence}.csv"),
    (DAY, "increment", "orders_{partition}_{delivered}_{sequence}.csv"),
    (DAY, "increment", "orders_{delivered}-{sequence}-{partition}.csv"),
    (ALL, "full-partition", "customers_{delivered}.csv"),
    (ALL, "increment", "customers_{delivered}.csv"),
    (ALL, "increment", "customers_{sequence}.csv"),
]
BAD = {
    (DAY, "full-partition", "orders_{delivered}.csv"): "does not say {partition} once",
    (DAY, "increment", "orders_{partition}.csv"): "does not tell the increments of one partition apart",
    (DAY, "increment", "orders_{sequence}.csv"): "does not say {partition} once",
    (DAY, "full-partition", "orders_{partition}_{sequence}.csv"): "each of them replaces the one before",
    (DAY, "increment", "orders_{partition}_{sequence}_{sequence}.csv"): "says {sequence} more than once",
    (DAY, "increment", "orders_{partition}{sequence}.csv"): "puts two tokens side by side",
    (DAY, "increment", "orders_{partition}_{number}_{sequence}.csv"): "says {number}, which nobody knows",
    (ALL, "full-partition", "customers_{partition}_{delivered}.csv"): "a feed with the grain all has no days",
    (ALL, "full-partition", "customers_{delivered}_{sequence}.csv"): "each of them replaces the one before",
}


@pytest.mark.parametrize(("feed", "mode", "landing"), GOOD)
def test_a_pattern_that_tells_deliveries_apart_is_fine(project: Project, feed: str, mode: str, landing: str) -> None:
    project.change_custom(feed, "delivery", {"mode": mode, "landing": landing})
    assert project.problems() == []


@pytest.mark.parametrize(("feed", "mode", "landing"), BAD)
def test_a_pattern_that_leaves_something_to_guess_is_a_problem_with_an_example(
    project: Project, feed: str, mode: str, landing: str
) -> None:
    project.change_custom(feed, "delivery", {"mode": mode, "landing": landing})
    problem = project.problem()
    assert problem.where == "customProperties[interlock.delivery].landing"
    assert BAD[feed, mode, landing] in problem.found
    assert "{partition}" in problem.fix or "{delivered}" in problem.fix


def test_a_pattern_without_any_token_is_a_problem(project: Project) -> None:
    project.change_custom(DAY, "delivery", {"mode": "full-partition", "landing": "orders.csv"})
    assert project.problem().where == "customProperties[interlock.delivery].landing"


@pytest.mark.parametrize(
    ("feed", "late", "told"),
    [
        (DAY, "PT12H", "what is late is looked for by whole days"),
        (DAY, 7, "what is late is looked for by whole days"),
        (DAY, "-P1D", None),
        (DAY, "soon", None),
        (ALL, "P7D", "nothing of it is late"),
    ],
)
def test_how_long_late_files_are_looked_for_is_in_days_and_for_feeds_by_days(
    project: Project, feed: str, late: Any, told: str | None
) -> None:
    token = "{partition}" if feed == DAY else "{delivered}"
    delivery = {"mode": "full-partition", "landing": f"{feed}_{token}.csv", "late": late}
    project.change_custom(feed, "delivery", delivery)
    problem = project.problem()
    assert problem.where == "customProperties[interlock.delivery].late"
    assert told is None or told in problem.found
