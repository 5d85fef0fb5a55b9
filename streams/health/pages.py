"""`/metrics`, `/healthz` and `/readyz` of a service that is no worker, for this machine only."""

import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from schemas.shown import shown
from streams.errors import BadSetting
from streams.settings import variable
from streams.web.loopback import is_loopback, name_in

HOST = "127.0.0.1"

REQUEST_SECONDS = 5.0
"""Maximum time for a client to send its request."""


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Handler(WSGIRequestHandler):
    timeout = REQUEST_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name in the base class
        """Requests are not logged."""


class Pages:
    """The pages, served from threads until `close`. `unserved` returns what the service cannot do, one sentence each.

    Raises `BadSetting`, which names the setting of the port, if it is taken.
    """

    def __init__(
        self, port: int, registry: CollectorRegistry, setting: str, unserved: Callable[[], list[str]] = list
    ) -> None:
        self._registry = registry
        self._unserved = unserved
        try:
            self._server = make_server(HOST, port, self._answer, _Server, _Handler)
        except OSError as error:
            raise BadSetting(
                f"Nothing can listen on {HOST} port {port}: {error.strerror}. Set {variable(setting)} to a free port, "
                "or to 0 for no pages."
            ) from None
        threading.Thread(target=self._server.serve_forever, name="pages", daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        if not is_loopback(name_in(environ.get("HTTP_HOST", ""))):
            status, kind, body = "421 Misdirected Request", "text/plain", b"use localhost or 127.0.0.1\n"
        elif environ.get("PATH_INFO") == "/metrics":
            status, kind, body = "200 OK", CONTENT_TYPE_LATEST, generate_latest(self._registry)
        elif environ.get("PATH_INFO") == "/healthz":
            status, kind, body = "200 OK", "text/plain", b"ok\n"
        elif environ.get("PATH_INFO") == "/readyz":
            text = "".join(f"{each}\n" for each in self._unserved())
            status, kind = "503 Service Unavailable" if text else "200 OK", "text/plain"
            body = shown(text).encode() or b"ready\n"
        else:
            status, kind, body = "404 Not Found", "text/plain", b"there are /metrics, /healthz and /readyz\n"
        start(status, [("Content-Type", kind), ("Content-Length", str(len(body))), ("Cache-Control", "no-store"),
                       ("X-Content-Type-Options", "nosniff")])  # fmt: skip
        return [body]
