"""Activating another policy: an action like any other, decided by the policy that it replaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.control.kinds.base import Kind
from interlock.control.records import Proposal
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.records import Action
    from interlock.db.connection import Connection


class ActivatePolicy(Kind):
    """`revision` is to decide from now on instead of `former`, which is the one that is active when it is proposed.

    It is its own inverse: the way back activates the former revision, and is approved as any other policy is.
    """

    name = "activate_policy"
    effect = "activate_policy"
    precondition = "require_activatable"
    inverse = "activate_policy"
    parameters = frozenset({"revision", "former"})

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """With the revision that it replaces. Raises PolicyInvalid where the bundle must not decide."""
        from interlock.control import active
        from interlock.control.policy import current_policy, require_usable

        if proposal.dataset or proposal.domain not in (None, "*"):
            raise UsageError("A policy is that of the whole platform.", fix="Name neither a domain nor a dataset.")
        require_usable(active.recorded(connection, str(proposal.parameters.get("revision") or "")))
        former = proposal.parameters.get("former") or current_policy(connection).bundle.revision
        return proposal.model_copy(update={"parameters": proposal.parameters | {"former": former}})

    def way_back(self, action: Action) -> Proposal:
        """The revision that decided before."""
        return Proposal(
            kind=self.inverse,
            rationale="-",
            parameters={"revision": action.result["former"]},
            undoes=action.action_id,
        )
