"""The safety answer beside the asset in Airflow: with the event of its publication, and in the asset's state store.

Whoever looks at an asset in Airflow sees what the platform said when it was published. An event is history and cannot
be taken back, and nobody writes the store anew when a partition is withdrawn an hour later; so both say that they are a
mirror, of when, until when it held, and to ask before acting. Nothing of the platform's reads them: what a mirror says
moves no gate, no sensor and no task. Only *which* partition was published is taken from an event (`occasions`).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from interlock.errors import InterlockError

if TYPE_CHECKING:
    from airflow.sdk import Asset, Context

    from interlock.safety.answer import Answer

logger = logging.getLogger(__name__)

ASK_ALL = (
    b"select interlock.ask(dataset, partition)"
    b" from unnest(%s::text[], %s::text[]) with ordinality q (dataset, partition, n) order by n"
)
KEY = "interlock_safety"  # in an asset's state store
ALL = "all"
# Of an asset, whether it has a partition for each day: an event's partition is the run's, or else `all`.
BY_DAY = "partitioned_by_day"
COPIED = ("state", "safe", "version", "contract_version", "verdict_id", "as_of", "valid_until", "clock_offset_seconds")


def write(context: Context, assets: Sequence[Asset], partition: str) -> None:
    """Mirror the answer about a partition of each asset. Never raises: publishing depends on no mirror."""
    try:
        about = [(asset.name, partition if asset.extra.get(BY_DAY) else ALL) for asset in assets]
        said = list(zip(assets, mirrors(about), strict=True))
        for asset, mirror in said:  # all events first: other teams' runs go by the partitions that they name
            context["outlet_events"][asset].extra = mirror
        for asset, mirror in said:
            context["asset_state_store"][asset].set(KEY, mirror)
    except Exception:
        logger.warning("What was published is not mirrored in Airflow, or not all of it.", exc_info=True)


def mirrors(about: Sequence[tuple[str, str]]) -> list[dict[str, Any]]:
    """A mirror of the answer about each dataset and partition. Where nobody could say, it says *unknown*."""
    try:
        given = [answer.model_dump(mode="json", include=set(COPIED)) for answer in _answers(about)]
    except InterlockError as failure:
        logger.warning("What is mirrored is that nothing is known: %s", failure)
        given = [dict.fromkeys(COPIED) | {"state": "unknown", "safe": False} for _ in about]
    return [
        {
            "interlock_mirror": True,
            "dataset": dataset,
            "partition": partition,
            **answer,
            "note": "A copy of what was so at as_of; it is never updated. Before acting, ask the platform: "
            f"`interlock check {dataset} --partition {partition}`, SafeDataSensor, or the HTTP API.",
        }
        for (dataset, partition), answer in zip(about, given, strict=True)
    ]


def _answers(about: Sequence[tuple[str, str]]) -> list[Answer]:
    import psycopg

    from interlock.db.connection import Role, connect
    from interlock.safety.answers import answer_from, unanswered

    try:
        with connect(Role.CONSUMER, autocommit=True) as connection:
            rows = connection.execute(ASK_ALL, [list(part) for part in zip(*about, strict=True)]).fetchall()
    except psycopg.Error as error:
        raise unanswered(error) from error
    return [answer_from(row[0]) for row in rows]
