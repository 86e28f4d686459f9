"""Whatever a producer sends: a typed outcome that says what to do, the file untouched, and no part of it in raw."""

from __future__ import annotations

import os
import shutil
import tempfile
import tracemalloc
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import date, timedelta
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from tests.conftest import point_to
from tests.integration.ingestion.malformed_bytes import COMPRESSIONS, ENCODINGS, LINES
from tests.integration.ingestion.malformed_files import Day, Kind, Loaded, Refused, Waits
from tests.integration.ingestion.malformed_places import MARKS, NAMES
from tests.integration.ingestion.malformed_values import HEADERS, VALUES

from interlock.contracts.loading import checks_of, read_contract
from interlock.db import connection as connections
from interlock.db.connection import Role
from interlock.errors import PermanentFailure, TransientFailure
from interlock.example import source
from interlock.ingestion import loads, marks
from interlock.ingestion.errors import DeliveryRefused
from interlock.settings import settings

if TYPE_CHECKING:
    from interlock.contracts.model import Contract
    from interlock.ingestion.loads import LoadResult
    from interlock.quality.gate import Judgement

CLASSES = (ENCODINGS, COMPRESSIONS, LINES, HEADERS, VALUES, NAMES, MARKS)
KINDS: dict[str, Kind] = {name: kind for kinds in CLASSES for name, kind in kinds.items()}
PARTITIONS = {name: (date(2013, 1, 1) + timedelta(days=place)).isoformat() for place, name in enumerate(KINDS)}
REAL_DAY, REAL_ROWS = date(2013, 1, 1), (0, 1, 2, 3, 4, 838)  # the last one never departed
NOBODY = 65_534
MIB = 1 << 20
LEGAL, REFUSED, WAITING = (
    [name for name, kind in KINDS.items() if isinstance(kind.outcome, sort)] for sort in (Loaded, Refused, Waits)
)


@dataclass
class Airline:
    """A feed, its landing folders (one a kind), and one run that holds every day."""

    landing: Path
    contract: Contract
    day: Day
    connections: dict[Role, Any]
    run: tuple[int, int]
    results: dict[str, LoadResult | Exception] = field(default_factory=dict)
    verdicts: dict[str, Judgement] = field(default_factory=dict)

    def rows(self, role: Role, query: str, *values: Any) -> list[tuple[Any, ...]]:
        """The rows of a query as a role."""
        return list(self.connections[role].execute(query.encode(), values).fetchall())

    def deliver(self, name: str) -> Path:
        """Lay a kind's files into a landing folder of its own, as they would lie there a minute later."""
        kind, partition = KINDS[name], PARTITIONS[name]
        year, month, number = partition.split("-")
        folder = self.landing / partition / "flights"
        folder.mkdir(parents=True)
        files = kind.files(self.day) if kind.files else {f"flights_{{day}}{kind.suffix}": kind.content(self.day)}
        for file, content in files.items():
            path = folder / file.format(day=partition, year=year, month=month, number=number)
            path.write_bytes(content)
            os.utime(path, (path.stat().st_mtime - 60,) * 2)
        if kind.lay:
            kind.lay(folder / f"flights_{partition}.csv")
        return folder

    def load(self, name: str) -> LoadResult:
        """Take up what lies in the landing folder of a kind."""
        partition = PARTITIONS[name]
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("INTERLOCK_LANDING_URL", str(self.landing / partition))
            settings.cache_clear()
            [result] = loads.load_partition(self.connections[Role.LOADER], *self.run, self.contract, partition)
        return result

    def answer(self, name: str) -> dict[str, Any]:
        """What everybody is told of the kind's day."""
        [(told,)] = self.rows(Role.CONSUMER, "select interlock.ask('flights', %s)", PARTITIONS[name])
        return dict(told)

    def raw_rows(self, partition: str) -> list[tuple[Any, ...]]:
        """What raw holds of a day, in the order of the file."""
        columns = ", ".join(f'"{name}"' for name in self.day.columns)
        return self.rows(
            Role.GATE,
            f"select {columns} from raw_flight_operations.flights join interlock.load on load_id = _load_id"
            " where partition = %s order by _row_number",
            partition,
        )

    def kept_lines(self, quarantine_id: int) -> list[bytes]:
        """The lines of a delivery that was quarantined."""
        query = "select line from raw_flight_operations.quarantined_line where quarantine_id = %s order by line_number"
        return [line.encode() for (line,) in self.rows(Role.ADMIN, query, quarantine_id)]

    def record(self) -> list[tuple[Any, ...]]:
        """Everything that a load would add to."""
        query = (
            "select (select count(*) from raw_flight_operations.flights), (select count(*) from interlock.load),"
            " (select count(*) from interlock.version)"
        )
        return self.rows(Role.ADMIN, query)


