"""Publishing: sealing what a run built, and serving it. Thin on purpose: every rule is in the database.

A connection of the wrong role, a missing verdict, a stale token or an input that moved is refused there,
and comes back as a permanent or a transient failure. Nothing here decides anything.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from interlock.db.failures import translated

if TYPE_CHECKING:
    from interlock.db.connection import Connection


def seal(
    connection: Connection,
    run_id: int,
    token: int,
    dataset: str,
    partitions: Sequence[str],
    code_version: str | None = None,
) -> int:
    """Take the table that a run built for `partitions` of a dataset out of the builder's hands; returns its version.

    As the builder. Raises PermanentFailure for a candidate that is not what its contract says, TransientFailure where
    the run lost its claim.
    """
    with translated():
        row = connection.execute(
            "select interlock.seal(%s, %s, %s, %s::text[], %s)",
            [run_id, token, dataset, list(partitions), code_version],
        ).fetchone()
    return int(row[0]) if row else 0


def attach(connection: Connection, run_id: int, token: int, versions: Sequence[int]) -> None:
    """Attach the tables of versions that passed, ahead of their publish and in a transaction before it.

    As the publisher. Readers see nothing of them until the pointer moves, but plan with them from here on.
    """
    with translated():
        connection.execute("select interlock.attach_ahead(%s, %s, %s::bigint[])", [run_id, token, list(versions)])


def publish(connection: Connection, run_id: int, token: int, partition: str, versions: Sequence[int]) -> int:
    """Serve these versions of one partition, all or none; inputs come before what was built from them.

    As the publisher. Returns how many pointers moved: 0 where all was served already. Raises PermanentFailure without
    a passing verdict, TransientFailure where an input was replaced meanwhile or the claim was lost.
    """
    with translated():
        row = connection.execute(
            "select interlock.publish(%s, %s, %s, %s::bigint[])", [run_id, token, partition, list(versions)]
        ).fetchone()
    return int(row[0]) if row else 0
