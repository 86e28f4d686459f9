"""A running Airflow over its REST API: what the UI can do, for the demo, the tests and the start itself."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from interlock import orchestration
from interlock.errors import InterlockError, PermanentFailure, TransientFailure

REQUEST_SECONDS = 30


@dataclass(frozen=True)
class Airflow:
    """A running Airflow: where it is and how to call it, as the platform's own user."""

    port: int

    @property
    def address(self) -> str:
        """The UI's address, and the root of the REST API."""
        return f"http://127.0.0.1:{self.port}"

    @cached_property
    def _token(self) -> str:
        user, password = orchestration.login("interlock")
        answer = self._ask("POST", "/auth/token", {"username": user, "password": password})
        return str(answer["access_token"])

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """One REST call, for example `call("GET", "/api/v2/dags")`; the answer as parsed JSON."""
        return self._ask(method, path, body, {"Authorization": f"Bearer {self._token}"})

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
        # No proxy, whatever the environment says: this is the same machine.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=seconds) as response:
                answer = response.read()
        except urllib.error.HTTPError as error:
            said = error.read().decode(errors="replace")[:500]
            kind = TransientFailure if error.code >= 500 else PermanentFailure
            raise kind(f"Airflow answered {error.code} to {method} {path}: {said}") from error
        except OSError as error:
            raise TransientFailure(
                f"Airflow does not answer at {self.address}: {error}", fix="See `make status`, then `make up`."
            ) from error
        return json.loads(answer) if answer else None
