"""A kind of action: its names, the SQL functions that carry it out, and what its proposal need not say.

Adding a kind is one subclass of `Kind` here, listed in `KINDS`, and one rule in include/policies/interlock/actions/
kinds.rego: without the rule every proposal of it is refused.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from interlock.control.records import Radius
from interlock.db.connection import statement
from interlock.errors import PermanentFailure, UsageError

if TYPE_CHECKING:
    from interlock.control.records import Action, Proposal
    from interlock.db.connection import Connection


class Kind:
    """One kind of action.

    `effect` and `precondition` are functions of the schema `interlock` (see db/migrations/sql/18_*.sql): the
    effect takes the action's id within the transaction that executes it and returns what the way back needs; the
    precondition takes the action's row and raises where it does not hold. `inverse` is the kind that undoes it.
    """

    name: ClassVar[str]
    effect: ClassVar[str]
    precondition: ClassVar[str]
    inverse: ClassVar[str]
    is_reversible: ClassVar[bool] = True
    parameters: ClassVar[frozenset[str]] = frozenset()

    def complete(self, connection: Connection, proposal: Proposal) -> Proposal:  # noqa: ARG002 (other kinds ask it)
        """The proposal with what it left out. Raises UsageError where it names what does not exist."""
        return proposal

    def radius(self, connection: Connection, proposal: Proposal, domains: tuple[str, ...]) -> Radius:  # noqa: ARG002
        """What the completed proposal touches."""
        return radius_of_partitions(connection, proposal.dataset, proposal.partitions)

    def way_back(self, action: Action) -> Proposal:
        """The proposal that undoes an executed action of this kind; its rationale is filled in by the caller."""
        from interlock.control.records import Proposal

        return Proposal(
            kind=self.inverse,
            rationale="-",
            domain=None if action.dataset else action.domains[0],
            dataset=action.dataset,
            partitions=action.partitions,
            version=action.version,
            undoes=action.action_id,
        )


def radius_of_partitions(connection: Connection, dataset: str | None, partitions: tuple[str, ...]) -> Radius:
    """What hangs on some partitions of a dataset, they themselves included."""
    return _radius(
        connection,
        "select interlock.blast_radius((select d.dataset_id from interlock.dataset d where d.name = %s), %s)",
        [dataset, list(partitions)],
    )


def radius_of_pipeline(connection: Connection, domains: tuple[str, ...], dataset: str | None) -> Radius:
    """What waits while a domain, or one dataset of it, stands still. No partition that is there is touched."""
    return _radius(connection, "select interlock.pipeline_radius(%s, %s)", [list(domains), dataset])


def require_dataset(proposal: Proposal) -> str:
    """The dataset that the proposal names. Raises UsageError where it names none."""
    if proposal.dataset is None:
        raise UsageError(f"{proposal.kind} needs a dataset.", fix="Give --dataset NAME.")
    return proposal.dataset


def require_partitions(proposal: Proposal, *, one: bool = False) -> tuple[str, ...]:
    """The partitions that the proposal names. Raises UsageError where it names none, or several and `one` is meant."""
    if not proposal.partitions or (one and len(proposal.partitions) > 1):
        raise UsageError(
            f"{proposal.kind} needs {'exactly one partition' if one else 'a partition'}.",
            fix="Give --partition P." if one else "Give --partition P, or --from D and --to D.",
        )
    return proposal.partitions


def last_executed(connection: Connection, kind: str, proposal: Proposal) -> int | None:
    """The newest action of a kind on the proposal's scope that was executed and not rolled back."""
    row = connection.execute(
        statement("control/kinds/last_executed.sql").encode(),
        {
            "kind": kind,
            "dataset": proposal.dataset,
            "domain": proposal.domain,
            "partitions": list(proposal.partitions),
        },
    ).fetchone()
    return row[0] if row else None


def _radius(connection: Connection, query: str, values: list[Any]) -> Radius:
    row = connection.execute(query.encode(), values).fetchone()
    if row is None or row[0] is None:
        raise PermanentFailure("The blast radius could not be computed.", fix="See that the dataset is registered.")
    return Radius.model_validate(row[0])
