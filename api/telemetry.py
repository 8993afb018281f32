"""What Prometheus can ask: how requests fare, and what the ledger holds."""

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
        self.streams = Gauge(
            "frostline_event_streams",
            "Event streams that are open.",
            registry=self.registry,
        )
        self.hints_lost = Counter(
            "frostline_hints_lost",
            "Hints that could not be sent; the sweep sends them again.",
            registry=self.registry,
        )

    def answered(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one answer under its route, never under its address."""
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if route != "none" else "any"
        self.requests.labels(method, route, str(status)).observe(seconds)
