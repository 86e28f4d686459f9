"""Contracts and lineage of this checkout, made known to the database before anything runs.

A contract whose blocking clauses changed would let old verdicts stand for new promises; so it is
activated on its own, after what it covers was judged again, and a run refuses to do it in passing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from psycopg.types.json import Jsonb

from interlock.contracts.checks import clause_digest
from interlock.contracts.loading import checks_of
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
        "clauses": sorted(check.id for check in checks if check.severity.blocks),
    }


def register(catalog: Catalog, actor: str, *, is_whole: bool = True) -> list[str]:
    """Make every contract that is new or changed known, and the lineage; return the names that were written.

    `is_whole` says that the catalog is that of the checkout, so that what it lacks is gone.

    Raises PermanentFailure where blocking clauses changed over partitions that are already served, and where what is
    served has lost its contract or its model: its lineage would go with it, and no new input would reopen it again.
    """
    with translated(), connect(Role.OPERATOR) as connection:
        known = {row[0]: row[1:] for row in connection.execute(statement("pipeline/registered.sql").encode())}
        if is_whole:
            _require_contracts(catalog, known)
        new = [
            definition(contract)
            for contract in catalog.values()
            if contract.dataset not in known or known[contract.dataset][0] != contract.content_digest
        ]
        _require_standing_verdicts(new, known)
        for item in new:
            connection.execute("select interlock.register_dataset(%s, %s)", [Jsonb(item), actor])
        lineage = Lineage(catalog)
        if is_whole:
            _require_models(catalog, lineage, known)
        edges = [edge.model_dump() for edge in lineage.edges]
        # A model can read something new while no contract changed.
        active = connection.execute(statement("pipeline/registered_edges.sql").encode()).fetchall()
        if {tuple(edge.values()) for edge in edges} != set(active):
            connection.execute("select interlock.register_lineage(%s)", [Jsonb(edges)])
    return [item["name"] for item in new]


def _require_contracts(catalog: Catalog, known: dict[str, tuple[Any, ...]]) -> None:
    gone = sorted(name for name, (_, _, is_served) in known.items() if is_served and name not in catalog)
    if gone:
        raise PermanentFailure(
            f"{', '.join(gone)}: served, and without a contract in this checkout. Nothing was run.",
            fix="Put its file under include/contracts/ back; taking a served dataset away is a planned operation.",
        )


def _require_models(catalog: Catalog, lineage: Lineage, known: dict[str, tuple[Any, ...]]) -> None:
    gone = sorted(
        name
        for name, contract in catalog.items()
        if name in known and known[name][2] and contract.layer != "raw" and not lineage.has_model(name)
    )
    if gone:
        raise PermanentFailure(
            f"{', '.join(gone)}: served, and without a model in dbt_project/. Nothing was run.",
            fix="Put the model back; taking a served dataset away is a planned operation.",
        )


def _require_standing_verdicts(new: list[dict[str, Any]], known: dict[str, tuple[Any, ...]]) -> None:
    regated = []
    for item in new:
        _, clauses, is_served = known.get(item["name"], (None, None, False))
        if is_served and clauses != item["clause_digest"]:
            regated.append(item["name"])
    if regated:
        raise PermanentFailure(
            f"The blocking clauses of {', '.join(sorted(regated))} changed, and what is served passed the old ones.",
            fix="Run `interlock contract activate`: it judges what is served by the new ones, then makes them active.",
        )
