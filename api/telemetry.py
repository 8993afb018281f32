"""What Prometheus can ask: how requests fare, and what the ledger holds."""

from collections.abc import Mapping, Sequence

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from starlette.types import Scope

SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 60)


class Telemetry:
    """The measurements of one application."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Histogram(
            "frostline_http_request_seconds",
            "Time from a request's arrival to the start of its answer.",
            ["method", "route", "status"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.streams = self._gauge("event_streams", "Event streams that are open.")
        self.hints_delayed = Counter(
            "frostline_hints_delayed",
            "Hints that Redis did not take at once; they are sent again.",
            registry=self.registry,
        )

        self.jobs = self._gauge("jobs", "Jobs by status.", ["status"])
        self.queue = self._gauge("queue_length", "Jobs that wait to be run.")
        self.workers = self._gauge("workers", "Workers heard of lately.")
        self.refused = self._gauge(
            "zombie_writes_rejected_total",
            "Writes of dead attempts that a fence turned away.",
        )
        self.database = self._gauge("database_up", "Whether the database answers.")

    def _gauge(self, name: str, text: str, labels: Sequence[str] = ()) -> Gauge:
        return Gauge(f"frostline_{name}", text, labels, registry=self.registry)

    def ledger(self, jobs: Mapping[str, int], workers: int, refused: int) -> None:
        """Note what the ledger holds now."""
        for status, number in jobs.items():
            self.jobs.labels(status).set(number)
        self.queue.set(jobs.get("queued", 0))
        self.workers.set(workers)
        self.refused.set(refused)
        self.database.set(1)

    def ledger_away(self) -> None:
        """Note that the ledger cannot be asked."""
        self.database.set(0)

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer under its route, never under its address."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "any"
        self.requests.labels(method, route, str(status)).observe(seconds)
