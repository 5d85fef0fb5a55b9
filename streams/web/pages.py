"""The worker's pages: `/metrics` for Prometheus, `/healthz` for restarts, `/readyz` for routing."""

from collections.abc import Callable
from typing import Any

import faust
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.clock import Clock
from streams.metrics import Metrics
from streams.web.rate import Renewed


def add_pages(
    app: faust.App,
    metrics: Metrics,
    waits_for: Callable[[], list[str]],
    unserved: Callable[[], list[str]],
    refresh: Callable[[], None],
    *,
    per_second: float,
    clock: Clock,
) -> None:
    """Serve the pages on `app`'s web server.

    `waits_for` names what the worker is waiting for ("the catalogue"), and `unserved` says what it cannot serve; it is
    ready when both are empty. `refresh` sets the gauges before each scrape. Each page is rendered at most `per_second`
    times per second.
    """

    def scrape() -> bytes:
        refresh()
        return generate_latest(metrics.registry)

    def readiness() -> tuple[str, int]:
        missing = waits_for()
        lines = ["waiting for " + ", ".join(missing)] if missing else []
        lines += [f"not served: {text}" for text in unserved()]
        return ("\n".join(lines) + "\n", 503) if lines else ("ready\n", 200)

    scraped = Renewed(scrape, per_second, clock.monotonic)
    ready = Renewed(readiness, per_second, clock.monotonic)

    async def metrics_page(web: Any, _request: Any) -> Any:
        return web.bytes(scraped(), content_type=CONTENT_TYPE_LATEST.partition(";")[0])

    async def health_page(web: Any, _request: Any) -> Any:
        return web.text("ok\n")

    async def ready_page(web: Any, _request: Any) -> Any:
        text, status = ready()
        return web.text(text, status=status)

    for path, page in (("/metrics", metrics_page), ("/healthz", health_page), ("/readyz", ready_page)):
        app.page(path)(page)
