"""docs/faults.md says what a fresh run says: some faults of every class on one day, outcome by outcome."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import hypothesis  # noqa: F401 (before the gate freezes the garbage collector, without which it cannot be imported)
import pytest
from tests.faults import scorecard
from tests.faults.days import SAMPLE, SHORT_DAY, SHORT_FIRST, every_day
from tests.faults.platform import Platform
from tests.faults.trials import Truth, publish_history, tried, without_fault

from interlock.example.faults import FAULTS, FaultClass

TRIED = (
    "last_row_missing", "last_10_percent_missing", "duplicated_rows", "word_for_aircraft", "few_malformed_aircraft",
    "kilometres", "renamed_column", "middling_carrier_missing", "lower_case_carriers", "distances_scattered",
    "not_delivered", "carrier_unlisted", "celsius",
)  # fmt: skip


@pytest.fixture(scope="module")
def page() -> str:
    return scorecard.FILE.read_text()


@pytest.fixture(scope="module")
def published(server: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Platform, Truth]]:
    """Four weeks of both domains before the one day on which faults are tried."""
    from dbt_common.behavior_flags import BehaviorFlagRendered

    platform = Platform(server.run, server.address, template, tmp_path_factory.mktemp("faults"))
    with pytest.MonkeyPatch.context() as patched:
        # dbt walks the stack to tell its log who set a behaviour flag: under pytest that is half of each command.
        patched.setattr(BehaviorFlagRendered, "_default_source", staticmethod(lambda: "dbt"))
        history = every_day(SHORT_FIRST, date.fromisoformat(SHORT_DAY) - timedelta(days=1))
        publish_history(platform, history, [SHORT_DAY])
        truth, clean = without_fault(platform, [SHORT_DAY])
        assert clean.blocked == ()
        yield platform, truth


def test_what_is_tried_here_is_of_every_class():
    assert {FAULTS[name].of_class for name in TRIED} == set(FaultClass)


def test_the_page_tells_of_every_fault_and_of_every_day(page: str):
    told = scorecard.outcomes(page)
    assert {fault for fault, _ in told} == set(FAULTS)
    assert {day for _, day in told} == set(SAMPLE)


@pytest.mark.parametrize("name", TRIED)
def test_the_page_says_what_a_fresh_run_says(published: tuple[Platform, Truth], page: str, name: str):
    platform, truth = published
    (trial,) = tried(platform, FAULTS[name], [SHORT_DAY], truth, corrects=False)
    assert scorecard.sign(trial) == scorecard.outcomes(page)[name, SHORT_DAY]
    if trial.is_caught:
        assert (trial.wrong_staged, trial.wrong_curated) == (0, 0)
