"""Positions on the standard path in a rebalance; the crash tests cover all of it on brokers."""

import asyncio
from collections import defaultdict
from types import SimpleNamespace
from typing import Any, cast

import pytest
from aiokafka import TopicPartition
from faust.transport.drivers import aiokafka as driver
from faust.types import TP

from streams.kafka.assignment import BatchLanes
from streams.kafka.consumer_thread import BatchConsumerThread
from streams.kafka.faust_transport import BatchConsumer
from streams.kafka.lanes import Source
from tests.support.patience import PATIENCE


class Thread:
    """The part of the consumer's thread that knows positions."""

    def __init__(self, committed: dict[TopicPartition, int | None]) -> None:
        self.committed = committed
        self.begun: list[TopicPartition] = []

    async def seek_to_committed(self) -> dict[TopicPartition, int | None]:
        return self.committed

    async def seek_to_beginning(self, *partitions: TopicPartition) -> None:
        self.begun += partitions

    async def first_offsets(self, tps: set[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, 9)

    def call_soon(self, work: Any) -> Any:
        return work


async def test_partitions_without_a_commit_are_read_from_the_beginning() -> None:
    """A partition without a commit is read from its beginning again; those of lanes are left to the lanes."""
    fresh, known, lane = TopicPartition("counts", 0), TopicPartition("counts", 1), TopicPartition("events", 0)
    thread = Thread({fresh: None, known: 7, lane: None})
    consumer: Any = BatchConsumer.__new__(BatchConsumer)
    consumer._thread = thread
    consumer._counted = {}
    lost: list[tuple[Any, ...]] = []
    consumer.transport = SimpleNamespace(lanes=[SimpleNamespace(topic="events")], lost=lambda *args: lost.append(args))
    assert await consumer.seek_to_committed() == thread.committed
    assert thread.begun == [fresh]
    assert lost == [("counts", 1, 7, 2)]
    await consumer.seek_to_committed()
    assert len(lost) == 1, "losses are counted once"


def test_partition_without_a_position_is_not_verified(monkeypatch: pytest.MonkeyPatch) -> None:
    """Faust verifies its own partitions at intervals; its check asserts that there is a position."""
    looked: list[TP] = []

    def verify(consumer: Any, now: float, tp: TP) -> None:
        looked.append(tp)
        raise AssertionError

    monkeypatch.setattr(driver.Consumer, "verify_event_path", verify)
    consumer: Any = BatchConsumer.__new__(BatchConsumer)
    consumer.transport = SimpleNamespace(lanes=[SimpleNamespace(topic="events")])
    for tp in (TP("events", 0), TP("items", 0)):
        consumer.verify_event_path(0.0, tp)
    assert looked == [TP("items", 0)]


async def test_commit_through_an_ended_thread_does_nothing() -> None:
    lanes = SimpleNamespace(topic="events")
    consumer: Any = BatchConsumer.__new__(BatchConsumer)
    consumer.transport = SimpleNamespace(lanes=[lanes])
    consumer._committed_offset = defaultdict(lambda: None)
    consumer._thread = SimpleNamespace(thread_loop=SimpleNamespace(is_closed=lambda: True))
    assert await consumer._commit_lanes([{0: 5}]) is False
    assert not consumer._committed_offset[TP("events", 0)]


@pytest.mark.parametrize(("between", "stopping", "generation"), [(True, False, 3), (False, True, 3), (False, False, 2)])
def test_records_outside_the_current_assignment_are_not_acknowledged(
    between: bool, stopping: bool, generation: int
) -> None:
    """Between two assignments, at the worker's end, and of an assignment before this one."""
    consumer: Any = BatchConsumer.__new__(BatchConsumer)
    consumer._between = between
    consumer.app = SimpleNamespace(should_stop=stopping, consumer_generation_id=3)
    assert consumer.ack(SimpleNamespace(generation_id=generation)) is False


async def test_ending_thread_does_not_wait_for_a_rebalance(monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that must stop during a rebalance: the main thread's part may never end."""
    answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def main_threads_part(thread: Any, *_: object) -> None:
        await answer

    for name in ("on_partitions_revoked", "on_partitions_assigned"):
        monkeypatch.setattr(driver.AIOKafkaConsumerThread, name, main_threads_part)
    thread: Any = BatchConsumerThread.__new__(BatchConsumerThread)
    thread._fetches, thread._fetching = set(), True
    thread._stopped, thread._crashed = asyncio.Event(), asyncio.Event()
    parts = (thread.on_partitions_revoked({TP("events", 0)}), thread.on_partitions_assigned({TP("events", 0)}))
    both = asyncio.gather(*parts)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not both.done()
    thread._stopped.set()
    await asyncio.wait_for(both, PATIENCE)


async def test_errors_of_the_main_thread_in_a_rebalance_are_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main_threads_part(thread: Any, revoked: set[TP]) -> None:
        raise ValueError(revoked)

    monkeypatch.setattr(driver.AIOKafkaConsumerThread, "on_partitions_revoked", main_threads_part)
    thread: Any = BatchConsumerThread.__new__(BatchConsumerThread)
    thread._fetches, thread._fetching = set(), True
    thread._stopped, thread._crashed = asyncio.Event(), asyncio.Event()
    with pytest.raises(ValueError, match="events"):
        await thread.on_partitions_revoked({TP("events", 0)})


async def test_fetcher_that_swallows_a_cancellation_is_cancelled_again() -> None:
    swallowed = 0

    async def fetch() -> None:
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    thread: Any = BatchConsumerThread.__new__(BatchConsumerThread)
    thread._consumer = SimpleNamespace(_fetcher=SimpleNamespace(_fetch_task=asyncio.create_task(fetch())))
    await asyncio.sleep(0)
    await asyncio.wait_for(thread._end_fetcher(), PATIENCE)
    assert swallowed == 2


class Leaving:
    """A lane that is stopping until it is allowed to end."""

    def __init__(self) -> None:
        self.partition, self.committable, self.ready = 0, 5, True
        self.may_go = asyncio.Event()

    async def stop(self, deadline: float) -> None:
        await self.may_go.wait()


async def test_lane_can_be_revoked_twice_at_once() -> None:
    """A worker that ends during a rebalance: both hand the lane over."""
    lane = Leaving()
    lanes = BatchLanes("events", lambda partition, source: lane, drain_s=1.0)
    lanes.assign([0], cast(Source, None))
    both = [asyncio.ensure_future(lanes.revoke([0])) for _ in range(2)]
    await asyncio.sleep(0)
    lane.may_go.set()
    assert await asyncio.gather(*both) == [{0: 5}, {0: 5}]
    assert lanes.held() == []
