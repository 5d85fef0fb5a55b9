"""A page that is not read in time counts as it was, until it was not read for long: then one sentence says so."""

import asyncio
import socket
from http.client import HTTPException, IncompleteRead
from pathlib import Path

import pytest
from prometheus_client import generate_latest

from deploy.errors import TooSlow
from deploy.local import pages
from deploy.local.pages import PATIENCE_SECONDS, Page, number
from schemas.events import EventKind
from streams.metrics import Metrics


class Scripted:
    """A page whose every read takes `seconds` and gives the next of what is scripted; the last again and again."""

    def __init__(self, *script: str | Exception, seconds: float = 5.0) -> None:
        self.now = 0.0
        self.script = list(script)
        self.seconds = seconds
        self.page = Page("Worker 1", 1, "/metrics", Path("worker.log"), fetch=self.fetch, monotonic=lambda: self.now)

    def fetch(self, port: int, path: str) -> str:
        assert (port, path) == (1, "/metrics")
        self.now += self.seconds
        answer = self.script.pop(0) if len(self.script) > 1 else self.script[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


@pytest.mark.parametrize(
    "failure", [TimeoutError("timed out"), ConnectionRefusedError(), ConnectionResetError(), IncompleteRead(b"")]
)
async def test_unreadable_page_keeps_its_last_content(failure: OSError | HTTPException) -> None:
    scripted = Scripted("1", failure, "2")
    assert [await scripted.page.read() for _ in range(3)] == ["1", "1", "2"]


async def test_read_waits_for_the_first_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "AGAIN_SECONDS", 0.0)
    assert await Scripted(TimeoutError(), TimeoutError(), "1").page.read() == "1"


@pytest.mark.parametrize("first", [("1",), ()])
async def test_page_that_never_answers_is_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch, first: tuple[str, ...]
) -> None:
    monkeypatch.setattr(pages, "AGAIN_SECONDS", 0.0)
    scripted = Scripted(*first, TimeoutError("timed out"))

    async def read_on() -> None:
        while True:
            await scripted.page.read()

    with pytest.raises(TooSlow, match=r"^Worker 1 has not answered /metrics for \d+ s: .* worker\.log.*\.$"):
        await read_on()
    assert PATIENCE_SECONDS < scripted.now < PATIENCE_SECONDS + 15


async def test_silent_server_is_a_one_line_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pages, "READ_SECONDS", 0.05)
    monkeypatch.setattr(pages, "PATIENCE_SECONDS", 0.1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        page = Page("Worker 1", server.getsockname()[1], "/metrics", Path("worker.log"))
        async with asyncio.timeout(60):
            with pytest.raises(TooSlow):
                await page.read()


def test_figures_are_read_from_a_workers_metrics() -> None:
    metrics = Metrics()
    metrics.events.labels(EventKind.RATE.value).inc(41)
    metrics.events.labels(EventKind.VIEW.value).inc()
    metrics.undescribed.set(7)
    page = generate_latest(metrics.registry).decode()
    assert number(page, "ouzel_events") == 42
    assert number(page, "ouzel_events", kind="view") == 1
    assert number(page, "ouzel_undescribed_items") == 7
