"""A schema registry in memory that answers over HTTP on this machine, and the prefix of its serializers."""

import base64
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec


class Registry:
    """The schemas by id and by subject, and the paths that were requested."""

    def __init__(self, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.answers: dict[str, dict[str, Any]] = {}
        self.requests: list[str] = []
        self.login = ""
        """USER:PASSWORD to be sent, if any."""
        self.broken: tuple[int, bytes] | None = None
        """The status and body of every answer instead."""

    def add(self, schema: int, text: str, kind: str = "AVRO", references: tuple[tuple[str, str], ...] = ()) -> None:
        """Register a schema under its id, and as version 1 of the subject s`schema`. `references` are name and subject
        of others, version 1."""
        answer: dict[str, Any] = {"schema": text}
        if kind != "AVRO":
            answer["schemaType"] = kind
        if references:
            answer["references"] = [{"name": name, "subject": of, "version": 1} for name, of in references]
        self.answers[f"/schemas/ids/{schema}"] = self.answers[f"/subjects/s{schema}/versions/1"] = answer


@contextmanager
def schema_registry() -> Iterator[Registry]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
    server.daemon_threads = True
    registry = Registry(server.server_address[1])
    server.registry = registry  # type: ignore[attr-defined]
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()


def framed(schema: int, value: bytes) -> bytes:
    """A value behind the prefix of the registry's serializers."""
    return b"\0" + schema.to_bytes(4, "big") + value


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        registry: Registry = self.server.registry  # type: ignore[attr-defined]
        registry.requests.append(self.path)
        wanted = f"Basic {base64.b64encode(registry.login.encode()).decode()}" if registry.login else None
        if registry.broken is not None:
            self._answer(*registry.broken)
        elif self.headers.get("Authorization") != wanted:
            self._answer(401, b"{}")
        elif (found := registry.answers.get(self.path.partition("?")[0])) is None:
            self._answer(404, b'{"error_code": 40403, "message": "Schema not found"}')
        else:
            self._answer(200, msgspec.json.encode(found))

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
