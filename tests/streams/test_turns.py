"""Turns of the event loop: however much work there is, and in whichever task, the loop is never held for long."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from schemas.codec import decode, encode
from schemas.events import Event, EventKind
from schemas.neighbours import Covisit, Covisits, Neighbours
from schemas.topics import COVISITS, NEIGHBOURS
from streams.agents.events import Lane
from streams.agents.neighbours import Owner
from streams.agents.plane import Plane
from streams.clock import SYSTEM, Clock
from streams.fold.context import EMPTY, Context, fold
from streams.fold.marking import Marking, Markings
from streams.graph.item_graph import ItemGraph
from streams.items.index import ItemIndex
from streams.kafka.publisher import Output
from streams.kafka.recreated_topics import Range
from streams.kafka.replica import Replica
from streams.metrics import Metrics
from streams.ranking.ranker import Ranker
from streams.settings import Settings
from streams.state.changelog import Changelog, Recovered
from streams.state.store import Store
from streams.turns import REST, watch
from tests.streams.state.test_partition import MemoryLog
from tests.support.holding import BOUND, TURN, UNIT, Costly, Hand, Recorded, no_letters
from tests.support.listing import Bench

LONG_AGO = 1_700_000_000_000
LANES, RECORDS = 8, 30
SECRET = b"secret"


async def test_turn_with_time_left_continues_at_once() -> None:
    hand = Hand()
    await hand.turns.next()
    hand.work(TURN / 2)
    goes: list[None] = []
    asyncio.get_running_loop().call_soon(goes.append, None)
    await hand.turns.next()
    assert not goes
    hand.work(TURN / 2)
    assert hand.turns.over()
    await hand.turns.next()
    assert goes


async def test_page_that_takes_several_iterations_is_answered_between_two_turns() -> None:
    """A page: a connection, its request, a handler, each of which waits for the one before."""
    hand = Hand()
    await hand.turns.next()
    hand.work(TURN)
    page = asyncio.create_task(_goes(REST - 2))
    await hand.turns.next()
    assert page.done()


async def _goes(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_tasks_share_a_turn_and_each_gets_one() -> None:
    hand = Hand()
    order: list[int] = []

    async def work(name: int) -> None:
        for _ in range(12):
            if hand.turns.over():
                await hand.turns.next()
            hand.work()
            order.append(name)

    async def together() -> None:
        await asyncio.gather(*(work(name) for name in range(3)))

    assert await hand.longest_hold(together()) <= BOUND
    assert set(order[:15]) == {0, 1, 2}, "a task had to wait until others were done"


async def test_cancelled_waiter_does_not_block_others() -> None:
    hand = Hand()
    first, second = (asyncio.create_task(hand.turns.next()) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait_for(second, 10)
    assert not hand.turns.over()


async def test_late_timer_is_reported() -> None:
    hand, seen = Hand(), list[float]()
    watching = asyncio.create_task(watch(seen.append, hand))
    await asyncio.sleep(0)
    hand.work(3.0)
    async with asyncio.timeout(10):
        while not seen:  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0.01)
    watching.cancel()
    assert seen[0] == pytest.approx(2.9)


class KnownLog(MemoryLog):
    """A changelog that has nothing to recover."""

    async def recover(self) -> Recovered:
        return Recovered(0, trusted=True, repaired=0)

    def touch(self) -> None:
        pass


class Waiting:
    """A partition whose first fetch returns all waiting records."""

    def __init__(self, records: Sequence[Any]) -> None:
        self.records = list(records)

    async def fetch(self, partition: int, max_records: int, timeout: float) -> list[Any]:
        found, self.records = self.records, []
        if not found:
            await asyncio.sleep(timeout)
        return found

    async def available(self, partition: int) -> Range:
        return Range(0, 10)

    async def seek(self, partition: int, offset: int) -> None: ...

    async def committed(self, partition: int) -> int | None:
        return 0

    def end_offset(self, partition: int) -> int | None:
        return None

    def past(self, partition: int) -> int:
        return -1

    async def behind(self, partition: int, at_least: int) -> int:
        return len(self.records)


def event(number: int, lane: int) -> Event:
    item, user = f"film-{number % 7}", f"person-{lane}-{number % 3}"
    return Event(id=f"{lane}-{number}", user=user, kind=EventKind.LIKE, ts=LONG_AGO, item=item, scene="home")


@dataclass
class Fleet:
    """Lanes with all their dependencies in memory, except the disk."""

    lanes: list[Lane]
    logs: list[KnownLog]
    sent: list[Output]


@asynccontextmanager
async def fleet(hand: Hand, folder: Path) -> AsyncIterator[Fleet]:
    of = Fleet([], [], [])

    async def publish(outputs: Sequence[Output]) -> None:
        await asyncio.sleep(0)
        of.sent += outputs

    async def warm(_: Marking) -> None:
        pass

    def changelog(_: int, store: Store) -> Changelog:
        of.logs.append(KnownLog(store))
        return of.logs[-1]

    plane = Plane(
        settings=Settings.make(state_dir=folder, write_interval_s=0, sweep_interval_s=3600),
        clock=Clock(SYSTEM.now_ms, hand),
        metrics=Metrics(),
        lists=None,
        publish=publish,
        changelog=changelog,
        warm=warm,
        rejected=no_letters,
        markings=Markings(SECRET),
        turns=hand.turns,
    )
    for lane in range(LANES):
        records = [
            Costly(hand, number, encode(event(number, lane)), event(number, lane).user.encode(), lane)
            for number in range(RECORDS)
        ]
        of.lanes.append(Lane(lane, Waiting(records), plane))
    yield of
    await asyncio.gather(*(lane.stop(10.0) for lane in of.lanes))


async def test_lanes_fold_in_turns_everything_once_and_in_order(tmp_path: Path) -> None:
    hand = Hand()
    async with fleet(hand, tmp_path) as of:

        async def folded() -> None:
            while any(lane.committable < RECORDS for lane in of.lanes):  # noqa: ASYNC110 - no event comes
                await asyncio.sleep(0)

        assert await hand.longest_hold(folded()) <= BOUND
    for lane, log in enumerate(of.logs):
        expected: dict[str, Context] = {}
        for number in range(RECORDS):
            done = event(number, lane)
            expected[done.user] = fold(expected.get(done.user, EMPTY), done, number, Marking(SECRET))
        held = {key[1:].decode(): context for key, context in log.contexts().items() if key[:1] == b"c"}
        assert held == expected
    told = [decode(Covisits, each.value) for each in of.sent if each.topic == COVISITS.name]
    offsets = [(each.partition, update.offset) for each in told for update in each.updates]
    assert sorted(offsets) == [(lane, number) for lane in range(LANES) for number in range(RECORDS)]


async def test_counting_takes_turns_within_a_record(monkeypatch: pytest.MonkeyPatch) -> None:
    hand, sent = Hand(), list[Output]()
    learn = ItemGraph.learn

    def costly(graph: ItemGraph, told: Covisits) -> None:
        hand.work(UNIT * len(told.updates))
        learn(graph, told)

    async def publish(outputs: Sequence[Output]) -> None:
        sent.extend(outputs)

    async def mark(partition: int, key: bytes) -> None:
        pass

    monkeypatch.setattr(ItemGraph, "learn", costly)
    graph = ItemGraph(ItemIndex())
    owner = Owner(
        graph, publish=publish, mark=mark, rejected=no_letters, metrics=Metrics(), clock=SYSTEM, turns=hand.turns
    )
    owner.assign([0])
    updates = [tuple(Covisit(40 * n + k, LONG_AGO, "home") for k in range(40)) for n in range(3)]
    records = [
        SimpleNamespace(offset=n, key=b"film-1", value=encode(Covisits(item="film-1", partition=0, updates=of)))
        for n, of in enumerate(updates)
    ]
    assert await hand.longest_hold(owner.take(0, cast(Any, records))) <= BOUND
    (record,) = [decode(Neighbours, each.value) for each in sent if each.topic == NEIGHBOURS.name]
    assert (record.seen, record.counted) == (120.0, {0: 119})


async def test_rest_of_a_record_is_left_to_the_next_owner() -> None:
    hand, metrics = Hand(), Metrics()
    graph = ItemGraph(ItemIndex())
    graph.index.claim("film-1")

    async def publish(outputs: Sequence[Output]) -> None:
        pass

    async def mark(partition: int, key: bytes) -> None:
        pass

    owner = Owner(
        graph, publish=publish, mark=mark, rejected=no_letters, metrics=metrics, clock=SYSTEM, turns=hand.turns
    )
    owner.assign([0])
    await asyncio.sleep(0)
    record = Costly(
        hand,
        0,
        encode(Covisits(item="film-1", partition=0, updates=tuple(Covisit(n, LONG_AGO, "home") for n in range(9)))),
    )
    hand.turns.until = hand.now + UNIT / 2  # reading the record takes the rest of the turn
    taking = asyncio.create_task(owner.take(0, [record]))
    await asyncio.sleep(0)
    owner.revoke([0])
    await taking
    assert float(graph.events().sum()) == 0


async def test_replica_takes_turns() -> None:
    hand, taken = Hand(), list[bytes]()

    def apply(_partition: int, key: bytes, _value: bytes | None) -> None:
        hand.work()
        taken.append(key)

    records = [SimpleNamespace(offset=n, partition=0, key=b"%d" % n, value=b"") for n in range(120)]
    replica = Replica("t", apply, consumer=lambda: Recorded(records), clock=SYSTEM, turns=hand.turns)
    running = asyncio.create_task(replica.run())

    async def caught_up() -> None:
        await replica.caught_up.wait()

    assert await hand.longest_hold(caught_up()) <= BOUND
    running.cancel()
    assert taken == [b"%d" % n for n in range(120)]


async def test_lists_are_made_in_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    hand = Hand()
    prepare, assemble = Ranker.prepare, Ranker.assemble

    def costly(work: Any) -> Any:
        def done(*args: Any, **more: Any) -> Any:
            hand.work(UNIT / 2)
            return work(*args, **more)

        return done

    monkeypatch.setattr(Ranker, "prepare", costly(prepare))
    monkeypatch.setattr(Ranker, "assemble", costly(assemble))
    bench = Bench(None, turns=hand.turns, scoring_slots=64)
    for number in range(64):
        bench.did(f"person-{number}", "film-1")
    running = asyncio.create_task(bench.lists.run())

    async def made() -> None:
        while len(bench.made()) < 64:  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0)

    assert await hand.longest_hold(made()) <= BOUND
    running.cancel()
    await asyncio.wait([running])
