"""Actions on partitions: take a version out of sight, serve an earlier one, run again; and each one's way back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.control.kinds.base import Kind, last_executed, require_dataset, require_partitions
from interlock.control.records import Proposal
from interlock.db.connection import statement
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.records import Action
    from interlock.db.connection import Connection


class QuarantinePartition(Kind):
    """Takes one version of some partitions out of every reader's sight; never what replaces it."""

    name = "quarantine_partition"
    effect = "withdraw_version"
    precondition = "require_withdrawable"
    inverse = "release_partition"

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The version that is served, unless one is named."""
        return of_one_version(connection, proposal)


class ReleasePartition(Kind):
    """Shows a quarantined version again."""

    name = "release_partition"
    effect = "release_version"
    precondition = "require_releasable"
    inverse = "quarantine_partition"

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The quarantine that it undoes, and its version."""
        return undoing(connection, proposal, "quarantine_partition")


class _MovesPointer(Kind):
    """Has another version served."""

    def way_back(self, action: Action) -> Proposal:
        """What was served before."""
        return super().way_back(action).model_copy(update={"version": action.result["version"]})


class RollbackPartition(_MovesPointer):
    """Serves an earlier good version of one partition again."""

    name = "rollback_partition"
    effect = "serve_earlier"
    precondition = "require_servable"
    inverse = "reinstate_partition"
    parameters = frozenset({"from_version", "reaches_back_hours"})

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The last good version, unless one is named, and for how long readers have been without it."""
        dataset, partition = require_dataset(proposal), require_partitions(proposal, one=True)[0]
        found = connection.execute(
            statement("control/kinds/earlier_version.sql").encode(),
            {"dataset": dataset, "partition": partition, "version": proposal.version},
        ).fetchone()
        if found is None or found[1] is None:
            wanted = f"version {proposal.version}" if proposal.version else "an earlier version"
            raise UsageError(
                f"{dataset} {partition} never served {wanted}.",
                fix=f"`interlock explain {dataset} --partition {partition}` says what is served.",
            )
        served, version, hours = found
        return proposal.model_copy(
            update={"version": version, "parameters": {"from_version": served, "reaches_back_hours": hours}}
        )


class ReinstatePartition(_MovesPointer):
    """Serves again what a rollback replaced, as it was."""

    name = "reinstate_partition"
    effect = "serve_later"
    precondition = "require_reinstatable"
    inverse = "rollback_partition"

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The rollback that it undoes, and what that replaced."""
        completed = undoing(connection, proposal, "rollback_partition")
        row = connection.execute(
            b"select (a.result ->> 'version')::bigint from interlock.action a where a.action_id = %s",
            [completed.undoes],
        ).fetchone()
        return completed.model_copy(update={"version": row[0] if row else None})


class RerunPartition(Kind):
    """Queues partitions to be run again; their gates judge what comes of it."""

    name = "rerun_partition"
    effect = "queue_rerun"
    precondition = "require_known"
    inverse = "cancel_rerun"

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:  # noqa: ARG002
        """As it is: a rerun is of partitions, whatever their version."""
        require_dataset(proposal)
        require_partitions(proposal)
        return proposal.model_copy(update={"version": None})


class CancelRerun(Kind):
    """Takes back a rerun that was not carried out yet."""

    name = "cancel_rerun"
    effect = "cancel_rerun"
    precondition = "require_queued"
    inverse = "rerun_partition"

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The rerun that it takes back."""
        return undoing(connection, proposal, "rerun_partition")


def of_one_version(connection: Connection, proposal: Proposal) -> Proposal:
    """The proposal with a version: the one that is named, or the one that all of its partitions serve.

    Raises UsageError where they serve none, or several.
    """
    dataset, partitions = require_dataset(proposal), require_partitions(proposal)
    if proposal.version is not None:
        return proposal
    served = dict(
        connection.execute(
            b"select p.partition, p.version from interlock.partition p"
            b" where p.dataset_id = interlock.dataset_id_of(%s) and p.partition = any (%s) and p.version is not null",
            [dataset, list(partitions)],
        ).fetchall()
    )
    if missing := [partition for partition in partitions if partition not in served]:
        raise UsageError(
            f"{dataset} {', '.join(missing[:5])}: no version was ever published.",
            fix="A candidate that failed its gate is held and read by nobody; `interlock status` shows what is served.",
        )
    if len(set(served.values())) > 1:
        told = ", ".join(f"{partition} version {version}" for partition, version in sorted(served.items())[:5])
        raise UsageError(
            f"An action names one version, and these partitions of {dataset} have several: {told}.",
            fix="Propose one action for each version.",
        )
    return proposal.model_copy(update={"version": int(served[partitions[0]])})


def undoing(connection: Connection, proposal: Proposal, kind: str) -> Proposal:
    """The proposal with the action of a kind that it undoes, and that one's version."""
    dataset, partitions = require_dataset(proposal), require_partitions(proposal)
    undoes = proposal.undoes or last_executed(connection, kind, proposal)
    if undoes is None:
        raise UsageError(
            f"There is no {kind} of {dataset} {', '.join(partitions)} to undo.",
            fix=f"`interlock action list --dataset {dataset} --all` shows what was done.",
        )
    row = connection.execute(b"select a.version from interlock.action a where a.action_id = %s", [undoes]).fetchone()
    return proposal.model_copy(update={"undoes": undoes, "version": row[0] if row else None})
