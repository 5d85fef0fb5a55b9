"""A lane of co-visits: records are gathered, counted, published, and only then committed."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from schemas.codec import encode
from schemas.neighbours import Covisit, Covisits
from streams.agents.covisits import TAKE, Counting
from streams.agents.neighbours import Owner
from streams.clock import SYSTEM
from streams.graph.item_graph import ItemGraph
from streams.items.index import ItemIndex
from streams.kafka.publisher import Output
from streams.kafka.recreated_topics import Range
from streams.metrics import Metrics
from tests.support.holding import no_letters
from tests.support.patience import PATIENCE


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes
    key: bytes | None = b"film-1"


def told(offset: int) -> Record:
    return Record(offset, encode(Covisits(item="film-1", partition=0, updates=(Covisit(offset, 1, "home"),))))


@dataclass
class Partition:
    """A partition of co-visits: batches as they are fetched, the committed offset, and what a fetch raises."""

    batches: list[list[Record]]
    group: int = 0
    failures: int = 0
    asked: list[int] = field(default_factory=list)

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        self.asked.append(max_records)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the broker is gone")
        if self.batches:
            return self.batches.pop(0)
        await asyncio.sleep(timeout)
        return []

    async def available(self, partition: int) -> Range:
        return Range(0, 10)

    async def seek(self, partition: int, offset: int) -> None: ...

    async def committed(self, partition: int) -> int | None:
        return self.group

    def end_offset(self, partition: int) -> int | None:
        return 10

    def past(self, partition: int) -> int:
        return -1

    async def behind(self, partition: int, at_least: int) -> int:
        return 0


class Bench:
    """A lane with its owner. The broker accepts records while `open` is set."""

    def __init__(self, source: Partition, interval: float = 0.02) -> None:
        self.open = asyncio.Event()
        self.open.set()
        self.sent: list[Output] = []
        self.source = source
        graph = ItemGraph(ItemIndex())
        graph.index.claim("film-1")
        self.graph = graph
        owner = Owner(
            graph, publish=self._publish, mark=self._mark, rejected=no_letters, metrics=Metrics(), clock=SYSTEM
        )
        self.lane = Counting(0, source, owner, SYSTEM, interval)

    async def _publish(self, outputs: Sequence[Output]) -> None:
        await self.open.wait()
        self.sent += outputs

    async def _mark(self, partition: int, key: bytes) -> None:
        pass

    async def until(self, *, committable: int = -1, counted: int = 0) -> None:
        async with asyncio.timeout(PATIENCE):
            while self.lane.committable < committable or self.counted() < counted:  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(0.001)

    def counted(self) -> float:
        return float(self.graph.events().sum())


async def test_batches_gathered_together_are_published_once() -> None:
    bench = Bench(Partition([[told(0), told(1)], [told(2)], [told(3)]]))
    await bench.until(committable=4)
    assert bench.counted() == 4
    assert len(bench.sent) == 1
    assert bench.source.asked[:3] == [TAKE, TAKE - 2, TAKE - 3]
    assert bench.lane.lag == 6
    await bench.lane.stop(1.0)


async def test_unpublished_counts_are_not_committed() -> None:
    bench = Bench(Partition([[told(0)]]))
    bench.open.clear()
    await bench.until(counted=1)
    assert bench.lane.committable == 0
    await bench.lane.stop(0.01)
    assert bench.lane.committable == 0
    assert bench.sent == []
    assert not bench.lane.ready


async def test_stop_finishes_the_count_in_progress() -> None:
    bench = Bench(Partition([[told(0)]]))
    bench.open.clear()
    await bench.until(counted=1)
    stopping = asyncio.create_task(bench.lane.stop(10.0))
    await asyncio.sleep(0)
    bench.open.set()
    await stopping
    assert bench.lane.committable == 1
    assert len(bench.sent) == 1


async def test_records_before_the_position_are_skipped() -> None:
    bench = Bench(Partition([[told(number) for number in range(6)]], group=4))
    await bench.until(committable=6)
    assert bench.counted() == 2
    await bench.lane.stop(1.0)


async def test_failed_fetch_is_retried() -> None:
    bench = Bench(Partition([[told(0)]], failures=1))
    await bench.until(committable=1)
    assert bench.counted() == 1
    await bench.lane.stop(1.0)


async def test_lane_stops_at_once_while_its_owner_is_not_ready() -> None:
    bench = Bench(Partition([[told(0)]]))
    began = asyncio.get_running_loop().time()
    await bench.lane.stop(60.0)
    assert asyncio.get_running_loop().time() - began < 10
    assert bench.lane.committable <= 0