def contents(folder: Path) -> dict[str, Any]:
    """All that lies in a folder: the kind, the time and the bytes of each file."""
    paths = sorted(Path(root) / name for root, folders, files in os.walk(folder) for name in folders + files)
    stats = {path: path.lstat() for path in paths}
    return {
        str(path): (stat.st_mode, stat.st_mtime_ns, path.read_bytes() if path.is_file() else None)
        for path, stat in stats.items()
    }


@contextmanager
def nobody(wanted: bool) -> Iterator[None]:
    """Be a user without rights, for root may read every file."""
    is_root = wanted and os.geteuid() == 0
    if is_root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if is_root:
            os.seteuid(0)


def contract_of(folder: Path) -> Contract:
    """The contract of the checkout's flights without its clauses about a whole day: this one has six flights."""
    own = settings().root / "include" / "contracts" / "flight_operations" / "flights.yaml"
    document = yaml.safe_load(own.read_text(encoding="utf-8"))
    del document["schema"][0]["quality"]
    file = folder / "include" / "contracts" / "flight_operations" / "flights.yaml"
    file.parent.mkdir(parents=True)
    file.write_text(yaml.safe_dump(document), encoding="utf-8")
    contract, problems = read_contract(file)
    assert contract is not None, problems
    return contract


@pytest.fixture(scope="module")
def airline(server: Any, template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airline]:
    """One database for all kinds, each with a day of its own; what is legal was loaded, and judged all at once."""
    from psycopg.types.json import Jsonb

    from interlock.pipeline.registry import definition

    landing = Path(tempfile.mkdtemp(prefix="interlock-landing-"))
    landing.chmod(0o755)  # the user without rights has to get as far as the file
    home, name = tmp_path_factory.mktemp("malformed"), "malformed_files"
    with pytest.MonkeyPatch.context() as environment, ExitStack() as stack:
        server.copy(template, name)
        environment.setenv("INTERLOCK_STATE_DIR", str(home))
        point_to(server, name, environment)
        table = source.day_of("flights", REAL_DAY)
        day = Day(table.columns, tuple(table.rows[row] for row in REAL_ROWS))
        roles = {role: stack.enter_context(connections.connect(role, autocommit=True)) for role in Role}
        contract = contract_of(home)
        roles[Role.OPERATOR].execute("select interlock.register_dataset(%s, 'tester')", [Jsonb(definition(contract))])
        [run] = roles[Role.OPERATOR].execute(
            "select * from interlock.admit_run('malformed', 'flight_operations', %s, 'test', 'tester', '1 hour')",
            [list(PARTITIONS.values())],
        )
        made = Airline(landing, contract, day, roles, run)
        _take_up_what_is_legal(made)
        yield made
    server.drop(name)
    shutil.rmtree(landing)


def _take_up_what_is_legal(airline: Airline) -> None:
    from interlock.quality import gate

    for name in LEGAL:
        airline.deliver(name)
        try:
            airline.results[name] = airline.load(name)
        except Exception as error:  # (it is the outcome of that kind, and its test shows it)
            airline.results[name] = error
    of_partition = {PARTITIONS[name]: name for name in LEGAL}
    loaded = {PARTITIONS[name]: found.load_id for name, found in airline.results.items() if hasattr(found, "load_id")}
    versions = {partition: load_id for partition, load_id in loaded.items() if load_id is not None}
    judged = gate.judge_versions(*airline.run, airline.contract, checks_of(airline.contract), versions)
    airline.verdicts.update({of_partition[judgement.partition]: judgement for judgement in judged})


def test_the_corpus_is_as_large_as_it_says_and_every_kind_has_its_name() -> None:
    assert len(KINDS) == sum(map(len, CLASSES))
    assert len(LEGAL) + len(REFUSED) + len(WAITING) == len(KINDS)
    assert len(REFUSED) >= 60


