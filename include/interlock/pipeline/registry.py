"""Contracts, lineage and what stands on them in this checkout, made known to the database before anything runs.

A contract whose blocking clauses changed would let old verdicts stand for new promises; so it is
activated on its own, after what it covers was judged again, and a run refuses to do it in passing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.types.json import Jsonb

from interlock.contracts.checks import clause_digest
from interlock.contracts.loading import checks_of
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import PermanentFailure
from interlock.transform.lineage import Lineage

if TYPE_CHECKING:
    from interlock.contracts.model import Catalog, Contract
    from interlock.db.connection import Connection


class Known(NamedTuple):
    """What the database knows of a dataset's contract."""

    content_digest: str
    clause_digest: str
    is_served: bool
    is_retired: bool


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
        "criticality": contract.criticality.value,
        "contract_version": contract.version,
        "content_digest": contract.content_digest,
        "clause_digest": clause_digest(checks),
        "clauses": sorted(check.id for check in checks if check.severity.blocks),
    }


def register(catalog: Catalog, actor: str, *, is_whole: bool = True) -> list[str]:
    """Make known what is new or changed of contracts, lineage, consumers and metrics; return the datasets written.

    `is_whole` says that the catalog is that of the checkout, so that what it lacks is gone.

    Raises PermanentFailure where blocking clauses changed over partitions that are already served, and where what is
    served has lost its contract or its model: its lineage would go with it, and no new input would reopen it again.
    So does a contract of a dataset that was retired: it comes back because somebody says so, never in passing.
    """
    with translated(), connect(Role.OPERATOR) as connection:
        return write(connection, catalog, actor, is_whole=is_whole)


def write(
    connection: Connection, catalog: Catalog, actor: str, *, is_whole: bool = True, restored: str = ""
) -> list[str]:
    """The same in a transaction of the caller's, in which the dataset `restored` was taken into use again.

    Its verdicts stand for nothing any more, so that its clauses may have changed.
    """
    known = {row[0]: Known(*row[1:]) for row in connection.execute(statement("pipeline/registered.sql").encode())}
    if is_whole:
        _require_contracts(catalog, known)
    _require_in_use(catalog, known)
    new = [
        definition(contract)
        for contract in catalog.values()
        if contract.dataset not in known or known[contract.dataset].content_digest != contract.content_digest
    ]
    _require_standing_verdicts([item for item in new if item["name"] != restored], known)
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
    _write_dependents(connection, lineage)
    return [item["name"] for item in new]


def _write_dependents(connection: Connection, lineage: Lineage) -> None:
    dependents = [dependent.model_dump() for dependent in lineage.dependents]
    known = connection.execute(statement("pipeline/registered_dependents.sql").encode()).fetchall()
    if {tuple(item.values()) for item in dependents} != {(*row[:-1], tuple(row[-1])) for row in known}:
        connection.execute("select interlock.register_dependents(%s)", [Jsonb(dependents)])


def _require_contracts(catalog: Catalog, known: dict[str, Known]) -> None:
    gone = sorted(
        name for name, found in known.items() if found.is_served and not found.is_retired and name not in catalog
    )
    if gone:
        raise PermanentFailure(
            f"{', '.join(gone)}: served, and without a contract in this checkout. Nothing was run.",
            fix="Put its file under include/contracts/ back; or, where it is meant to go for good: "
            f'interlock contract retire {gone[0]} --reason "..."',
        )


def _require_in_use(catalog: Catalog, known: dict[str, Known]) -> None:
    back = sorted(name for name, found in known.items() if found.is_retired and name in catalog)
    if back:
        raise PermanentFailure(
            f"{', '.join(back)}: retired, and with a contract in this checkout. Nothing was run.",
            fix="Take its contract away again; or take it into use: "
            f'interlock contract restore {back[0]} --reason "..."',
        )


def _require_models(catalog: Catalog, lineage: Lineage, known: dict[str, Known]) -> None:
    gone = sorted(
        name
        for name, contract in catalog.items()
        if name in known and known[name].is_served and contract.layer != "raw" and not lineage.has_model(name)
    )
    if gone:
        raise PermanentFailure(
            f"{', '.join(gone)}: served, and without a model in dbt_project/. Nothing was run.",
            fix="Put the model back; or, where it is meant to go for good, take its contract away as well, and: "
            f'interlock contract retire {gone[0]} --reason "..."',
        )


def _require_standing_verdicts(new: list[dict[str, Any]], known: dict[str, Known]) -> None:
    regated = []
    for item in new:
        found = known.get(item["name"])
        if found and found.is_served and found.clause_digest != item["clause_digest"]:
            regated.append(item["name"])
    if regated:
        raise PermanentFailure(
            f"The blocking clauses of {', '.join(sorted(regated))} changed, and what is served passed the old ones.",
            fix="Run `interlock contract activate`: it judges what is served by the new ones, then makes them active.",
        )
