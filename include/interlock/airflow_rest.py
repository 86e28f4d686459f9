"""A running Airflow over its REST API: what the UI can do, for pauses, approvals, the demo, the tests and the start."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import quote

from interlock import orchestration
from interlock.errors import InterlockError, PermanentFailure, TransientFailure
from interlock.settings import settings

REQUEST_SECONDS = 30
PAGE = 100  # the most that Airflow gives at once, unless it was told otherwise


class AirflowRefused(PermanentFailure):
    """Airflow's answer was no; `status` is the HTTP status it came with."""

    status: int


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: where it is, on this machine unless `url` is given, and how to call it as the platform."""

    port: int
    url: str | None = None

    @property
    def address(self) -> str:
        """The UI's address, and the root of the REST API."""
        return self.url or f"http://127.0.0.1:{self.port}"

    @cached_property
    def _token(self) -> str:
        configured = settings()
        user, password = orchestration.login(configured.airflow_user)
        if configured.airflow_password is not None:
            password = configured.airflow_password.get_secret_value()
        answer = self._ask("POST", "/auth/token", {"username": user, "password": password})
        return str(answer["access_token"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One REST call, for example `call("GET", "/api/v2/dags")`; the answer as parsed JSON."""
        return self._ask(method, path, body, {"Authorization": f"Bearer {self._token}"})

    def every(self, path: str, items: str) -> Iterator[Any]:
        """All items of a list, page by page: `every("/api/v2/dags", "dags")`."""
        offset = 0
        while True:
            page = self.call("GET", f"{path}{'&' if '?' in path else '?'}limit={PAGE}&offset={offset}")[items]
            yield from page
            offset += len(page)
            if len(page) < PAGE:
                return

    def paused(self) -> dict[str, bool]:
        """Every DAG by name, and whether it is paused."""
        return {str(dag["dag_id"]): bool(dag["is_paused"]) for dag in self.every("/api/v2/dags", "dags")}

    def set_paused(self, name: str, is_paused: bool) -> None:
        """Pause a DAG, which freezes its running runs, or let it go on."""
        self.call("PATCH", f"/api/v2/dags/{quote(name, safe='')}?update_mask=is_paused", {"is_paused": is_paused})

    def is_ours(self) -> bool:
        """Whether who answers there knows our login; another checkout's Airflow may have taken the port first."""
        try:
            return bool(self._token)
        except InterlockError:
            return False

    def health(self) -> dict[str, str]:
        """The state of each part as Airflow itself reports it; empty while nobody answers."""
        try:
            answer = self._ask("GET", "/api/v2/monitor/health", seconds=5)
        except TransientFailure:
            return {}
        return {part: str(said.get("status")) for part, said in answer.items() if said.get("status")}

    def parsed_files(self) -> set[str]:
        """The DAG files that Airflow has read, with success or not, named from the DAGs folder."""
        read = [self.call("GET", "/api/v2/dags?limit=100")["dags"]]
        read.append(self.call("GET", "/api/v2/importErrors?limit=100")["import_errors"])
        return {str(item.get("relative_fileloc") or item.get("filename")) for items in read for item in items}

    def _ask(
        self,
        method: str,
        path: str,
        body: object = None,
        headers: dict[str, str] | None = None,
        seconds: float = REQUEST_SECONDS,
    ) -> Any:
        content = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(  # noqa: S310
            self.address + path, content, {"Content-Type": "application/json", **(headers or {})}, method=method
        )
        # No proxy to this very machine, whatever the environment says.
        proxies = urllib.request.ProxyHandler() if self.url else urllib.request.ProxyHandler({})
        opener = urllib.request.build_opener(proxies)
        try:
            with opener.open(request, timeout=seconds) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            message = f"Airflow answered {error.code} to {method} {path}: {said}"
            if error.code >= 500:
                raise TransientFailure(message) from error
            refused = AirflowRefused(message)
            refused.status = error.code
            raise refused from error
        except OSError as error:
            fix = "See that it runs, and INTERLOCK_AIRFLOW_URL." if self.url else "See `make status`, then `make up`."
            raise TransientFailure(f"Airflow does not answer at {self.address}: {error}", fix=fix) from error
        return json.loads(answer) if answer else None