@pytest.mark.parametrize("name", REFUSED)
def test_a_malformed_file_is_refused_with_a_place_and_a_fix_and_nothing_of_it_is_in_raw(
    airline: Airline, name: str
) -> None:
    outcome = KINDS[name].outcome
    assert isinstance(outcome, Refused)
    folder = airline.deliver(name)
    lying, before = contents(folder), airline.record()

    tracemalloc.start()
    with nobody(KINDS[name].is_unprivileged):
        result = airline.load(name)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert result.error is not None, result
    assert (result.outcome, type(result.error)) == (outcome.becomes, outcome.error)
    assert isinstance(result.error, PermanentFailure)
    with pytest.raises(DeliveryRefused, match=f"(?s)^flights/.*{outcome.says}"):
        raise result.error
    assert result.error.message.isprintable()
    assert len(result.error.message) < 5_000
    assert "producer" in result.error.fix
    assert result.error.evidence.get("line") == outcome.line
    assert contents(folder) == lying
    assert airline.record() == before
    if outcome.becomes == "quarantined":
        assert (
            airline.kept_lines(result.error.evidence["quarantine_id"]) == KINDS[name].content(airline.day).splitlines()
        )
    answer = airline.answer(name)
    assert (answer["state"], answer["safe"]) == ("unsafe", False)
    [reason] = answer["reasons"]
    assert (reason["code"], reason["evidence"]["error"]) == ("delivery_refused", outcome.error.__name__)
    assert reason["message"] == result.error.message
    assert peak < 24 * MIB


@pytest.mark.parametrize("name", WAITING)
def test_what_time_may_mend_is_recorded_against_nobody(
    airline: Airline, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kind = KINDS[name]
    assert isinstance(kind.outcome, Waits)
    folder = airline.deliver(name)
    lying, before = contents(folder), airline.record()
    path = folder / f"flights_{PARTITIONS[name]}.csv"
    meanwhile = kind.meanwhile
    if meanwhile:
        monkeypatch.setattr(marks.time, "sleep", lambda seconds: meanwhile(path))

    with pytest.raises(kind.outcome.error, match=f"(?s){kind.outcome.says}") as raised:
        airline.load(name)

    assert isinstance(raised.value, TransientFailure)
    assert PARTITIONS[name] in str(raised.value)
    assert raised.value.fix
    assert meanwhile or contents(folder) == lying
    assert airline.record() == before
    assert airline.rows(Role.AUDITOR, "select 1 from interlock.delivery where partition = %s", PARTITIONS[name]) == []
    assert airline.answer(name)["safe"] is False


@pytest.mark.parametrize("name", LEGAL)
def test_an_odd_file_is_in_raw_exactly_as_written_and_its_gate_names_what_it_breaks(
    airline: Airline, name: str
) -> None:
    outcome, result = KINDS[name].outcome, airline.results[name]
    assert isinstance(outcome, Loaded)
    if isinstance(result, Exception):
        raise result
    assert result.outcome == "loaded", result.error
    rows = [list(row) for row in airline.day.rows]
    for (row, column), held in outcome.changed.items():
        rows[row][airline.day.columns.index(column)] = held  # type: ignore[call-overload]
    assert airline.raw_rows(PARTITIONS[name]) == [tuple(row) for row in rows]
    assert result.rows == len(rows)

    failed = {clause for clause, _ in airline.verdicts[name].failures}
    for clause in outcome.clauses:
        assert any(fnmatch(found, clause) for found in failed), failed
    assert all(any(fnmatch(found, clause) for clause in outcome.clauses) for found in failed), failed
    assert airline.verdicts[name].passed is not bool(outcome.clauses)
    assert airline.answer(name)["state"] == ("unsafe" if outcome.clauses else "checking")


def test_what_is_loaded_is_what_the_gate_judged(airline: Airline) -> None:
    """Of a kind that was not loaded there is no load, and of one that was there is exactly one."""
    loaded = airline.rows(Role.ADMIN, "select partition, count(*) from interlock.load group by 1 order by 1")
    assert loaded == sorted((PARTITIONS[name], 1) for name in LEGAL)
