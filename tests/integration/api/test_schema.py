"""The API does what its OpenAPI document says, whatever it is sent: schemathesis makes the requests, from the document.

The examples are the same on every machine. Most go to places that there are, so that what is made up for the query and
the body gets as far as the database.
"""

from __future__ import annotations

import copy
from typing import Any

import hypothesis
import pytest
from hypothesis import HealthCheck, Phase, Verbosity
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.openapi import from_dict
from schemathesis.specs.openapi import checks
from tests.integration.api.endpoints import PLACES, STREAMS

EXAMPLES = {GenerationMode.POSITIVE: 5, GenerationMode.NEGATIVE: 4}
MADE_UP = 2  # of each, with a path that is made up too
CONFORMS = [
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
]
# 503 is the right answer for a metric whose data was never run, and for nothing else here.
MAY_BE_UNANSWERED = "/v1/metrics/"
NO_REQUEST = "Invalid HTTP request received."  # a header that is none: the application is not even asked


@pytest.fixture
def unlimited(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits on how often one may ask are tested elsewhere."""
    for name in ("API_READS_PER_SECOND", "API_WRITES_PER_MINUTE", "API_FAILED_LOGINS_PER_MINUTE"):
        monkeypatch.setenv(f"INTERLOCK_{name}", "1000000")


def test_the_api_does_what_its_document_says(busy, unlimited, defined_metrics, served, application, token):
    schema = from_dict(_without_logins(application.openapi()))
    headers = {"Authorization": f"Bearer {token()}"}
    asked = 0

    def check(case: Any) -> None:
        nonlocal asked
        answer = case.call(
            headers=headers | (dict(case.headers) if case.headers else {}), base_url=served.url, timeout=30
        )
        if answer.text == NO_REQUEST:
            return
        unanswered = answer.status_code == 503 and case.path.startswith(MAY_BE_UNANSWERED)
        case.validate_response(answer, checks=CONFORMS if unanswered else [not_a_server_error, *CONFORMS])
        asked += 1

    for found in schema.get_all_operations():
        operation = found.ok()
        if (operation.method, operation.path) in STREAMS:
            continue
        there = {name: PLACES[name] for name in PLACES if f"{{{name}}}" in operation.path}
        for mode, examples in EXAMPLES.items():
            _explore(operation, mode, examples, there or None, check)
            if there:
                _explore(operation, mode, MADE_UP, None, check)
    assert asked > 300


def _without_logins(document: dict[str, Any]) -> dict[str, Any]:
    """The document as far as it is about what is asked: who asks is not made up, and is tested in test_rights.py."""
    described = copy.deepcopy(document)
    described["components"].pop("securitySchemes")
    for operations in described["paths"].values():
        for operation in operations.values():
            operation.pop("security", None)
    return described


def _explore(operation: Any, mode: GenerationMode, examples: int, places: dict[str, str] | None, check: Any) -> None:
    @hypothesis.settings(
        max_examples=examples, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck), verbosity=Verbosity.quiet,
    )  # fmt: skip
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode, path_parameters=places))
    def one(case: Any) -> None:
        check(case)

    try:
        one()
    except Unsatisfiable:  # an endpoint that takes nothing cannot be sent anything wrong
        assert mode is GenerationMode.NEGATIVE, operation.path
