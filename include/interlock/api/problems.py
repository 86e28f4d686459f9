"""Failures as problem+json (RFC 9457): what was found, what to do, and never a word of SQL or a value of a row.

One place turns what the rooms raise into a status. *Could not ask* is 503 with a time to come back, wherever it
arises: nobody may take it for an answer. What nobody foresaw is 500, logged with its traceback, and says no more than
the id under which it was logged.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import psycopg
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict
from starlette.exceptions import HTTPException

from interlock.control.steps import NotEntitled
from interlock.db.failures import Refusal, Refused, RefusedForNow, failure_of
from interlock.errors import CouldNotAsk, InterlockError, TransientFailure, Unknown, UsageError

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER = "2"
COULD_NOT_ASK = "Could not ask"
# Texts that no database can keep, and numbers and dates that none can hold: the asker's, not ours.
UNSTORABLE = (None, "22021", "22P05", "22P02", "22003", "22007", "22008")


class Problem(BaseModel):
    """An error in the one form that every endpoint gives it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    fix: str = ""
    request_id: str
    errors: tuple[Any, ...] | None = None


class Refusing(Exception):
    """Raised by an endpoint or a dependency: answer with this status. `errors` is what a program may look into."""

    def __init__(self, status: int, detail: str, *, fix: str = "", **more: Any) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.fix = fix
        self.kind: str | None = more.get("kind")
        self.errors: tuple[Any, ...] | None = more.get("errors")
        self.headers: dict[str, str] = more.get("headers") or {}


def not_found(what: str, *, fix: str = "") -> Refusing:
    """404 with its sentence."""
    return Refusing(404, what, fix=fix)


def answers(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of an endpoint that may also answer with these statuses.

    Those that every endpoint may give (documents.ALWAYS, and of one with a body WITH_BODY) need not be named.
    """
    return {status: {"description": HTTPStatus(status).phrase} for status in statuses}


def install(app: FastAPI) -> None:
    """Let the application answer every failure that way."""
    kinds = (Refusing, InterlockError, psycopg.Error, RequestValidationError, UnicodeEncodeError, HTTPException)
    for kind in kinds:
        app.add_exception_handler(kind, _handled)


def problem_of(error: Exception, request_id: str) -> Problem:
    """What an error stands for, as everybody is told it."""
    return _problem(refusal_of(error), request_id)


def response_to(error: Exception, request_id: str) -> Response:
    """The answer that an error stands for."""
    refusing = refusal_of(error)
    return Response(
        _problem(refusing, request_id).model_dump_json(exclude_none=True),
        status_code=refusing.status,
        media_type=MEDIA_TYPE,
        headers={"Cache-Control": "no-store"} | refusing.headers,
    )


def _problem(refusing: Refusing, request_id: str) -> Problem:
    return Problem(
        type=f"urn:interlock:problem:{refusing.kind}" if refusing.kind else "about:blank",
        title=COULD_NOT_ASK if refusing.status == 503 else HTTPStatus(refusing.status).phrase,
        status=refusing.status,
        detail=refusing.detail,
        fix=refusing.fix,
        request_id=request_id,
        errors=refusing.errors,
    )


def _handled(request: Request, error: Exception) -> Response:
    return response_to(error, request.scope.get("interlock_request_id", ""))


def refusal_of(error: Exception) -> Refusing:
    """The status and the words that an error stands for. What nobody foresaw is logged here."""
    if isinstance(error, psycopg.Error):
        error = _of_database(error)
    for kind, refusal in _REFUSALS.items():
        if isinstance(error, kind):
            return refusal(error)
    logger.error("a request failed for a reason that nobody foresaw", exc_info=error)
    return Refusing(500, "Interlock itself failed.", fix="Tell whoever runs it the request's id: the log has the rest.")


def _of_database(error: psycopg.Error) -> Exception:
    """In the platform's words; SQL's own stay in the log."""
    failure = failure_of(error)
    if failure is not None:
        return failure
    if isinstance(error, psycopg.DataError) and error.sqlstate in UNSTORABLE:
        return _unstorable(error)
    logger.error("the database refused for a reason that nobody foresaw", exc_info=error)
    return CouldNotAsk(
        "The database did not answer.", fix="Read this as *not safe*. `interlock doctor` checks the database."
    )


def _unstorable(_: Exception) -> Refusing:
    return Refusing(400, "A text, number or date that was given is none that can be kept.", fix="Correct it.")


def _of_failure(error: Any) -> Refusing:
    status = 409
    if isinstance(error, UsageError):
        status = 404 if isinstance(error, Unknown) else 400
    elif isinstance(error, Refused) and error.refusal is Refusal.NOT_ENTITLED:
        status = 403
    elif not isinstance(error, Refused):
        logger.error("a request failed", exc_info=error)
        status = 500
    return Refusing(status, error.message, fix=error.fix)


def _unanswered(error: Any) -> Refusing:
    logger.warning("could not ask: %s", error)
    said, fix = error.message, error.fix
    if isinstance(error.__cause__, psycopg.Error) and not isinstance(error, RefusedForNow):
        # Where the database is and who logs in there is the operator's to know: it is in the log.
        said, fix = "The database did not answer.", "Read this as *not safe*, and ask again."
    return Refusing(503, said, fix=fix, headers={"Retry-After": RETRY_AFTER})


def _invalid(error: Any) -> Refusing:
    problems = tuple(
        {"place": ".".join(map(str, found["loc"])), "problem": found["msg"]} for found in error.errors()[:100]
    )
    said = "; ".join(f"{found['place']}: {found['problem']}" for found in problems[:5])
    return Refusing(
        422, f"What was sent is not of the form asked for: {said}", fix="/openapi.json says it.", errors=problems
    )


def _of_http(error: Any) -> Refusing:
    detail = error.detail if isinstance(error.detail, str) else HTTPStatus(error.status_code).phrase
    return Refusing(error.status_code, detail, headers=dict(error.headers or {}))


_REFUSALS: dict[type[Exception], Callable[[Any], Refusing]] = {
    Refusing: lambda error: error,
    NotEntitled: lambda error: Refusing(403, error.message, fix=error.fix),
    TransientFailure: _unanswered,
    InterlockError: _of_failure,
    RequestValidationError: _invalid,
    HTTPException: _of_http,
    UnicodeEncodeError: _unstorable,  # half a character
}
