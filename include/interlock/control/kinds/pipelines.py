"""Actions on pipelines: a domain, or one dataset of it, stands still; a domain in which nothing is done by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.control.kinds.base import Kind, last_executed, radius_of_pipeline
from interlock.errors import UsageError

if TYPE_CHECKING:
    from interlock.control.records import Proposal, Radius
    from interlock.db.connection import Connection


class _OfPipeline(Kind):
    def radius(self, connection: Connection, proposal: Proposal, domains: tuple[str, ...]) -> Radius:
        """What waits meanwhile."""
        return radius_of_pipeline(connection, domains, proposal.dataset)


class _Undoing(_OfPipeline):
    """Undoes the action that holds its scope now."""

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:
        """The action that it undoes."""
        undoes = proposal.undoes or last_executed(connection, self.inverse, proposal)
        if undoes is None:
            raise UsageError(
                f"{proposal.dataset or proposal.domain} is not held by any {self.inverse}.",
                fix="`interlock status` shows what is paused or frozen.",
            )
        return proposal.model_copy(update={"undoes": undoes})


class PausePipeline(_OfPipeline):
    """Admits no run of a domain, or nothing of one dataset, whatever asks for it."""

    name = "pause_pipeline"
    effect = "pause_pipeline"
    precondition = "require_pausable"
    inverse = "resume_pipeline"


class ResumePipeline(_Undoing):
    """Lets it run again."""

    name = "resume_pipeline"
    effect = "resume_pipeline"
    precondition = "require_paused"
    inverse = "pause_pipeline"


class FreezeDomain(_OfPipeline):
    """Lets nothing be done in a domain without a person."""

    name = "freeze_domain"
    effect = "freeze_domain"
    precondition = "require_freezable"
    inverse = "unfreeze_domain"


class UnfreezeDomain(_Undoing):
    """Lets rules act by themselves again."""

    name = "unfreeze_domain"
    effect = "unfreeze_domain"
    precondition = "require_frozen"
    inverse = "freeze_domain"
