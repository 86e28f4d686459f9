"""A DAG of each domain, generated from its contracts: the same nine phases for all of them."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

from airflow.sdk import DAG, Asset, Param

from interlock.contracts.model import Grain, Layer
from interlock.operators.mirrors import BY_DAY
from interlock.operators.phases import PhaseOperator
from interlock.operators.timetables import ALWAYS, DaysOfDomain
from interlock.pipeline.runs import Phase

if TYPE_CHECKING:
    from interlock.contracts.model import Catalog
    from interlock.operators.domains import Domain

DOCUMENTATION = {
    Phase.ADMIT: "Claims the partition, so that no other run interleaves. Retries while another run holds it.",
    Phase.LOAD: "Appends what was delivered to raw. Retries while a file is missing, until it is late.",
    Phase.GATE_RAW: "Did what the contract promised arrive, whole? Accepts the load, or fails.",
    Phase.STAGE: "Builds and seals the staged candidates, where something changed.",
    Phase.GATE_STAGED: "Judges the staged candidates. Fails where one is blocked; its siblings are published.",
    Phase.PUBLISH_STAGED: "Serves what has a passing verdict; the database refuses anything else.",
    Phase.BUILD: "Builds and seals the curated candidates. Retries while another domain's partition is missing.",
    Phase.GATE_CURATED: "Judges the curated candidates. Fails where one is blocked; its siblings are published.",
    Phase.PUBLISH_CURATED: "Serves what has a passing verdict, and ends the run.",
}
PUBLISHES = {Phase.PUBLISH_STAGED: Layer.STAGED, Phase.PUBLISH_CURATED: Layer.CURATED}


def domain_dag(name: str, domain: Domain, catalog: Catalog, documentation: str) -> DAG:
    """The pipeline of one domain: one run for each day, its phases in a row."""
    with DAG(
        dag_id=name,
        description=domain.description,
        doc_md=documentation,
        # The domain's days bound its schedule, never its tasks: see the timetable's module.
        schedule=DaysOfDomain(domain.schedule, domain.start, domain.end),
        start_date=ALWAYS,
        catchup=False,
        max_active_runs=2,
        is_paused_upon_creation=False,
        params={
            "partition": Param(
                None,
                type=["null", "string"],
                pattern=r"^(\d{4}-\d\d-\d\d|all)$",
                title="Partition",
                description="The day to run (YYYY-MM-DD), where it is not the run's own date.",
            )
        },
        default_args={"retries": domain.retries, "retry_delay": domain.retry_every, "owner": _owner(name, catalog)},
        tags=["interlock", "domain"],
    ) as dag:
        tasks = [
            PhaseOperator(
                task_id=phase.value,
                domain=name,
                phase=phase,
                days=(domain.start, domain.end),
                doc_md=DOCUMENTATION[phase],
                outlets=_assets(name, PUBLISHES.get(phase), catalog),
                execution_timeout=timedelta(hours=2),
            )
            for phase in Phase
        ]
        for before, after in pairwise(tasks):
            before >> after
    return dag


def _owner(domain: str, catalog: Catalog) -> str:
    return next((contract.owner for contract in catalog.values() if contract.domain == domain), "airflow")


def _assets(domain: str, layer: Layer | None, catalog: Catalog) -> list[Asset]:
    return [
        Asset(
            name=contract.dataset,
            uri=f"interlock://{domain}/{contract.dataset}",
            extra={BY_DAY: contract.partition.grain is Grain.DAY},
        )
        for contract in catalog.values()
        if contract.domain == domain and contract.layer is layer
    ]
