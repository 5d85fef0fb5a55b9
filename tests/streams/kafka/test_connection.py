"""Clients that do not spin while no broker answers, and a log that does not repeat it a thousand times."""

import asyncio
import logging
from types import SimpleNamespace
from typing import Any

import pytest

from streams.kafka import connection
from streams.kafka.connection import Search, paced
from streams.log import RepeatFilter
from streams.worker import LOGGING


class Inner:
    def __init__(self, answers: bool) -> None:
        self.asked = 0
        self.answers = answers

    async def _metadata_update(self, _cluster: object, _topics: object) -> bool:
        self.asked += 1
        return self.answers


class Client:
    def __init__(self, *, answers: bool) -> None:
        self._client = Inner(answers)


async def ask(client: Client, times: int) -> bool:
    """Ask this many times; whether that finished before any other task could run."""
    for _ in range(times):
        await client._client._metadata_update(None, None)
    return True


async def test_failed_metadata_updates_pause() -> None:
    away, there = paced(Client(answers=False)), paced(Client(answers=True))
    done, waiting = await asyncio.wait([asyncio.create_task(ask(each, 1_000)) for each in (away, there)], timeout=0.5)
    assert (len(done), len(waiting)) == (1, 1)
    assert there._client.asked == 1_000
    assert 1 <= away._client.asked <= 5
    waiting.pop().cancel()


class Lost:
    """An aiokafka client whose brokers have moved, as a search sees it."""

    hosts = [("old.example", 9092, None), ("new.example", 9093, None)]


class Cluster:
    def __init__(self) -> None:
        self.heard: list[Any] = []

    def update_metadata(self, metadata: Any) -> None:
        self.heard.append(metadata)


async def test_brokers_are_searched_at_every_address_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Searching(Search):
        async def _ask(self, host: str, port: int, request: Any) -> Any:
            asked.append((host, port))
            if host == "old.example":
                raise OSError("the name has no address")
            return SimpleNamespace(brokers=[host])

    monkeypatch.setattr(connection, "SEARCH_SECONDS", 0.0)
    search, cluster = Searching(Lost()), Cluster()
    assert await search.updated(cluster, {"ouzel.events"})
    assert asked == [("old.example", 9092), ("new.example", 9093)]
    assert [each.brokers for each in cluster.heard] == [["new.example"]]
    monkeypatch.setattr(connection, "SEARCH_SECONDS", 60.0)
    assert not await search.updated(cluster, {"ouzel.events"})
    assert len(asked) == 2, "the known addresses have their turn first"


def line(name: str, number: int, text: str = "no %s", *args: object) -> logging.LogRecord:
    return logging.LogRecord(name, logging.ERROR, "x.py", number, text, args or ("broker",), None)


def test_repeated_line_is_shown_at_intervals_and_counted() -> None:
    now = 0.0
    repeats = RepeatFilter(every=5.0, clock=lambda: now)
    assert [repeats.filter(line("aiokafka.client", 7)) for _ in range(4)] == [True, False, False, False]
    assert repeats.filter(line("aiokafka.client", 8))
    assert all(repeats.filter(line("streams.agents.events", 7)) for _ in range(4))
    now = 6.0
    again = line("aiokafka.client", 7)
    assert repeats.filter(again)
    assert again.getMessage() == "no broker (and 3 times before)"


def test_worker_logging_filters_repeats() -> None:
    assert LOGGING["handlers"]["stderr"]["filters"][0] == "repeats"
    assert LOGGING["filters"]["repeats"]["()"] == "streams.log.RepeatFilter"
