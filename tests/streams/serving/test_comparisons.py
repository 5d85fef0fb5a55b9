"""Comparisons are published in the background, retried, bounded, and counted when they are dropped."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any

import pytest
from aiokafka.errors import NotLeaderForPartitionError

from schemas.codec import decode
from schemas.models import Comparison
from schemas.topics import COMPARISONS
from streams.clock import SYSTEM
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from streams.serving import comparisons
from streams.serving.comparisons import Comparisons
from tests.support.background import running
from tests.support.patience import PATIENCE


class Bench:
    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.failures = 0
        self.exists = True
        self.metrics = Metrics()
        self.comparisons = Comparisons(self._publish, exists=lambda: self.exists, metrics=self.metrics, clock=SYSTEM)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self.comparisons.run()]

    async def _publish(self, outputs: Sequence[Output]) -> None:
        await asyncio.sleep(0)
        if self.failures:
            self.failures -= 1
            raise NotLeaderForPartitionError
        self.sent += outputs

    def add(self, number: int, user: str = "ann") -> None:
        self.comparisons.add(
            user,
            Comparison(
                id=f"c{number}",
                list=f"l{number}",
                scene="home",
                ts=1,
                champion="v1",
                challenger="v2",
                champion_hit=True,
                challenger_hit=False,
            ),
        )

    def count(self, outcome: str) -> float:
        return self.metrics.registry.get_sample_value("ouzel_comparisons_total", {"outcome": outcome}) or 0.0

    @property
    def ids(self) -> list[str]:
        return [decode(Comparison, each.value).id for each in self.sent]

    async def until(self, count: int) -> None:
        async with asyncio.timeout(PATIENCE):
            while len(self.sent) < count:  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(0.01)


async def test_comparisons_are_published_in_order_under_their_list() -> None:
    async with running(Bench()) as bench:
        for number in range(500):
            bench.add(number)
        await bench.until(500)
    assert bench.ids == [f"c{number}" for number in range(500)]
    assert {each.topic for each in bench.sent} == {COMPARISONS.name}
    assert bench.sent[3].key == b"l3"
    assert (bench.count("sent"), bench.count("dropped")) == (500, 0)


async def test_failed_publishing_is_retried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "FIRST_PAUSE", 0.01)
    async with running(Bench()) as bench:
        bench.failures = 2
        bench.add(1)
        await bench.until(1)
    assert (bench.ids, bench.count("sent"), bench.count("dropped")) == (["c1"], 1, 0)


async def test_oldest_comparisons_beyond_the_bound_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparisons, "MOST_WAITING", 3)
    bench = Bench()
    for number in range(5):
        bench.add(number)
    async with running(bench):
        await bench.until(3)
    assert (bench.ids, bench.count("sent"), bench.count("dropped")) == (["c2", "c3", "c4"], 3, 2)


async def test_cluster_without_the_topic_gets_no_record() -> None:
    bench = Bench()
    bench.exists = False
    bench.add(1)
    assert bench.count("dropped") == 1
    await bench.comparisons.flush(1.0)
    assert bench.sent == []


async def test_comparisons_of_an_erased_user_are_dropped() -> None:
    bench = Bench()
    bench.add(1)
    bench.add(2, "bob")
    assert bench.comparisons.drop("ann")
    assert not bench.comparisons.drop("ann")
    await bench.comparisons.flush(1.0)
    assert bench.ids == ["c2"]


@pytest.mark.parametrize(("failures", "sent", "dropped"), [(0, 2, 0), (1, 0, 2)])
async def test_end_publishes_what_waits_or_counts_it(failures: int, sent: int, dropped: int) -> None:
    bench = Bench()
    bench.failures = failures
    bench.add(1)
    bench.add(2)
    await bench.comparisons.flush(1.0)
    assert (bench.count("sent"), bench.count("dropped")) == (sent, dropped)
    assert len(bench.sent) == sent
