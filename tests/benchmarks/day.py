"""One day: whatever the history behind it, and from nothing at the command line."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from tests.benchmarks.figures import Figure, middle, seconds, timed
from tests.benchmarks.platform import ROOT, days, dbt_environment, deliver, interlock, scratch

from interlock.db.connection import Role
from interlock.pipeline import chain

FEW, MANY, ROUNDS = 30, 350, 7
JANUARY = date(2013, 1, 1)


def figures() -> Iterator[Figure]:
    """A day at long history beside a day at short history; a day from a cold start beside three cold `dbt build`s."""
    with scratch() as folder:
        deliver(JANUARY, date(2013, 12, 30))
        interlock("run", "flight_operations", "--from", str(JANUARY), "--to", days(JANUARY, FEW)[-1])
        short = _days_after(FEW)
        interlock(
            "run", "flight_operations", "--from", days(JANUARY, FEW + ROUNDS + 1)[-1], "--to", days(JANUARY, MANY)[-1]
        )
        long = _days_after(MANY)
        yield Figure(
            what=f"one day at {MANY} days of history beside {FEW}",
            ours=middle(long),
            reference=middle(short),
            target="at most 1.15 x",
        )
        rows = _cold_days(MANY + ROUNDS)
        builds = [seconds(lambda: _cold_dbt_build(folder)) for _ in range(3)]
        yield Figure(
            what="`interlock run` of one day from nothing, beside a cold `dbt build`",
            ours=middle(rows),
            reference=middle(builds),
            target="at most 3 x",
        )


def _days_after(number: int) -> list[float]:
    """Seconds for each of the next days, in this (warm) process."""
    # The first warms the process up and is not counted.
    return timed(_run_here, days(JANUARY, number + ROUNDS)[number:])[1:]


def _run_here(day: str) -> None:
    chain.run("flight_operations", [day], trigger="benchmark", by="benchmark")


def _cold_days(number: int) -> list[float]:
    return timed(
        lambda day: interlock("run", "flight_operations", "--partition", day), days(JANUARY, number + 3)[number:]
    )


def _cold_dbt_build(folder: Path) -> None:
    """`dbt build` of one staged model, as a process of its own, in a developer's schema."""
    subprocess.run(
        [
            str(Path(sys.executable).parent / "dbt"), "build", "--quiet", "--select", "stg_flight_operations__carriers",
            "--project-dir", str(ROOT / "dbt_project"), "--profiles-dir", str(ROOT / "dbt_project"), "--target", "dev",
            "--target-path", str(folder / "target"), "--log-path", str(folder / "logs"),
        ],
        check=True, capture_output=True,
        env={**os.environ, **dbt_environment(Role.DEVELOPER, "dbt_benchmark")},
    )  # fmt: skip
