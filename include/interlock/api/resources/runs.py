"""Runs: what ran, how it ended, and where its log is."""

from __future__ import annotations

from typing import Annotated, TypeVar
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict

from interlock.api import paging
from interlock.api.caching import conditional
from interlock.api.filters import Filter, listing, require_known
from interlock.api.identity import Reader
from interlock.api.paging import Page
from interlock.api.problems import answers
from interlock.api.selecting import Number, require_words, selection
from interlock.control.questions import Right
from interlock.db.disclosure import told_of_failure
from interlock.pipeline import history
from interlock.pipeline.history import PhaseRecord, RunHistory, RunRecord, RunState

router = APIRouter(tags=["runs"])

FIELDS = ("domain", "state", "kind", "partition", "partition_from", "partition_to", "since", "until")
Filtered = Annotated[Filter, listing(*FIELDS)]
AIRFLOW = "airflow:"
Record = TypeVar("Record", bound=RunRecord)


class AirflowLink(BaseModel):
    """Where Airflow shows a run, or one task of it; `url` is null where nobody knows where Airflow is."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dag_id: str
    run_id: str
    task_id: str | None
    url: str | None


class RunDetail(RunHistory):
    """One run with its phases. Of one that Airflow started: the run there, and the task of each phase."""

    airflow: tuple[AirflowLink, ...]


@router.get("/runs", response_model=Page[RunRecord], responses=answers(304))
def list_runs(wanted: Filtered, caller: Reader, request: Request) -> Response:
    """Runs, newest first; `kind` is what started them."""
    require_words(wanted.state, RunState, "state")
    found = history.selected(selection(wanted, caller, "runs"))
    page = paging.page(found, wanted.limit, "runs", lambda run: [run.run_id], _disclosed)
    return conditional(request, Page[RunRecord](**page))


@router.get("/runs/{run_id}", response_model=RunDetail, responses=answers(304, 404))
def run_detail(run_id: Number, caller: Reader, request: Request) -> Response:
    """One run with every attempt of its phases."""
    require_known(request)
    found = history.run(run_id)
    caller.require(Right.READ, [found.domain])
    phases = tuple(
        phase.model_copy(update={"message": told_of_failure(phase.failure_class, phase.message)})
        for phase in found.phases
    )
    detail = RunDetail(**dict(_disclosed(found)) | {"phases": phases, "airflow": tuple(_links(found.run_key, phases))})
    return conditional(request, detail)


def _disclosed(run: Record) -> Record:
    """Without what the database said of a row."""
    said = {
        "failure_message": told_of_failure(run.failure_class, run.failure_message),
        "message": told_of_failure(run.failure_class, run.message),
    }
    return run.model_copy(update=said)


def _links(run_key: str, phases: tuple[PhaseRecord, ...]) -> list[AirflowLink]:
    dag_id, _, run_id = run_key.removeprefix(AIRFLOW).partition(":")
    if not run_key.startswith(AIRFLOW) or not run_id:
        return []
    from interlock import services

    page = services.airflow_page()
    base = f"{page}/dags/{quote(dag_id)}/runs/{quote(run_id, safe='')}" if page else None
    tasks = [None, *dict.fromkeys(phase.phase for phase in phases)]
    return [
        AirflowLink(
            dag_id=dag_id,
            run_id=run_id,
            task_id=task,
            url=None if base is None else f"{base}/tasks/{quote(task)}" if task else base,
        )
        for task in tasks
    ]
