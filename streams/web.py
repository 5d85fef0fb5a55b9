"""The worker's own pages: `/metrics` for Prometheus, `/healthz` for who restarts it, `/readyz` for who routes to it."""

from collections.abc import Callable
from typing import Any

import faust
from prometheus_client import generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from streams.metrics import Metrics


def add_pages(
    app: faust.App,
    metrics: Metrics,
    waits_for: Callable[[], list[str]],
    unserved: Callable[[], list[str]],
    refresh: Callable[[], None],
) -> None:
    """Serve the pages on `app`'s web server.

    `waits_for` names what the worker still waits for ("the catalogue"), `unserved` says what keeps it from its work; it
    is ready when there is neither. `refresh` sets the gauges that are read rather than counted, before each scrape.
    """

    async def metrics_page(web: Any, _request: Any) -> Any:
        refresh()
        return web.bytes(generate_latest(metrics.registry), content_type=CONTENT_TYPE_LATEST.partition(";")[0])

    async def health_page(web: Any, _request: Any) -> Any:
        return web.text("ok\n")

    async def ready_page(web: Any, _request: Any) -> Any:
        missing = waits_for()
        lines = ["waiting for " + ", ".join(missing)] if missing else []
        lines += [f"not served: {text}" for text in unserved()]
        if lines:
            return web.text("\n".join(lines) + "\n", status=503)
        return web.text("ready\n")

    for path, page in (("/metrics", metrics_page), ("/healthz", health_page), ("/readyz", ready_page)):
        app.page(path)(page)
