"""The application: one question, the same answer everywhere, over HTTP.

`create_app()` reads nothing and connects to nothing: with the database down it starts all the same, says *could not
ask* to everybody, and answers as soon as there is somebody to ask. Airflow mounts it with its own login.
"""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import APIRouter, FastAPI

from interlock.api import documents, page, problems
from interlock.api.identity import AirflowLogin
from interlock.api.state import Surface
from interlock.api.surrounding import Surrounding

# Each is a module of interlock.api.resources with a `router`. The first ones are asked most, and found first.
RESOURCES = (
    "safety",
    "session",
    "changes",
    "matrix",
    "datasets",
    "partitions",
    "ledger",
    "lineage",
    "verdicts",
    "runs",
    "quarantine",
    "metrics",
    "actions",
    "audit",
    "recall",
    "consumers",
    "rows",
)
# Not below /v1: whoever watches machines looks for them by these names.
OUTSIDE = ("health", "telemetry")


def create_app(*, mounted_in_airflow: bool = False, airflow_login: AirflowLogin | None = None) -> FastAPI:
    """The application. In Airflow, `airflow_login` says under which name the browser that asks is logged in there."""
    surface = Surface(airflow_login)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await surface.close()

    app = FastAPI(
        title="Interlock",
        summary="Data is safe to act on, or it says that it is not.",
        version=version("interlock"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.surface = surface
    app.state.is_in_airflow = mounted_in_airflow
    problems.install(app)
    for name in RESOURCES:
        app.include_router(_resource(name), prefix="/v1")
    for name in OUTSIDE:
        app.include_router(_resource(name))
    page.install(app)
    documents.install(app)
    app.add_middleware(Surrounding, surface=surface)
    return app


def _resource(name: str) -> APIRouter:
    router: APIRouter = importlib.import_module(f"interlock.api.resources.{name}").router
    return router
