"""Pruning: what outlived its retention goes, unless something may still need it.

What may go is decided by the database (`12_maintenance.sql`), which refuses whatever is needed even to a caller who
asks for it. This module asks, detaches the tables, and says what it did and what it left, and why.

`drop table` on an attached version waits behind every reader of the published table, and every later reader waits
behind it. So a version is first condemned, then detached CONCURRENTLY, which no reader notices, and dropped when
nobody can see it any more. Each step is a transaction of its own: whoever kills it leaves a version that nothing can
serve, and the next time begins with what the last one left. PostgreSQL detaches CONCURRENTLY for the owner alone, and
from no function or procedure, so this one step needs the administrator's login and cannot be lent to the operator.

The table of a month stays, should its last version be pruned: it costs a reader nothing, and to drop it would race with
the publish that is about to attach the next one.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from interlock.clock import real_now
from interlock.db.connection import Role, connect
from interlock.db.failures import translated
from interlock.errors import InterlockError, TransientFailure
from interlock.settings import settings

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    from interlock.db.connection import Connection

# One number for "this database is being pruned"; advisory locks are of one database.
MAINTENANCE_LOCK = 4_738_121
# How long a detach waits for the readers that began before it, and how long a drop waits for the transactions that
# were open when its version was condemned. Both are tried again the next time.
DETACH_SECONDS = 1.0
PATIENCE_SECONDS = 3.0
TASK_LOGS = ("dag_id=*", "dag_processor", "dag_processor_manager")


class Pruned(BaseModel):
    """Some things of one kind that are gone, or with `dry_run` would be."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    count: int
    size: int | None = None  # bytes of disk, where they are known


class Left(BaseModel):
    """Something that outlived its retention and is still there, and why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    what: str
    count: int
    why: str
    is_for_next_time: bool  # else it stays as long as the reason does


class Report(BaseModel):
    """What a maintenance did, or would do."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dry_run: bool
    ended_runs: int  # that had never ended, and that nobody had taken up again for a day
    pruned: tuple[Pruned, ...]
    left: tuple[Left, ...]


class Condemned(BaseModel):
    """A table (or the raw rows) of a version that nothing can serve any more."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int
    dataset: str
    table: str | None
    parent: str | None
    is_pending: bool
    is_watched: bool  # a transaction is open that may have begun while it was served


def maintain(by: str, *, dry_run: bool = False) -> Report:
    """Prune everything that outlived its retention and that nothing needs; say what was left, and why.

    Raises TransientFailure where another maintenance is at work.
    """
    with translated(), _alone() as connection:
        ended = _lost_runs(connection, dry_run)
        parts = [_workspaces(connection, dry_run), _versions(connection, by, dry_run), _history(connection, dry_run)]
        parts.append(_logs(dry_run))
        report = Report(
            dry_run=dry_run,
            ended_runs=ended,
            pruned=tuple(item for done, _ in parts for item in done if item.count),
            left=tuple(item for _, left in parts for item in left),
        )
        if not dry_run:
            said = report.model_dump_json(exclude={"dry_run"})
            connection.execute("select interlock.record_maintenance(%s, %s)", [by, said])
    return report


def is_due() -> bool:
    """Whether the last maintenance is a day ago."""
    with translated(), connect(Role.OPERATOR) as connection:
        found = connection.execute(
            "select coalesce(max(at) < clock_timestamp() - interval '1 day', true)"
            " from interlock.event where kind = 'maintained'"
        ).fetchone()
    return found == (True,)


Part = tuple[list[Pruned], list[Left]]


@contextmanager
def _alone() -> Iterator[Connection]:
    with connect(Role.OPERATOR, autocommit=True) as connection:
        if connection.execute("select pg_try_advisory_lock(%s)", [MAINTENANCE_LOCK]).fetchone() != (True,):
            raise TransientFailure("Another maintenance is at work on this database.", fix="Wait until it has ended.")
        yield connection


def _lost_runs(connection: Connection, dry_run: bool) -> int:
    """Runs whose process died and that nobody has taken up again: ended, so that they keep nothing any longer."""
    with connection.transaction(force_rollback=dry_run):
        row = connection.execute("select interlock.end_lost_runs()").fetchone()
    return int(row[0]) if row else 0


def _workspaces(connection: Connection, dry_run: bool) -> Part:
    """Schemas of runs that nobody will come back to."""
    dead = [run_id for (run_id,) in connection.execute("select interlock.dead_workspaces()")]
    why: Counter[str] = Counter()
    for run_id in () if dry_run else dead:
        row = connection.execute("select interlock.prune_workspace(%s)", [run_id]).fetchone()
        if row and row[0]:
            why[row[0]] += 1
    pruned = Pruned(what="workspaces of dead runs", count=len(dead) - why.total())
    return [pruned], [Left(what="workspaces", count=n, why=said, is_for_next_time=True) for said, n in why.items()]


# -- versions --------------------------------------------------------------------------------------


def _versions(connection: Connection, by: str, dry_run: bool) -> Part:
    """Replaced versions, held candidates and raw loads: condemn what nothing needs, then drop what is condemned."""
    configured = settings()
    days = (configured.keep_replaced_days, configured.keep_held_days, configured.keep_raw_days)
    outlived = connection.execute(
        "select version, kind, kept_because, size from interlock.outlived_versions(%s, %s, %s, %s)",
        [configured.keep_good_versions, *(timedelta(days=n) for n in days)],
    ).fetchall()
    kept = Counter((kind, why) for _, kind, why, _ in outlived if why)
    left = [Left(what=KINDS[kind], count=n, why=why, is_for_next_time=False) for (kind, why), n in kept.items()]
    doomed = {version: (kind, size) for version, kind, why, size in outlived if not why}
    earlier = {item.version for item in _condemned(connection)}
    gone = set(doomed) | earlier
    if not dry_run:
        if doomed:
            connection.execute(
                "select interlock.condemn(%s, %s, %s)", [sorted(doomed), configured.keep_good_versions, by]
            )
        waiting = _dropped(connection)
        gone -= waiting.keys()
        left += [
            Left(what="condemned versions", count=n, why=why, is_for_next_time=True)
            for why, n in Counter(waiting.values()).items()
        ]
    pruned = [
        Pruned(what=name, count=len(of_kind), size=None if kind == "raw" else sum(of_kind))
        for kind, name in KINDS.items()
        if (of_kind := [size for version, (found, size) in doomed.items() if found == kind and version in gone])
    ]
    pruned.append(Pruned(what="versions that were condemned earlier", count=len(gone - doomed.keys())))
    return pruned, left


KINDS = {"replaced": "replaced versions", "held": "held candidates", "raw": "raw loads"}


def _condemned(connection: Connection) -> list[Condemned]:
    return [
        Condemned(**dict(zip(Condemned.model_fields, row, strict=True)))
        for row in connection.execute("select * from interlock.condemned_tables()")
    ]


def _dropped(connection: Connection) -> dict[int, str]:
    """Detach and drop what is condemned; the versions that are left, and why."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while any(item.is_watched for item in _condemned(connection)) and time.monotonic() < deadline:
        time.sleep(0.1)
    waiting: dict[int, str] = {}
    items = _condemned(connection)
    for item in items:
        if item.is_watched:
            waiting[item.version] = "a transaction is open that began before it was condemned"
    attached = [item for item in items if item.parent is not None and item.version not in waiting]
    waiting |= _undetached(attached)
    for version in sorted({item.version for item in items} - waiting.keys()):
        row = connection.execute("select interlock.prune_version(%s)", [version]).fetchone()
        if row and row[0]:
            waiting[version] = row[0]
    return waiting


