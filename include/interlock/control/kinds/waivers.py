"""Waivers: for a limited time, one named consumer may read partitions that are not safe, in `waived.<dataset>` alone.

A waiver names the version that is served when it is proposed. Once another one is served it gives nothing, so nobody's
exception outlives the trouble that it was made for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.control.kinds.base import Kind, require_dataset
from interlock.control.kinds.partitions import of_one_version
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.records import Action, Proposal
    from interlock.db.connection import Connection


class Waive(Kind):
    """Let one consumer read partitions of one served version, for so many hours from when it is executed."""

    name = "waive"
    effect = "grant_waiver"
    precondition = "require_waivable"
    inverse = "revoke_waiver"
    parameters = frozenset({"consumer", "lasts_hours"})

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """With the version that all of the partitions are served in."""
        consumer, hours = proposal.parameters.get("consumer"), proposal.parameters.get("lasts_hours")
        if not isinstance(consumer, str) or not consumer:
            raise UsageError("A waiver is for one consumer.", fix="Name it: `interlock consumer list` shows them.")
        if not isinstance(hours, int) or isinstance(hours, bool) or hours <= 0:
            raise UsageError("A waiver lasts some whole hours.", fix="Say how many, as lasts_hours.")
        return of_one_version(connection, proposal)


class RevokeWaiver(Kind):
    """End a waiver before its time. Which one: the action that it undoes, or the only one there is on its scope."""

    name = "revoke_waiver"
    effect = "revoke_waiver"
    precondition = "require_revocable"
    inverse = "waive"
    parameters = frozenset({"consumer"})

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """With the waiver that is meant: its partitions, its version, and the action that granted it."""
        from interlock.db.connection import statement

        dataset = require_dataset(proposal)
        found = connection.execute(
            statement("control/kinds/revocable_waivers.sql").encode(),
            {
                "dataset": dataset,
                "undoes": proposal.undoes,
                "partitions": list(proposal.partitions),
                "consumer": proposal.parameters.get("consumer"),
            },
        ).fetchall()
        if not found:
            raise UsageError(
                f"There is no such waiver of {dataset} to revoke.",
                fix="It ran out, was revoked before, or was for another consumer: see `interlock action list`.",
            )
        if len(found) > 1:
            several = ", ".join(f"{consumer} (action {action})" for action, _, _, consumer in found)
            raise UsageError(
                f"Several waivers of {dataset} run there: {several}.",
                fix="Take back the one that is meant: `interlock action rollback ACTION`.",
            )
        action, partitions, version, _ = found[0]
        return proposal.model_copy(update={"undoes": action, "partitions": tuple(partitions), "version": version})

    def way_back(self, action: Action) -> Proposal:
        """Another waiver, for the hours that were left of the one that was revoked."""
        parameters = {"consumer": action.result["consumer"], "lasts_hours": action.result["hours_left"]}
        return super().way_back(action).model_copy(update={"parameters": parameters})
