"""The API's own description: OpenAPI 3.1 in which every answer that an endpoint may give is named."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from fastapi import FastAPI

from interlock.api.identity import COOKIE
from interlock.api.problems import MEDIA_TYPE, Problem

# What every endpoint that asks who calls may answer, whoever asks for whatever; and where there is a body, of that.
ALWAYS = (400, 401, 403, 422, 429, 503)
WITH_BODY = (413, 415)
WITHOUT_CALLER = ("/livez", "/readyz")
METHODS = ("get", "put", "post", "delete", "patch")
WITHOUT_LOGIN = {("/v1/session", "post"), ("/v1/session", "delete")}
SECURITY = {
    "token": {"type": "http", "scheme": "bearer", "description": "From `interlock token create`."},
    "session": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "Set by POST /v1/session."},
}
REFERENCE = {"$ref": "#/components/schemas/Problem"}


def install(app: FastAPI) -> None:
    """Describe the application's problems and logins as they are."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            app.openapi_schema = _completed(described())
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def _completed(document: dict[str, Any]) -> dict[str, Any]:
    components = document.setdefault("components", {})
    schemas = components.setdefault("schemas", {})
    schemas["Problem"] = Problem.model_json_schema()
    for unused in ("HTTPValidationError", "ValidationError"):
        schemas.pop(unused, None)
    components["securitySchemes"] = SECURITY
    for path, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                _complete(path, method, operations[method])
    return document


def _complete(path: str, method: str, operation: dict[str, Any]) -> None:
    responses = operation["responses"]
    if path not in WITHOUT_CALLER:
        for status in (*ALWAYS, *(WITH_BODY if "requestBody" in operation else ())):
            responses[str(status)] = {"description": HTTPStatus(status).phrase}
        if (path, method) not in WITHOUT_LOGIN:
            operation["security"] = [{name: []} for name in SECURITY]
    else:
        responses.pop("422", None)
    for status, response in responses.items():
        if status.isdigit() and int(status) >= 400:
            response["content"] = {MEDIA_TYPE: {"schema": REFERENCE}}
        elif status == "304":
            response.pop("content", None)
    operation["responses"] = dict(sorted(responses.items()))
