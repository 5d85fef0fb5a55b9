"""Publishing what partitions learned: once the topic is read, if there is one, and again after an error."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from aiokafka.errors import TopicAuthorizationFailedError

from schemas.topics import BLENDS
from streams.agents import blends as module
from streams.agents.blends import SharedBlends
from streams.agents.followed import Followed
from streams.clock import SYSTEM, Clock
from streams.health.conditions import UNKNOWN_TOPIC, Survey, TopicFacts
from streams.kafka.publisher import Output
from streams.kafka.replica import Replica
from streams.turns import Turns
from tests.streams.serving.test_blends import LISTS, a_worker, teach
from tests.support.background import running
from tests.support.listing import MemoryState
from tests.support.patience import PATIENCE

THERE = Survey({BLENDS.name: TopicFacts(partitions=1)})
MISSING = Survey({BLENDS.name: TopicFacts(error=UNKNOWN_TOPIC)})


class Bench:
    """One partition that has learned from some lists, and what is published of it."""

    def __init__(self, survey: Survey = THERE) -> None:
        self.survey = survey
        self.looks = 0
        self.changed = asyncio.Event()
        self.sent: list[Output] = []
        self.failures: list[Exception] = []
        self.blends = a_worker(MemoryState(0))
        self.replica = Replica(BLENDS.name, self.blends.apply, consumer=lambda: None, clock=SYSTEM)
        self.shared = SharedBlends(
            self.blends,
            self.replica,
            publish=self.publish,
            survey=self.look,
            clock=SYSTEM,
            turns=Turns(),
        )
        teach(self.blends, 0, LISTS[:3])

    async def publish(self, outputs: Sequence[Output]) -> None:
        if self.failures and outputs:
            raise self.failures.pop()
        self.sent += outputs
        self.changed.set()

    def tasks(self) -> list[Any]:
        return [self.shared._share()]

    def look(self) -> Survey:
        self.looks += 1
        self.changed.set()
        return self.survey

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                self.changed.clear()
                await self.changed.wait()

    async def until_sent(self, count: int) -> None:
        await self.until(lambda: len(self.sent) >= count)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "INTERVAL_SECONDS", 0.01)


async def test_part_is_published_once_the_topic_is_read() -> None:
    async with running(Bench()) as bench:
        await asyncio.sleep(0)
        assert bench.sent == []
        bench.replica.caught_up.set()
        await bench.until_sent(1)
    assert [(each.topic, each.key) for each in bench.sent] == [(BLENDS.name, b"0:home")]


async def test_part_is_published_once_a_missing_topic_is_there() -> None:
    async with running(Bench(MISSING)) as bench:
        bench.replica.caught_up.set()
        await bench.until(lambda: bench.looks >= 3)
        assert bench.sent == []
        bench.survey = THERE
        await bench.until_sent(1)


async def test_part_is_published_again_after_an_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    bench = Bench()
    bench.failures = [TopicAuthorizationFailedError(BLENDS.name)] * 2
    async with running(bench):
        bench.replica.caught_up.set()
        await bench.until_sent(1)
    (line,) = caplog.messages
    assert "is not published on ouzel.blends" in line
    assert "TopicAuthorizationFailedError" in line


@pytest.mark.parametrize("survey", [THERE, MISSING, Survey()])
async def test_topic_is_waited_for_only_as_long_as_it_may_be_read(
    survey: Survey, caplog: pytest.LogCaptureFixture
) -> None:
    now = [0.0]

    async def sleep(seconds: float) -> None:
        now[0] += seconds

    clock = Clock(now_ms=lambda: 0, monotonic=lambda: now[0], sleep=sleep)
    followed = Followed(Bench().replica, lambda: survey, clock)
    await followed.wait_known(5.0)
    assert followed.known() is (survey is MISSING)
    assert (now[0] > 5.0) is (survey is not MISSING)
    assert ("not read completely" in caplog.text) is (survey is not MISSING)
