"""The pages of a worker without its broker: the real app's server, guard and pages, and raw requests to them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

from inference.triton.ports import free_ports
from streams.app import WorkerApp, create_app
from streams.secret import Secret
from streams.settings import Settings
from tests.support.patience import PATIENCE

TOKEN = "a-token-of-the-tests"
BEARER = f"Authorization: Bearer {TOKEN}"


class Answer(NamedTuple):
    status: int
    headers: dict[str, str]
    body: str


class Pages:
    """Where a worker's pages are, and the app behind them."""

    def __init__(self, port: int, app: Any = None, host: str = "127.0.0.1") -> None:
        self.port = port
        self.app = app
        self.host = host

    async def connect(self, source: str = "127.0.0.1") -> "Connection":
        streams = await asyncio.open_connection(self.host, self.port, local_addr=(source, 0))
        return Connection(*streams)

    async def ask(self, path: str, *headers: str, source: str = "127.0.0.1", method: str = "GET") -> Answer:
        """The answer to one request over a separate connection."""
        connection = await self.connect(source)
        try:
            connection.send(path, *headers, method=method)
            return await connection.read(body=method != "HEAD")
        finally:
            connection.close()

    async def raw(self, sent: bytes) -> Answer:
        """The answer to these bytes."""
        connection = await self.connect()
        try:
            connection.writer.write(sent)
            return await connection.read()
        finally:
            connection.close()

    def refused(self, why: str) -> float:
        value = self.app.metrics.registry.get_sample_value("ouzel_refused_requests_total", {"why": why})
        return float(value)


class Connection(NamedTuple):
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def send(self, path: str, *headers: str, method: str = "GET") -> None:
        named = () if any(each.lower().startswith("host:") for each in headers) else ("Host: 127.0.0.1",)
        self.writer.write("\r\n".join([f"{method} {path} HTTP/1.1", *named, *headers, "", ""]).encode("latin-1"))

    async def read(self, *, body: bool = True) -> Answer:
        """The next answer. Raises ConnectionError or IncompleteReadError where the connection ends before it does."""
        async with asyncio.timeout(PATIENCE):
            head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            fields = (line.partition(": ") for line in head[1:] if line)
            headers = {name: value for name, _, value in fields}
            length = int(headers.get("Content-Length", 0)) if body else 0
            return Answer(int(head[0].split()[1]), headers, (await self.reader.readexactly(length)).decode())

    def close(self) -> None:
        self.writer.transport.abort()


@asynccontextmanager
async def serving(folder: Path, *, token: str = TOKEN, **settings: object) -> AsyncIterator[Pages]:
    """The pages of a worker that has no broker yet."""
    port = free_ports(1)[0]
    given: dict[str, Any] = {"state_dir": folder, "web_port": port, "web_token": Secret(token), **settings}
    app: WorkerApp = create_app(Settings.make(**given))
    web: Any = app.web
    web.init_server()
    await web.start_server()
    try:
        yield Pages(port, app)
    finally:
        await web.stop_server()


async def flood(pages: Pages, requests: int, path: str, *headers: str, connections: int = 8) -> Counter[int]:
    """Send the requests over some connections, as fast as they are answered; return the count of each status."""
    told: Counter[int] = Counter()

    async def one(count: int) -> None:
        connection = await pages.connect()
        try:
            for _ in range(count):
                connection.send(path, *headers)
                told[(await connection.read()).status] += 1
        finally:
            connection.close()

    await asyncio.gather(*(one(requests // connections) for _ in range(connections)))
    return told
