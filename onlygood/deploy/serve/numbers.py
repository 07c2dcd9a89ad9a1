"""What Prometheus is told."""

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from onlygood.deploy.serve.models import Served

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
_SECONDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 30)
disable_created_metrics()  # type: ignore[no-untyped-call]  # a second series for each counter, of which Prometheus makes nothing


class Numbers:
    """Counters of one service, in a registry of its own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "onlygood_serve_requests", "Answers, by what was asked for.", ["path", "code"], registry=registry
        )
        self.seconds = Histogram(
            "onlygood_serve_score_seconds",
            "From the first byte of a request for verdicts to its answer.",
            buckets=_SECONDS,
            registry=registry,
        )
        self.images = Counter(
            "onlygood_serve_images", "Images judged, by verdict.", ["model", "status"], registry=registry
        )
        self.taken = Gauge(
            "onlygood_serve_requests_taken",
            "Requests that are being read, wait or are scored.",
            registry=registry,
        )
        self.reloads = Counter(
            "onlygood_serve_reloads", "Changed model files, by outcome.", ["outcome"], registry=registry
        )
        self._model = Gauge("onlygood_serve_model", "Models served.", ["model", "sha256"], registry=registry)
        self._loaded = Gauge(
            "onlygood_serve_model_loaded_timestamp_seconds",
            "When it was loaded.",
            ["model"],
            registry=registry,
        )

    def serving(self, models: list[Served]) -> None:
        """Tell which models are at work now."""
        self._model.clear()
        for served in models:
            self._model.labels(served.name, served.detector.file.sha256).set(1)
            self._loaded.labels(served.name).set(served.loaded)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
