"""Every endpoint of the OpenAPI document, with a path that leads somewhere: a new one cannot be forgotten here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

METHODS = ("get", "put", "post", "delete", "patch")
# What a path's parameter stands for on the platform of these tests; one that is not named here fails the test.
PLACES = {
    "dataset": "fct_orders",
    "partition": "2013-01-05",
    "verdict_id": "1",
    "run_id": "1",
    "action_id": "1",
    "metric": "cancelled_flights",
}
# What endpoints cannot be asked without, of reads as of changes.
NEEDED = {
    ("get", "/v1/datasets/{dataset}/partitions/{partition}/difference"): {"params": {"from": 1, "to": 2}},
    ("get", "/v1/datasets/{dataset}/rows"): {"params": {"partition": "2013-01-05"}},
    ("post", "/v1/safety"): {"json": {"questions": [{"dataset": "fct_orders"}]}},
    ("post", "/v1/session"): {"json": {"token": "ilk_1_" + "0" * 64}},
    ("post", "/v1/actions"): {"json": {"kind": "rerun_partition", "rationale": "r", "dataset": "fct_orders"}},
    ("post", "/v1/actions/preview"): {"json": {"kind": "rerun_partition", "rationale": "r", "dataset": "fct_orders"}},
    ("post", "/v1/actions/{action_id}/answers"): {"json": {"verb": "approve", "reason": "r"}},
    ("post", "/v1/actions/{action_id}/execution"): {"json": {}},
    ("post", "/v1/actions/{action_id}/rollback"): {"json": {"reason": "r"}},
    ("post", "/v1/datasets/{dataset}/partitions/{partition}/recall"): {"json": {"tell": True}},
}
# Asked without a login: who logs in has none yet, and whoever watches machines asks whether the process lives.
OPEN = {("post", "/v1/session"), ("delete", "/v1/session"), ("get", "/livez"), ("get", "/readyz")}
# Not changes, though they are sent with a body; and one that goes on for ever (test_changes.py).
QUESTIONS = {("post", "/v1/safety"), ("post", "/v1/session"), ("delete", "/v1/session")}
STREAMS = {("get", "/v1/changes")}


@dataclass(frozen=True)
class Endpoint:
    """One operation of the document."""

    method: str
    template: str

    @property
    def key(self) -> tuple[str, str]:
        """What it is known by."""
        return self.method, self.template

    @property
    def path(self) -> str:
        """Its path, with places that there are."""
        return self.template.format(**PLACES)

    @property
    def request(self) -> dict[str, Any]:
        """What to send with it."""
        return NEEDED.get(self.key, {} if self.method == "get" else {"json": {}})

    @property
    def changes(self) -> bool:
        """Whether it changes anything."""
        return self.method != "get" and self.key not in QUESTIONS


def endpoints(document: dict[str, Any]) -> Iterator[Endpoint]:
    """All of them."""
    for template, operations in document["paths"].items():
        for method in METHODS:
            if method in operations:
                yield Endpoint(method, template)
