"""The owner of items: it counts with complete counts only, publishes before it acknowledges, and outlasts zombies."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refused
from schemas.neighbours import Covisit, Covisits, Earlier, Neighbours
from schemas.topics import DEAD_LETTERS, NEIGHBOURS
from streams.agents.neighbours import Owner
from streams.clock import SYSTEM
from streams.graph.item_graph import ItemGraph
from streams.items.index import ItemIndex
from streams.kafka.publisher import Output
from streams.metrics import Metrics
from tests.support.patience import PATIENCE

TS = 1_700_000_000_000


@dataclass(frozen=True)
class Record:
    offset: int
    value: bytes | None
    key: bytes | None = b"film-1"


@dataclass(frozen=True)
class Placed(Record):
    partition: int = 0


def told(offset: int, *, item: str = "film-1", source: int = 0) -> Record:
    update = Covisit(offset, TS, "home", True, (Earlier("film-0", 1, 1),))
    return Record(offset, encode(Covisits(item=item, partition=source, updates=(update,))), item.encode())


class Bench:
    """An owner with all its dependencies in memory. `complete` lets its markers come back."""

    def __init__(self, room: int = 100, *, may_clear: bool = True) -> None:
        self.graph = ItemGraph(ItemIndex(unknown_limit=room))
        self.may_clear = may_clear
        self.sent: list[Output] = []
        self.complete = asyncio.Event()
        self.marked: list[int] = []
        self.failures = 0
        self.metrics = Metrics()
        self.rejected: list[DeadLetter] = []
        self.owner = Owner(
            self.graph,
            publish=self._publish,
            mark=self._mark,
            rejected=self.rejected.extend,
            metrics=self.metrics,
            clock=SYSTEM,
            may_clear=lambda: self.may_clear,
        )

    async def _publish(self, outputs: Sequence[Output]) -> None:
        if self.failures:
            self.failures -= 1
            raise ConnectionError("the broker is gone")
        self.sent += outputs

    async def _mark(self, partition: int, key: bytes) -> None:
        self.marked.append(partition)
        await self.complete.wait()

    async def owning(self, *partitions: int) -> "Bench":
        self.complete.set()
        self.owner.assign(partitions)
        while not all(map(self.owner.ready, partitions)):  # noqa: ASYNC110 - one turn of the loop is all it takes
            await asyncio.sleep(0)
        return self

    def published(self) -> list[Neighbours]:
        values = [each.value for each in self.sent if each.topic == NEIGHBOURS.name]
        return [decode(Neighbours, value) for value in values if value is not None]

    def cleared(self) -> list[str]:
        return [
            str((each.key or b"").decode()) for each in self.sent if each.topic == NEIGHBOURS.name and not each.value
        ]

    def topic(self) -> dict[bytes | None, bytes | None]:
        """`ouzel.neighbours` after compaction."""
        last = {each.key: each.value for each in self.sent if each.topic == NEIGHBOURS.name}
        return {key: value for key, value in last.items() if value is not None}

    def read_back(self) -> None:
        """The replica reads everything that was published since the last time."""
        read, self.sent = self.sent, []
        for each in read:
            self.owner.load(0, each.key or b"", each.value)

    def evicted(self) -> float:
        return self.metrics.registry.get_sample_value("ouzel_evicted_items_total") or 0.0


async def test_owner_counts_and_publishes_before_it_returns() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1), told(2)])
    (record,) = bench.published()
    assert (record.item, record.seen, record.counted) == ("film-1", 2.0, {0: 2})


async def test_redelivered_record_is_counted_once() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1)])
    await bench.owner.take(0, [told(1), told(1)])
    assert [record.seen for record in bench.published()] == [1.0]


async def test_owner_counts_nothing_before_it_has_the_earlier_counts() -> None:
    bench = Bench()
    bench.owner.assign([0])
    taking = asyncio.create_task(bench.owner.take(0, [told(5)]))
    await asyncio.sleep(0)
    before = ItemGraph(ItemIndex())
    before.learn(decode(Covisits, told(4).value))
    bench.owner.load(0, b"film-1", encode(before.take_dirty()[0]))
    assert bench.published() == []
    bench.complete.set()
    await taking
    assert [(record.seen, record.counted) for record in bench.published()] == [(2.0, {0: 5})]


async def test_owner_ignores_items_of_other_partitions() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(3, [told(1)])
    assert bench.sent == []


async def test_lost_partition_is_not_published() -> None:
    bench = await Bench().owning(0, 1)
    bench.graph.learn(decode(Covisits, told(1).value))
    await bench.owner.take(0, [told(1)])
    await bench.owner.take(1, [told(1, item="film-9")])
    bench.sent.clear()
    bench.graph.learn(decode(Covisits, told(2).value))
    bench.owner.revoke([0])
    await bench.owner.take(1, [told(2, item="film-9")])
    assert [record.item for record in bench.published()] == ["film-9"]


async def test_late_record_of_an_old_owner_is_overwritten() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1), told(2), told(7, source=1)])
    mine = bench.published()[-1]
    old = ItemGraph(ItemIndex())
    old.learn(decode(Covisits, told(1).value))
    bench.sent.clear()
    bench.owner.load(0, b"film-1", encode(old.take_dirty()[0]))
    await bench.owner.take(0, [])
    assert bench.published() == [mine]


async def test_old_owner_takes_over_the_counts_that_it_missed() -> None:
    """It reads the records of the new owner before it knows that it lost the item, and gets the item back later."""
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1)])
    heir = ItemGraph(ItemIndex())
    heir.load(bench.published()[-1])
    heir.learn(decode(Covisits, told(2).value))
    (theirs,) = heir.take_dirty()
    bench.sent.clear()
    bench.owner.load(0, b"film-1", encode(theirs))
    await bench.owner.take(0, [])
    assert bench.published() == [], "an older record replaced a newer one"
    await bench.owner.take(0, [told(3)])
    assert [record.seen for record in bench.published()] == [3.0]


async def test_late_record_is_overwritten_by_the_next_owner() -> None:
    """The owner may have died before it could publish its own again."""
    bench = Bench()
    whole, old = ItemGraph(ItemIndex()), ItemGraph(ItemIndex())
    for graph, offsets in ((whole, (1, 2)), (old, (1,))):
        for offset in offsets:
            graph.learn(decode(Covisits, told(offset).value))
    (newer,), (older,) = whole.take_dirty(), old.take_dirty()
    bench.owner.load(0, b"film-1", encode(newer))
    bench.owner.load(0, b"film-1", encode(older))
    await bench.owning(0)
    await bench.owner.take(0, [])
    assert bench.published() == [newer]


async def test_own_record_read_back_changes_nothing() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1)])
    mine = bench.published()[-1]
    bench.sent.clear()
    bench.owner.load(0, b"film-1", encode(mine))
    await bench.owner.take(0, [])
    assert bench.sent == []


async def test_publishing_is_retried_until_the_broker_has_the_record() -> None:
    bench = await Bench().owning(0)
    bench.failures = 1
    await bench.owner.take(0, [told(1)])
    assert [record.seen for record in bench.published()] == [1.0]


async def test_invalid_record_becomes_a_dead_letter() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [Record(4, b"\xff"), told(5)])
    (letter,) = [decode(DeadLetter, each.value) for each in bench.sent if each.topic == DEAD_LETTERS.name]
    assert (letter.value, letter.topic, letter.offset) == (b"\xff", "ouzel.covisits", 4)
    assert len(bench.published()) == 1


async def test_unreadable_record_becomes_a_dead_letter_of_its_owner() -> None:
    bench = Bench()
    with pytest.raises(Refused) as refused:
        bench.owner.load(0, b"film-1", b"\xff")
    assert bench.graph.take_dirty() == []
    for partition in (0, 1):
        bench.owner.refuse(Placed(7, b"\xff", b"film-1", partition), refused.value)
    running = asyncio.create_task(bench.owner.run())
    try:
        await bench.owning(0)
        async with asyncio.timeout(PATIENCE):
            while not bench.sent:  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(0.01)
    finally:
        running.cancel()
    (letter,) = [decode(DeadLetter, each.value) for each in bench.sent]
    assert (letter.topic, letter.partition, letter.offset, letter.value) == (NEIGHBOURS.name, 0, 7, b"\xff")
    assert bench.rejected == [letter]


async def test_counts_of_a_lost_partition_are_published_when_it_returns() -> None:
    bench = await Bench().owning(0)
    await bench.owner.take(0, [told(1)])
    bench.sent.clear()
    bench.graph.learn(decode(Covisits, told(2).value))
    bench.owner.revoke([0])
    await bench.owner.take(0, [])
    assert bench.sent == []
    await bench.owning(0)
    await bench.owner.take(0, [told(2)])
    assert [record.counted for record in bench.published()] == [{0: 2}]


async def test_publishing_interrupted_by_a_revocation_is_completed_when_the_partition_returns() -> None:
    bench = await Bench().owning(0)
    bench.failures = 1_000
    taking = asyncio.create_task(bench.owner.take(0, [told(1)]))
    while bench.failures == 1_000:  # noqa: ASYNC110 - one turn of the loop is all it takes
        await asyncio.sleep(0)
    taking.cancel()
    await asyncio.wait([taking])
    bench.owner.revoke([0])
    bench.failures = 0
    await bench.owning(0)
    await bench.owner.take(0, [told(1)])
    assert [record.counted for record in bench.published()] == [{0: 1}]


def alone(offset: int, item: str, *, ts: int = TS) -> Record:
    """An event of a user without earlier events."""
    return Record(offset, encode(Covisits(item=item, partition=0, updates=(Covisit(offset, ts, "home"),))))


async def test_evicted_ids_are_cleared_from_the_topic_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    bench = await Bench(room=10).owning(0)
    for offset in range(200):
        await bench.owner.take(0, [alone(offset, f"invented-{offset}")])
    await bench.owner.take(0, [])
    assert set(bench.topic()) == {f"invented-{number}".encode() for number in range(190, 200)}
    assert bench.evicted() == 190
    assert len(bench.owner._partitions) == 10
    assert not bench.owner._evicted
    lines = [record.getMessage() for record in caplog.records]
    assert len(lines) == 1, "a line for each would fill the disk"
    assert "OUZEL_UNKNOWN_ITEMS" in lines[0]
    assert "invented" not in lines[0]


async def test_events_during_a_clearing_are_counted() -> None:
    bench = await Bench(room=1).owning(0)
    await bench.owner.take(0, [alone(0, "a")])
    await bench.owner.take(0, [alone(1, "b")])
    await bench.owner.take(0, [alone(2, "a")])
    assert bench.topic().keys() == {b"a"}
    assert bench.cleared() == ["a", "b"]
    last = bench.topic()
    bench.read_back()
    await bench.owner.take(0, [])
    assert last | bench.topic() == last, "published again unchanged, if at all"
    assert bench.graph.record(bench.graph.index.number("a")).seen == 1


async def test_id_cleared_by_another_owner_is_dropped() -> None:
    bench = Bench()
    bench.owner.load(0, b"a", encode(Neighbours(item="a", ts=TS, likes=1.0, counted={0: 1})))
    assert bench.graph.index.find("a") is not None
    bench.owner.load(0, b"a", None)
    assert bench.graph.index.find("a") is None
    assert not bench.owner._partitions


async def test_ids_are_cleared_only_by_their_owner() -> None:
    bench = await Bench(room=3).owning(0)
    for number in range(9):
        bench.owner.load(1, b"a", encode(Neighbours(item=f"i{number}", ts=TS + number, likes=1.0, seen=1.0)))
    await bench.owner.take(0, [])
    assert bench.sent == []
    assert bench.evicted() == 6


async def test_clearing_waits_for_the_counts_and_the_catalogue() -> None:
    bench = Bench(room=3, may_clear=False)
    for number in range(9):
        record = Neighbours(item=f"i{number}", ts=TS + number, likes=1.0, seen=1.0, counted={0: number})
        bench.owner.load(0, b"a", encode(record))
    await bench.owner.take(0, [])
    assert bench.sent == []
    await bench.owning(0)
    await bench.owner.take(0, [])
    assert bench.sent == []
    bench.may_clear = True
    await bench.owner.take(0, [])
    assert sorted(bench.cleared()) == [f"i{number}" for number in range(6)]


async def test_clearings_wait_for_the_broker_and_the_next_owner() -> None:
    bench = await Bench(room=1).owning(0)
    await bench.owner.take(0, [alone(0, "a")])
    bench.failures = 1
    await bench.owner.take(0, [alone(1, "b")])
    assert bench.cleared() == ["a"]
    bench.graph.learn(decode(Covisits, alone(2, "c").value))
    bench.owner.revoke([0])
    bench.sent.clear()
    await bench.owner.take(0, [])
    assert bench.sent == []


async def test_own_records_of_evicted_ids_do_not_restore_them() -> None:
    """They are read back after the eviction: each would evict another id, for ever."""
    bench = await Bench(room=3).owning(0)
    for offset in range(30):
        await bench.owner.take(0, [alone(offset, f"i{offset}", ts=TS + offset)])
    held = {*bench.graph.index.unknown.values()}
    assert held == {"i27", "i28", "i29"}
    topic = bench.topic()
    for _ in range(3):
        bench.read_back()
        await bench.owner.take(0, [])
        assert {*bench.graph.index.unknown.values()} == held
        topic |= bench.topic()
    assert topic.keys() == {each.encode() for each in held}
    assert bench.sent == []
    assert not bench.owner._gone
    assert bench.evicted() == 27


async def test_counts_of_an_evicted_id_by_a_new_owner_are_taken_over() -> None:
    bench = await Bench(room=1).owning(0)
    await bench.owner.take(0, [alone(0, "a")])
    await bench.owner.take(0, [alone(1, "b")])
    bench.owner.load(0, b"a", encode(Neighbours(item="a", ts=TS + 9, likes=0.0, seen=9.0, counted={0: 9})))
    assert bench.graph.record(bench.graph.index.number("a")).seen == 9
