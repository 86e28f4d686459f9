"""Contracts and lineage of this checkout, made known to the database before anything runs.

A contract whose blocking clauses changed would let old verdicts stand for new promises; so it is
activated on its own, after what it covers was judged again, and a run refuses to do it in passing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from interlock.contracts.loading import checks_of
from interlock.contracts.checks import Severity, clause_digest
from interlock.contracts.model import Grain
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import PermanentFailure
from interlock.transform.lineage import Lineage

if TYPE_CHECKING:
    from interlock.contracts.model import Catalog, Contract


def definition(contract: Contract) -> dict[str, Any]:
    """A contract as the database keeps it: shape, promises, and the ids of the clauses that block."""
    checks = checks_of(contract)
    return {
        "name": contract.dataset,
        "domain": contract.domain,
        "layer": contract.layer.value,
        "grain": contract.partition.grain.value,
        "partition_column": contract.partition.column if contract.layer != "raw" else None,
        "is_increment": bool(contract.delivery and contract.delivery.mode == "increment"),
        "columns": [{"name": c.name, "type": c.physical_type} for c in contract.columns],
        "on_gate_failure": contract.on_gate_failure.value,
        "freshness": f"{int(contract.freshness.total_seconds())} seconds" if contract.freshness else None,
        "window_partitions": contract.window,
        "lease": f"{int(contract.lease.total_seconds())} seconds",
        "owner": contract.owner,
        "contract_version": contract.version,
        "content_digest": contract.content_digest,
        "clause_digest": clause_digest(checks),
        "clauses": sorted(check.id for check in checks if check.severity is Severity.CRITICAL),
    }


def register(catalog: Catalog, actor: str) -> list[str]:
    """Make every contract that is new or changed known, with the lineage; return the names that were written.

    Raises PermanentFailure where blocking clauses changed over partitions that are already served.
    """
    with connect(Role.OPERATOR) as connection:
        known = {
            name: (content, clauses, served)
            for name, content, clauses, served in connection.execute(statement("pipeline/registered.sql"))
        }
        changed = [
            contract
            for contract in catalog.values()
            if known.get(contract.dataset, ("",))[0] != contract.content_digest
        ]
        new = [definition(contract) for contract in changed]
        regated = [
            d["name"]
            for d in new
            if d["name"] in known and known[d["name"]][2] and known[d["name"]][1] != d["clause_digest"]
        ]
        if regated:
            raise PermanentFailure(
                f"The blocking clauses of {', '.join(sorted(regated))} changed, and partitions are served under the old ones.",
                fix="Run `interlock contract activate`: it judges what is served by the new clauses first, then makes them active.",
            )
        with translated():
            for item in new:
                connection.execute("select interlock.register_dataset(%s, %s)", [Jsonb(item), actor])
            if new:
                edges = [edge.model_dump() for edge in Lineage(catalog).edges]
                connection.execute("select interlock.register_lineage(%s)", [Jsonb(edges)])
    return [item["name"] for item in new]


def is_daily(contract: Contract) -> bool:
    """Whether a dataset has one partition a day."""
    return contract.partition.grain is Grain.DAY
