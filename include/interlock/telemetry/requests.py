"""How the HTTP API fares: rate, errors, durations, by route. A route is the pattern, never the address asked for."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Histogram

# Around the promises that are made: an answer in 5 ms, a matrix in 300 ms.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.3, 1.0, 3.0, 10.0)
# They last as long as somebody listens.
STREAMS = frozenset({"/v1/changes"})
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Requests:
    """The requests that one process has served."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        labels = ("method", "route")
        self._served = Counter(
            "interlock_http_requests", "Requests served.", (*labels, "status"), registry=self.registry
        )
        self._seconds = Histogram(
            "interlock_http_request_duration_seconds", "Until the answer had ended; streams are not counted.", labels,
            buckets=BUCKETS, registry=self.registry,
        )  # fmt: skip

    def note(self, method: str, route: str | None, status: int, seconds: float) -> None:
        """Count one; `route` is None where nothing is served under the address, `status` 0 where no answer was sent."""
        kind, pattern = method if method in METHODS else "other", route or "none"
        self._served.labels(kind, pattern, str(status)).inc()
        if pattern not in STREAMS:
            self._seconds.labels(kind, pattern).observe(seconds)
