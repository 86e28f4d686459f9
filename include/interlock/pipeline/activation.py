"""Changed promises made active: what is served is judged by the new clauses first, then both take effect together.

Old verdicts must not stand for new promises, and new promises must not make anything unsafe that nobody looked at.
So the served versions are judged by the clauses that are to come, in a run that holds their partitions, and one call
of the database registers the contract and records the verdicts. Whoever only asks is told what would become unsafe.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict

from interlock.contracts.checks import Severity
from interlock.contracts.loading import checks_of, load_contracts
from interlock.contracts.model import Layer
from interlock.db.connection import Role, connect, statement
from interlock.db.failures import translated
from interlock.errors import PermanentFailure
from interlock.pipeline.admission import admitted
from interlock.pipeline.registry import definition, register
from interlock.pipeline.runs import Run
from interlock.quality import gate

if TYPE_CHECKING:
    from interlock.contracts.checks import Check
    from interlock.contracts.model import Catalog, Contract
    from interlock.pipeline.runs import Session

TRIGGER = "contract activation"


class Finding(BaseModel):
    """A served partition that the new clauses refuse, with what they say."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str
    reason: str


class Activation(BaseModel):
    """One changed contract: from which version to which, how much was judged, what fails, and who reads it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    before: str
    after: str
    judged: int
    unsafe: tuple[Finding, ...]
    readers: tuple[str, ...]
    is_active: bool


class Served(BaseModel):
    """A served partition; an increment is served in all its accepted loads, of which `version` is the last."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    partition: str
    version: int
    versions: tuple[int, ...]


def activate(by: str, *, commit: bool, catalog: Catalog | None = None) -> list[Activation]:
    """Judge what is served by every changed contract; with `commit` make each active, feeds before their readers.

    Each contract takes effect in a transaction of its own. Raises PermanentFailure where columns changed, and
    TransientFailure where a run holds one of the partitions.
    """
    contracts = catalog if catalog is not None else load_contracts()
    changed = changed_contracts(contracts)
    done = [_activated(contract, before, by, commit=commit) for contract, before in changed]
    if commit:
        register(contracts, by, is_whole=False)  # what the checkout lacks is refused by the next run
    return done


def changed_contracts(catalog: Catalog) -> list[tuple[Contract, str]]:
    """Contracts whose blocking clauses differ from the active ones while something is served, with the old version."""
    found: list[tuple[Contract, str]] = []
    with connect(Role.OPERATOR) as connection:
        for name, version, clauses, columns, is_served in connection.execute(
            statement("pipeline/activation_known.sql").encode()
        ):
            contract = catalog.get(name)
            if contract is None or not is_served:
                continue
            new = definition(contract)
            if new["clause_digest"] == clauses:
                continue
            if new["columns"] != columns:
                raise PermanentFailure(
                    f"The columns of {name} differ from those of its published table, so nothing was judged.",
                    fix="Changing columns is a planned operation over all versions; give the new shape a new name.",
                )
            found.append((contract, version))
    order = list(Layer)
    return sorted(found, key=lambda item: (order.index(item[0].layer), item[0].dataset))


def _activated(contract: Contract, before: str, by: str, *, commit: bool) -> Activation:
    served = _served(contract)
    checks = checks_of(contract)
    partitions = [item.partition for item in served]
    key = f"{TRIGGER}:{contract.dataset}:{uuid4().hex}"
    asked = Run(run_key=key, domain=contract.domain, partitions=tuple(partitions), trigger=TRIGGER, actor=by)
    with admitted(asked, is_one_process=True) as session:
        try:
            _show_neighbours(session, checks, partitions)
            results = _results(session, contract, checks, served)
            if commit:
                _make_active(session, contract, results)
        except BaseException as error:
            session.finish("failed", str(error)[:2000])
            raise
        session.finish("succeeded", None if commit else "only asked what would become unsafe")
        readers = [name for (name,) in _rows(session, "pipeline/activation_readers.sql", contract.dataset)]
    return Activation(
        dataset=contract.dataset,
        before=before,
        after=contract.version,
        judged=len(served),
        unsafe=tuple(finding for result in results if (finding := _finding(result)) is not None),
        readers=tuple(readers),
        is_active=commit,
    )


def _served(contract: Contract) -> list[Served]:
    with connect(Role.OPERATOR) as connection:
        rows = connection.execute(statement("pipeline/activation_served.sql").encode(), [contract.dataset]).fetchall()
    return [Served(partition=part, version=version, versions=tuple(all_of)) for part, version, all_of in rows]


def _show_neighbours(session: Session, checks: Sequence[Check], partitions: Sequence[str]) -> None:
    """Pin what the checks compare with, as far as it is safe; what is not is missing, and those checks then fail."""
    named = sorted({str(check.arguments["dataset"]) for check in checks if "dataset" in check.arguments})
    if not named:
        return
    session.call(Role.BUILDER, "open_workspace", session.run.run_id, session.token)
    known = (
        "select r.partition, r.version from interlock.readable_partition r join interlock.dataset d using (dataset_id)"
    )
    wanted = " where d.name = %s and (r.partition = 'all' or r.partition = any (%s))"
    for name in named:
        rows = session.connection(Role.OPERATOR).execute((known + wanted).encode(), [name, list(partitions)])
        pins = [{"partition": partition, "version": version} for partition, version in rows]
        session.call(Role.BUILDER, "pin_input", session.run.run_id, session.token, name, Jsonb(pins))


def _results(
    session: Session, contract: Contract, checks: Sequence[Check], served: Sequence[Served]
) -> list[dict[str, Any]]:
    """What the new clauses say of each served partition, as the database takes it."""
    if any(len(item.versions) > 1 for item in served):
        return [_of_increment(session, contract, checks, item) for item in served]
    found = gate.examine(session.run.run_id, contract, checks, {item.partition: item.version for item in served})
    return [{**found[item.partition], "version": item.version} for item in served]


def _of_increment(session: Session, contract: Contract, checks: Sequence[Check], item: Served) -> dict[str, Any]:
    """One finding on all loads of an increment: a clause holds where it holds in each of them."""
    merged: dict[str, Any] = {}
    for load in item.versions:
        found = gate.examine(session.run.run_id, contract, checks, {item.partition: load})[item.partition]
        failed = {one["clause"]: one for one in merged.get("evidence", ()) if not one["success"]}
        evidence = [failed.get(one["clause"], one) for one in found["evidence"]]
        merged = {
            **found,
            "evidence": evidence,
            "bootstrapped": found["bootstrapped"] or merged.get("bootstrapped", False),
        }
    return {**merged, "version": item.version}


def _make_active(session: Session, contract: Contract, results: Sequence[Mapping[str, Any]]) -> None:
    arguments = [session.run.run_id, session.token, Jsonb(definition(contract)), Jsonb(list(results))]
    with translated():
        session.connection(Role.GATE).execute("select interlock.activate_contract(%s, %s, %s, %s)", arguments)


def _rows(session: Session, file: str, *values: Any) -> list[tuple[Any, ...]]:
    return session.connection(Role.OPERATOR).execute(statement(file).encode(), values).fetchall()


def _finding(result: Mapping[str, Any]) -> Finding | None:
    failed = [
        str(item["message"] or item["clause"])
        for item in result["evidence"]
        if not item["success"] and Severity(item["severity"]).blocks
    ]
    return Finding(partition=result["partition"], reason="; ".join(failed)) if failed else None