def _undetached(attached: list[Condemned]) -> dict[int, str]:
    """Detach tables from the published ones, as their owner; the versions that could not be, and why.

    A detach that was interrupted has to be finished before the next one from the same parent may begin.
    """
    waiting: dict[int, str] = {}
    if not attached:
        return waiting
    try:
        with connect(Role.OWNER, autocommit=True) as owner:
            owner.execute("select set_config('lock_timeout', %s, false)", [f"{DETACH_SECONDS}s"])
            busy: set[str | None] = set()
            for item in sorted(attached, key=lambda item: not item.is_pending):
                if item.parent in busy or not _is_detached(owner, item):
                    busy.add(item.parent)
                    waiting[item.version] = "a reader has been in the published table since before"
    except InterlockError as error:
        waiting |= {item.version: error.message for item in attached if item.version not in waiting}
    return waiting


def _is_detached(owner: Connection, item: Condemned) -> bool:
    import psycopg
    from psycopg import sql

    way = sql.SQL("finalize" if item.is_pending else "concurrently")
    detach = sql.SQL("alter table {} detach partition {} {}")
    # The parent's name was written by `regclass`, which has quoted what must be.
    parent = sql.SQL(item.parent or "")
    try:
        owner.execute(detach.format(parent, sql.Identifier("versions", item.table or ""), way))
    except (psycopg.errors.LockNotAvailable, psycopg.errors.ObjectInUse):
        return False
    return True


# -- history and logs ------------------------------------------------------------------------------


def _history(connection: Connection, dry_run: bool) -> Part:
    """What was recorded beside the versions. A dry run does it as well, and takes it back."""
    configured = settings()
    done: list[Pruned] = []
    steps: list[tuple[str, int | None, tuple[str, ...]]] = [
        ("prune_quarantine", configured.keep_quarantine_days, ("quarantined deliveries", "lines of those")),
        ("prune_row_quarantine", configured.keep_quarantine_days,
         ("quarantined rows whose load is gone", "done replays")),
        ("prune_runs", configured.keep_runs_days,
         ("phases of finished runs", "pins of those", "done rebuilds", "records of refused runs")),
        ("prune_notices", configured.keep_runs_days, ("notices that were sent",)),
        ("prune_reliances", configured.keep_reliances_days,
         ("records of who relied on what", "gaps in those", "recalls that were told")),
        ("prune_records", configured.keep_records_days, ("verdicts", "records of deliveries", "accounts")),
    ]  # fmt: skip
    for function, days, names in steps:
        if days is None:
            continue
        with connection.transaction(force_rollback=dry_run):
            query = f"select * from interlock.{function}(%s)"  # noqa: S608  (a name from the table above)
            row = connection.execute(query.encode(), [timedelta(days=days)]).fetchone()
        done += [Pruned(what=name, count=count) for name, count in zip(names, row or (), strict=True)]
    return done, []


def _logs(dry_run: bool) -> Part:
    """Task logs of the orchestrator below the state folder. Links are never followed."""
    folder = settings().state / "logs"
    before = real_now() - timedelta(days=settings().keep_logs_days)
    old = [file for pattern in TASK_LOGS for top in folder.glob(pattern) for file in _older(top, before)]
    size = sum(file.stat().st_size for file in old)
    if not dry_run:
        for file in old:
            file.unlink(missing_ok=True)
            _remove_empty(file.parent, folder)
    return [Pruned(what="files of task logs", count=len(old), size=size)], []


def _older(top: Path, before: datetime) -> Iterator[Path]:
    for path in top.rglob("*"):
        if not path.is_symlink() and path.is_file() and path.stat().st_mtime < before.timestamp():
            yield path


def _remove_empty(folder: Path, top: Path) -> None:
    """The folder, and those above it, as far as nothing is left in them."""
    while folder != top:
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent
