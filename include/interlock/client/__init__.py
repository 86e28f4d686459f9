"""What a consumer imports: ask before you act on data.

    from interlock.client import read, require_safe

    require_safe("fct_flights", "2013-01-05")                  # returns, or raises NotSafe with the reasons
    frame = read("fct_flights", "2013-01-05").to_pandas()      # rows that are safe, or NotSafe

`Client` and `AsyncClient` keep their connections and do the same and more; the functions here are for scripts that ask
once. Where the platform is and who asks is read from INTERLOCK_URL and INTERLOCK_TOKEN. Nobody has to check a returned
value: what is not safe is raised as NotSafe, and where nobody could say as CouldNotAsk, never as a default.

httpx and pydantic are all that this needs, and pyarrow for rows.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from interlock.client.answers import Answer
from interlock.client.asynchronous import AsyncClient
from interlock.client.feed import Change
from interlock.client.metrics import Metric, MetricRow
from interlock.client.questions import Partition
from interlock.client.refusals import FeedLost, NotAllowed, NotSafe, NotSafeInTime
from interlock.client.rows import Rows
from interlock.client.sync import Client
from interlock.errors import CouldNotAsk, InterlockError, UsageError
from interlock.safety.answer import Freshness, Reason, State, Waiver

__all__ = [
    "Answer",
    "AsyncClient",
    "Change",
    "Client",
    "CouldNotAsk",
    "FeedLost",
    "Freshness",
    "InterlockError",
    "Metric",
    "MetricRow",
    "NotAllowed",
    "NotSafe",
    "NotSafeInTime",
    "Partition",
    "Reason",
    "Rows",
    "State",
    "UsageError",
    "Waiver",
    "metric",
    "read",
    "require_safe",
    "safety",
    "wait_until_safe",
]


def safety(dataset: str, partition: Partition | None = None) -> Answer:
    """`Client.safety`, asked once."""
    with Client() as client:
        return client.safety(dataset, partition)


def require_safe(dataset: str, partition: Partition | None = None) -> Answer:
    """`Client.require_safe`, asked once."""
    with Client() as client:
        return client.require_safe(dataset, partition)


def wait_until_safe(dataset: str, partition: Partition | None = None, *, timeout: float) -> Answer:
    """`Client.wait_until_safe`, with connections of its own."""
    with Client() as client:
        return client.wait_until_safe(dataset, partition, timeout=timeout)


def read(dataset: str, partitions: Iterable[Partition] | Partition, columns: Iterable[str] | None = None) -> Rows:
    """`Client.read`, asked once."""
    with Client() as client:
        return client.read(dataset, partitions, columns)


def metric(
    name: str, start: Partition | None = None, end: Partition | None = None, group_by: Sequence[str] = ()
) -> Metric:
    """`Client.metric`, asked once."""
    with Client() as client:
        return client.metric(name, start, end, group_by)
