"""The numbers: safety, freshness, completeness and work by dataset and domain, read at the moment they are asked for.

No partition is a label: a year of days would be a million series, and what a person needs to know of one partition is
its reason, not a number. Where the database does not answer there is nothing but `interlock_database_up 0`: a series
that ends is seen (`absent`), one that repeats its last value is not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from prometheus_client.core import GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.registry import Collector

from interlock.db.connection import Role, connect, statement
from interlock.errors import InterlockError
from interlock.recovery.rebuilds import MAX_ATTEMPTS
from interlock.safety.answer import State

if TYPE_CHECKING:
    from interlock.db.connection import Connection

OF_A_DATASET = ("dataset", "domain", "layer")
# column of datasets.sql: (name, what it says)
BY_DATASET = {
    "safe": ("safe", "1 where the dataset is safe: fresh, and every partition of its window safe. Anything else is 0."),
    "lag_seconds": ("freshness_lag_seconds", "Age of the end of the newest safe partition."),
    "sla_seconds": ("freshness_sla_seconds", "The age that the contract allows."),
    "lease_seconds": ("lease_remaining_seconds", "Until the answers run out, unless they are renewed."),
    "verdict_age_seconds": ("verdict_age_seconds", "Age of the newest verdict of a gate."),
    "completeness_ratio": ("completeness_ratio", "Safe partitions of the contract's window, of those it names."),
    "rows": ("rows", "Rows of the newest safe partition."),
    "row_delta_ratio": ("row_delta_ratio", "Those rows against the safe partition before: -0.1 is a tenth less."),
}
# metric of work.sql: (labels, what it says)
OF_WORK: Mapping[str, tuple[Sequence[str], str]] = {
    "root_causes": (
        ("dataset", "domain", "code"),
        "Open causes that began with the dataset itself, not with its inputs: one fact is counted once.",
    ),
    "quarantined_rows": (("dataset", "domain"), "Rows that were set aside and wait for a replay or a decision."),
    "actions": (("kind", "state"), "Control actions on record."),
    "oldest_open_action_age_seconds": (("state",), "How long the oldest action has waited."),
    "rebuilds_waiting": (("domain", "exhausted"), "Partitions whose rebuild waits; exhausted ones wait for a person."),
    "standstills": (("domain", "what"), "Pauses and freezes in force."),
    "phase_duration_seconds": (("domain", "phase", "state"), "What the last attempt of a phase took."),
    "last_success_timestamp_seconds": (("domain",), "When a run of the domain last succeeded."),
    "audit_events": ((), "Events in the audit's chain."),
    "clock_offset_seconds": ((), "How far the platform's clock is set from real time; 0 is real time."),
}


class Numbers(Collector):
    """Reads the numbers of some domains; of null, those of all."""

    def __init__(self, domains: Sequence[str] | None = None) -> None:
        self._domains = list(domains) if domains is not None else None

    def describe(self) -> Iterator[Metric]:
        """Nothing: to describe itself it would have to ask the database while it is registered."""
        yield from ()

    def collect(self) -> Iterator[Metric]:
        """All families, of one instant; without a database only that there is none."""
        import psycopg

        yield InfoMetricFamily("interlock_build", "The version that serves.", value={"version": version("interlock")})
        up = GaugeMetricFamily("interlock_database_up", "1 where the database answered; where not, nothing is known.")
        try:
            with connect(Role.OPERATOR) as connection:
                connection.execute("set transaction isolation level repeatable read, read only")
                found = [*_of_datasets(connection, self._domains), *_of_work(connection, self._domains)]
        except (InterlockError, psycopg.Error):
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from found


def _of_datasets(connection: Connection, domains: list[str] | None) -> Iterator[Metric]:
    rows = _rows(connection, "telemetry/datasets.sql", {"domains": domains})
    about = InfoMetricFamily("interlock_dataset", "Who answers for a dataset, and how much hangs on it.")
    for row in rows:
        told = {name: row[name] for name in (*OF_A_DATASET, "owner", "criticality", "contract_version")}
        about.add_metric([], told)
    yield about
    for column, (name, words) in BY_DATASET.items():
        family = GaugeMetricFamily(f"interlock_dataset_{name}", words, labels=OF_A_DATASET)
        for row in rows:
            if row[column] is not None:
                family.add_metric([row[label] for label in OF_A_DATASET], float(row[column]))
        yield family
    states = GaugeMetricFamily("interlock_dataset_partitions", "Partitions by state.", labels=(*OF_A_DATASET, "state"))
    for row in rows:
        for state in State:
            states.add_metric([*(row[label] for label in OF_A_DATASET), state], row["states"].get(state, 0))
    yield states


def _of_work(connection: Connection, domains: list[str] | None) -> Iterator[Metric]:
    rows = _rows(connection, "telemetry/work.sql", {"domains": domains, "max_attempts": MAX_ATTEMPTS})
    for metric, (labels, words) in OF_WORK.items():
        family = GaugeMetricFamily(f"interlock_{metric}", words, labels=labels)
        for row in rows:
            if row["metric"] == metric:
                family.add_metric([row["labels"][label] for label in labels], float(row["value"]))
        yield family


def _rows(connection: Connection, file: str, values: dict[str, Any]) -> list[dict[str, Any]]:
    from psycopg.rows import dict_row

    with connection.cursor(row_factory=dict_row) as cursor:
        return cursor.execute(statement(file).encode(), values).fetchall()
