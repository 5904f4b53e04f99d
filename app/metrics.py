"""Measurements for Prometheus: latencies by route, and, as they are now, the queue, the cache and the database."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from fastapi import APIRouter, Request
from prometheus_client import CollectorRegistry, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector
from starlette.responses import Response

from app.access.routes import needs
from app.roles import Role
from app.serving import Models, ReadSession
from app.store.dictionaries import list_dictionaries
from app.store.state import size_in_bytes

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from app.engine.runtime import Runtime

router = APIRouter(dependencies=[needs(Role.METRICS)])
SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)


class Metrics:
    """One a server: two servers in one process, as tests have them, do not add up."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._latency = Histogram(
            "featurescope_request_seconds",
            "Seconds from a request's headers to the end of its answer.",
            ("route", "method", "status"),
            registry=self.registry,
            buckets=SECONDS,
        )

    def observe(self, route: str, method: str, status: int, seconds: float) -> None:
        self._latency.labels(route, method, str(status)).observe(seconds)


class Now(Collector):
    """What is so at this moment. No dictionary is named: whoever reads metrics need not know of private ones."""

    def __init__(self, session: "Session", runtime: "Runtime") -> None:
        self.session = session
        self.runtime = runtime

    def collect(self) -> Iterator[Metric]:
        yield _gauge("live_waiting", "Requests at the model, waiting or worked on.", self.runtime.door.n_inside)
        use = self.runtime.use()
        yield _gauge("model_bytes", "Bytes of the weights that are loaded.", use.n_bytes)
        yield _counter("live_windows", "Windows of texts that the models have run.", use.n_windows)
        yield _counter("live_batches", "Forwards that these windows took together.", use.n_batches)
        dictionaries = list_dictionaries(self.session)
        yield _gauge("dictionaries", "Dictionaries that can be browsed.", len(dictionaries))
        yield _gauge("features", "Their features.", sum(found.n_features for found in dictionaries))
        if dictionaries:
            newest = max(found.created_at for found in dictionaries)
            age = (datetime.now(UTC) - newest).total_seconds()
            yield _gauge("index_age_seconds", "Since the newest dictionary was built.", age)
        yield _gauge("database_bytes", "Size of the database.", size_in_bytes(self.session))


@router.get("/metrics")
def show_metrics(request: Request, session: ReadSession, models: Models) -> Response:
    """In Prometheus's text format."""
    metrics: Metrics = request.app.state.metrics
    now = CollectorRegistry()
    now.register(Now(session, models))
    body = generate_latest(metrics.registry) + generate_latest(now)
    return Response(body, media_type="text/plain; version=0.0.4; charset=utf-8")


def _counter(name: str, meaning: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"featurescope_{name}", meaning, value=value)


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"featurescope_{name}", meaning, value=value)
