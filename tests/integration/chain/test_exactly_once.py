"""At least once made exactly once: however increments come, what is published is what one clean delivery publishes.

Real days are cut into increments that overlap, hold copies and stale values, and come in any order, again, corrected,
compressed, and cleared away after they were taken up. Beside them each day is delivered once, clean, to a twin of the
feed. Only the first run names its days: what comes later is found, and carried out by the queued rebuilds.
"""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, timedelta
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as bounded
from hypothesis import strategies as st

from interlock.db.connection import Role
from interlock.example import source
from interlock.publishing.ledger import accounts
from interlock.recovery import rebuilds
from interlock.settings import settings

if TYPE_CHECKING:
    from tests.integration.chain.conftest import World

CHECKOUT = Path(__file__).parents[3]
TEMPLATES = Path(__file__).parent / "increments"
COLUMNS = ("year", "month", "day", "carrier", "flight", "origin", "dep_delay")
FIRST, DAYS, ROUNDS, ROWS = date(2013, 1, 1), 12, 3, 9
blocks = count()

Row = tuple[str, ...]


@dataclass(frozen=True)
class Increment:
    """One increment of a day: which rows it tells, which of them twice, and whether a wrong one came before it."""

    delivered: int
    sequence: int
    rows: tuple[int, ...]
    copies: tuple[int, ...]
    is_corrected: bool

    def content(self, truth: list[Row], rank: int, *, is_last: dict[int, int], is_wrong: bool) -> str:
        """The file; a row that a later increment tells again is stale here, and a wrong file is wrong in each row."""
        told = [
            (*truth[row][:-1], str(900 + rank)) if is_wrong or is_last[row] != rank else truth[row] for row in self.rows
        ]
        lines = [told[self.rows.index(row)] for row in (*self.rows, *self.copies)]
        return "\n".join(map(",".join, (COLUMNS, *lines))) + "\n"


@dataclass(frozen=True)
class Arrival:
    """A file that arrives: an increment by its rank, its wrong or its right content, in which round, and how."""

    rank: int
    is_wrong: bool
    in_round: int
    is_compressed: bool
    is_cleared_away: bool


@dataclass(frozen=True)
class Plan:
    """How one day is delivered."""

    increments: tuple[Increment, ...]
    arrivals: tuple[Arrival, ...] = field(repr=False)


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    """A day in one to four increments, each arriving once or more, in any order over the rounds."""
    places = draw(
        st.lists(st.tuples(st.integers(0, 2), st.integers(1, 12)), min_size=1, max_size=4, unique=True).map(sorted)
    )
    told = [draw(st.sets(st.integers(0, ROWS - 1), min_size=1)) for _ in places]
    for row in range(ROWS):  # none is left out
        if not any(row in rows for rows in told):
            told[draw(st.integers(0, len(places) - 1))].add(row)
    increments = tuple(
        Increment(
            delivered, sequence, tuple(sorted(rows)), tuple(draw(st.lists(st.sampled_from(sorted(rows)), max_size=3))),
            draw(st.booleans()),
        )
        for (delivered, sequence), rows in zip(places, told, strict=True)
    )  # fmt: skip
    files = [(rank, True) for rank, increment in enumerate(increments) if increment.is_corrected]
    files += [(rank, False) for rank in range(len(increments))]
    again = draw(st.lists(st.sampled_from(files), max_size=2))
    order = _right_after_wrong(draw(st.permutations([*files, *again])))
    rounds = sorted(draw(st.lists(st.integers(0, ROUNDS - 1), min_size=len(order), max_size=len(order))))
    rounds[0] = 0
    arrivals = tuple(
        Arrival(rank, is_wrong, number, draw(st.booleans()), draw(st.booleans()))
        for (rank, is_wrong), number in zip(order, rounds, strict=True)
    )
    return Plan(increments, arrivals)


def _right_after_wrong(order: list[tuple[int, bool]]) -> list[tuple[int, bool]]:
    """The same files, but of each increment the wrong ones before the right ones: a correction comes later."""
    waiting = {rank: sorted(wrong for of, wrong in order if of == rank) for rank, _ in order}
    return [(rank, waiting[rank].pop()) for rank, _ in order]


@pytest.fixture
def trips(empty_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A platform with the feed and its twin, and nothing else."""
    root = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "dbt_project", root / "dbt_project", ignore=shutil.ignore_patterns("models", "tests"))
    contracts, models = root / "include/contracts/trips", root / "dbt_project/models/staging/trips"
    for folder in (contracts, models, empty_world.landing / "legs", empty_world.landing / "legs_once"):
        folder.mkdir(parents=True)
    for template in TEMPLATES.iterdir():
        folder = contracts if template.suffix == ".yaml" else models
        text = template.read_text()
        shutil.copy(template, folder)
        twin = text.replace("legs_{partition}_{delivered}_{sequence}", "legs_{partition}").replace(
            "increment", "full-partition"
        )
        (folder / template.name.replace("legs", "legs_once")).write_text(twin.replace("legs", "legs_once"))
    _one_source(models)
    monkeypatch.setenv("INTERLOCK_ROOT", str(root))
    settings.cache_clear()
    return empty_world


def _one_source(models: Path) -> None:
    """dbt knows a source once: the twin's table joins the first one's."""
    twin = models / "stg_trips__legs_once.yml"
    head, rest = twin.read_text().split("\nmodels:")
    twin.write_text(f"version: 2\n\nmodels:{rest}")
    first = models / "stg_trips__legs.yml"
    table = head[head.index("      - name: legs_once") :]
    first.write_text(first.read_text().replace("\nmodels:", f"{table}\nmodels:"))


@bounded(
    max_examples=2, deadline=None, derandomize=True, database=None, phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)  # fmt: skip
@given(of_days=st.lists(plans(), min_size=DAYS, max_size=DAYS))
def test_however_increments_come_the_published_rows_are_those_of_one_clean_delivery(trips: World, of_days: list[Plan]):
    first = FIRST + timedelta(days=DAYS * next(blocks))
    days = {first + timedelta(days=n): plan for n, plan in enumerate(of_days)}
    truth = {day: _truth(day) for day in days}
    told: dict[date, dict[int, bool]] = {day: {} for day in days}
    for number in range(ROUNDS):
        arrived = [
            file for day, plan in days.items() for file in _arrive(trips, day, plan, truth[day], number, told[day])
        ]
        if number == 0:
            for day in days:
                _put(trips.landing / "legs_once", f"legs_once_{day}.csv", _lines(truth[day]), is_compressed=False)
            assert trips.run("trips", *map(str, days)).is_complete
        else:
            assert all(report.is_complete for report in rebuilds.carry_out("tester"))
        expected = {day: _expected(plan, truth[day], told[day]) for day, plan in days.items()}
        assert _published(trips, first) == expected
        assert trips.unsafe() == set()
        assert trips.rows("select 1 from interlock.rebuild where done_at is null", role=Role.AUDITOR) == []
        for file in arrived:
            file.unlink(missing_ok=True)
    assert _checksums(trips, "legs") == _checksums(trips, "legs_once")
    unbalanced = trips.rows(
        "select dataset, partition from interlock.accounts group by 1, 2 having not bool_and(balances)",
        role=Role.AUDITOR,
    )
    assert unbalanced == []
    for day in list(days)[:3]:
        _require_whole_accounts(str(day))


def _truth(day: date) -> list[Row]:
    """Real departures of a day, as they turned out in the end."""
    table = source.day_of("flights", day)
    header, *lines = table.content().decode().splitlines()
    names = header.split(",")
    places = [names.index(column) for column in COLUMNS]
    return [tuple(line.split(",")[place] for place in places) for line in lines[:ROWS]]


def _arrive(
    world: World, day: date, plan: Plan, truth: list[Row], number: int, told: dict[int, bool]
) -> Iterator[Path]:
    """The files of one round; yields those that will be cleared away once they were taken up."""
    is_last = {row: max(r for r, i in enumerate(plan.increments) if row in i.rows) for row in range(len(truth))}
    for arrival in (arrival for arrival in plan.arrivals if arrival.in_round == number):
        increment = plan.increments[arrival.rank]
        told[arrival.rank] = arrival.is_wrong
        content = increment.content(truth, arrival.rank, is_last=is_last, is_wrong=arrival.is_wrong)
        name = f"legs_{day}_{day + timedelta(days=increment.delivered)}_{increment.sequence}.csv"
        file = _put(world.landing / "legs", name, content, is_compressed=arrival.is_compressed)
        if arrival.is_cleared_away:
            yield file


def _put(folder: Path, name: str, content: str, *, is_compressed: bool) -> Path:
    for old in (folder / name, folder / f"{name}.gz"):
        old.unlink(missing_ok=True)
    file = folder / (f"{name}.gz" if is_compressed else name)
    raw = content.encode()
    file.write_bytes(gzip.compress(raw) if is_compressed else raw)
    mark = {"rows": content.count("\n") - 1, "sha256": hashlib.sha256(raw).hexdigest()}
    file.with_name(f"{file.name}.done").write_text(json.dumps(mark))
    return file


def _lines(rows: list[Row]) -> str:
    return "\n".join(map(",".join, (COLUMNS, *rows))) + "\n"


def _expected(plan: Plan, truth: list[Row], told: dict[int, bool]) -> list[tuple[Any, ...]]:
    """Of each row what the newest increment says that has come so far."""
    is_last = {row: max(r for r, i in enumerate(plan.increments) if row in i.rows) for row in range(len(truth))}
    found: dict[Row, str] = {}
    for rank in sorted(told):
        content = plan.increments[rank].content(truth, rank, is_last=is_last, is_wrong=told[rank])
        for line in content.splitlines()[1:]:
            *key, delay = line.split(",")
            found[tuple(key[3:])] = delay
    return sorted(
        (carrier, int(flight), origin, None if delay in ("", "NA") else int(delay))
        for (carrier, flight, origin), delay in found.items()
    )


def _published(world: World, since: date) -> dict[date, list[tuple[Any, ...]]]:
    query = "select leg_date, carrier, flight, origin, delay_minutes from safe.stg_trips__legs where leg_date >= %s"
    found: dict[date, list[tuple[Any, ...]]] = {}
    for day, *row in world.rows(query, since):
        found.setdefault(day, []).append(tuple(row))
    return {day: sorted(rows) for day, rows in found.items()}


def _checksums(world: World, feed: str) -> list[tuple[Any, ...]]:
    return world.rows(
        "select leg_date, count(*), md5(string_agg(t::text, '|' order by t::text)) from"
        f" (select leg_date, carrier, flight, origin, delay_minutes from safe.stg_trips__{feed}) as t"
        " group by 1 order by 1"
    )


def _require_whole_accounts(day: str) -> None:
    """What the files held, less what corrections replaced, is what the staged step read; the copies are counted."""
    found = accounts("stg_trips__legs", day)
    assert found.balances
    loads = [entry for entry in found.entries if entry.dataset == "legs" and entry.input.startswith("legs/")]
    (staged,) = (entry for entry in found.entries if entry.dataset == "stg_trips__legs")
    assert staged.read == sum(entry.written for entry in loads)
    assert staged.read - staged.deduplicated == staged.written == ROWS
