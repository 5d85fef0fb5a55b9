"""What is replayed arrives in order, on the right partition, with the right times."""

import asyncio
import io
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.partitioner import murmur2
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from deploy.errors import BadSource, DeployError
from deploy.kafka import topics
from deploy.local.brokers import Broker
from deploy.replay.files import Files, Replayed, replay_files
from deploy.replay.send import CATCH_UP_SECONDS, Pace, kafka_sink, send_history, send_items, send_live, shifted
from inference.triton.ports import free_ports
from schemas.codec import decode_event, decode_item
from schemas.events import Event, EventKind
from schemas.items import Item
from schemas.limits import OLDEST_EVENT_MS
from schemas.topics import EVENTS, ITEMS, Topic
from streams.clock import Clock
from tests.support.patience import PATIENCE

DAY_MS = 86_400_000


def event(number: int, ts: int, user: str = "u") -> Event:
    return Event(id=f"e{number}", user=user, kind=EventKind.RATE, ts=ts, item=f"i{number}", value=4.0)


@dataclass
class Recorder:
    """A sink that records messages, and a clock that advances only during sleeps."""

    sent: list[Event] = field(default_factory=list)
    at: list[float] = field(default_factory=list)
    now: float = 1000.0
    send_seconds: float = 0.0

    async def send(self, topic: Topic, key: str, message: msgspec.Struct) -> None:
        assert isinstance(message, Event)
        assert (topic, key) == (EVENTS, message.user)
        self.sent.append(message)
        self.at.append(self.now)
        self.now += self.send_seconds

    async def flush(self) -> None:
        pass

    async def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds

    @property
    def clock(self) -> Clock:
        return Clock(now_ms=lambda: round(self.now * 1000), monotonic=lambda: self.now)


def replayed(events: list[Event], pace: Pace, recorder: Recorder) -> list[Event]:
    seen: list[Event] = []

    def before(each: Event) -> None:
        assert len(recorder.sent) == len(seen), "an event is shown before it is sent"
        seen.append(each)

    asyncio.run(send_live(recorder, events, pace, before=before, clock=recorder.clock, sleep=recorder.sleep))
    return seen


@given(st.lists(st.integers(0, 10 * DAY_MS), min_size=1, max_size=30).map(sorted), st.integers(0, 2**41))
def test_history_ends_now_and_keeps_its_gaps(times: list[int], now: int) -> None:
    recorder = Recorder()
    now += OLDEST_EVENT_MS + 10 * DAY_MS
    history = [event(n, ts) for n, ts in enumerate(times)]
    count = asyncio.run(send_history(recorder, history, last_ms=times[-1], ends_ms=now))
    moved = [e.ts for e in recorder.sent]
    assert count == len(times)
    assert moved[-1] == now
    assert [b - a for a, b in pairwise(moved)] == [b - a for a, b in pairwise(times)]


def test_shift_stops_at_the_oldest_accepted_time() -> None:
    assert shifted(event(1, OLDEST_EVENT_MS + 5), -10).ts == OLDEST_EVENT_MS


def test_live_events_carry_the_time_they_are_sent_at_an_even_rate() -> None:
    recorder = Recorder()
    seen = replayed([event(n, n * DAY_MS) for n in range(5)], Pace(events_per_second=4), recorder)
    assert recorder.at == pytest.approx([1000.0, 1000.25, 1000.5, 1000.75, 1001.0])
    assert [e.ts for e in recorder.sent] == [round(at * 1000) for at in recorder.at]
    assert seen == recorder.sent


def test_live_events_keep_their_gaps_at_a_factor() -> None:
    recorder = Recorder()
    replayed([event(1, 0), event(2, 60_000), event(3, 60_000), event(4, 90_000)], Pace(factor=60), recorder)
    assert recorder.at == pytest.approx([1000.0, 1001.0, 1001.0, 1001.5])


def sent_at(recorder: Recorder, stalls: list[float]) -> list[float]:
    """When events due each tenth of a second are sent, if something takes so long before each."""
    stall = iter(stalls)

    def before(_: Event) -> None:
        recorder.now += next(stall)

    events = [event(n, 0) for n in range(len(stalls))]
    pace = Pace(events_per_second=10)
    asyncio.run(send_live(recorder, events, pace, before=before, clock=recorder.clock, sleep=recorder.sleep))
    return recorder.at


def test_replay_catches_up_after_a_short_delay() -> None:
    at = sent_at(Recorder(), [0.0, 0.25, 0.0, 0.0, 0.0])
    assert at == pytest.approx([1000.0, 1000.35, 1000.35, 1000.35, 1000.4])


def test_replay_sends_no_burst_after_a_long_delay() -> None:
    at = sent_at(Recorder(), [0.0, 50 * CATCH_UP_SECONDS, 0.0, 0.0])
    assert at == pytest.approx([1000.0, 1050.1, 1050.1, 1050.2])


@pytest.mark.parametrize(
    "wrong", [{"events_per_second": 0.0}, {"factor": -1.0}, {"events_per_second": 1.0, "factor": 1.0}]
)
def test_pace_is_one_positive_number(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="pace"):
        Pace(**wrong)


def test_brokers_that_do_not_answer_are_named() -> None:
    async def start(address: str) -> None:
        async with kafka_sink(address):
            pass

    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(DeployError, match=f"no broker answers at {address}"):
        asyncio.run(start(address))


def test_connection_options_are_used(broker: Broker) -> None:
    async def start() -> None:
        async with kafka_sink(broker.bootstrap, {"security_protocol": "NONSENSE"}):
            pass

    with pytest.raises(ValueError, match="security_protocol"):
        asyncio.run(start())
    with pytest.raises(ValueError, match="security_protocol"):
        asyncio.run(topics.create(broker.bootstrap, connection={"security_protocol": "NONSENSE"}))


def test_topics_of_brokers_that_do_not_answer() -> None:
    address = f"127.0.0.1:{free_ports(1)[0]}"
    with pytest.raises(DeployError, match=f"no broker answers at {address}"):
        asyncio.run(topics.describe(address))


def test_items_and_events_arrive_in_order_on_the_partition_of_their_key(broker: Broker) -> None:
    people = [f"person-{n}" for n in range(7)]
    catalogue = [Item(id=f"i{n}", title=f"Film {n}") for n in range(50)]
    history = [event(n, n * 1000, people[n % 7]) for n in range(5000)]
    live = [event(n, n * 1000, people[n % 7]) for n in range(5000, 5030)]
    now = 1_700_000_000_000

    async def round_trip() -> tuple[list[Item], list[tuple[int, Event]]]:
        await topics.create(broker.bootstrap)
        async with kafka_sink(broker.bootstrap) as sink:
            await send_items(sink, catalogue)
            await send_history(sink, history, last_ms=history[-1].ts, ends_ms=now)
            await send_live(sink, live, Pace())
        partitions = [TopicPartition(topic.name, n) for topic in (ITEMS, EVENTS) for n in range(4)]
        consumer = AIOKafkaConsumer(bootstrap_servers=broker.bootstrap)
        await consumer.start()
        items: list[Item] = []
        events: list[tuple[int, Event]] = []
        try:
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            async with asyncio.timeout(PATIENCE):
                while len(items) < 50 or len(events) < 5030:
                    for where, records in (await consumer.getmany(timeout_ms=500)).items():
                        if where.topic == ITEMS.name:
                            items += [decode_item(r.value, key=r.key) for r in records]
                        else:
                            decoded = (decode_event(r.value, key=r.key, now_ms=2**53) for r in records)
                            events += [(where.partition, e) for e in decoded]
        finally:
            await consumer.stop()
        return items, events

    items, events = asyncio.run(round_trip())
    assert sorted(items, key=lambda i: int(i.id[1:])) == catalogue
    for person in people:
        theirs = [(partition, e) for partition, e in events if e.user == person]
        assert [e.id for _, e in theirs] == [e.id for e in history + live if e.user == person]
        assert {partition for partition, _ in theirs} == {(murmur2(person.encode()) & 0x7FFFFFFF) % 4}
    past = [e.ts for _, e in events if int(e.id[1:]) < 5000]
    assert max(past) == now
    assert min(e.ts for _, e in events if int(e.id[1:]) >= 5000) > now


def test_files_are_replayed_in_time_order_with_their_past(own_broker: Broker, tmp_path: Path) -> None:
    (tmp_path / "films.csv").write_text("item,title\n1,One\n2,Two\n,none\n")
    rows = "".join(f"ann,1,5,{1_000_000_000 + n}\n" for n in reversed(range(10)))
    (tmp_path / "likes.csv").write_text(f"user,item,rating,ts\n{rows}ann,2,high,1000000000\n")
    files = Files(events=tmp_path / "likes.csv", items=tmp_path / "films.csv", history=0.8, history_age_ms=60_000)
    out = io.StringIO()

    async def replay_and_read() -> tuple[Replayed, list[Event]]:
        await topics.create(own_broker.bootstrap, events_partitions=1)
        report = await replay_files(own_broker.bootstrap, files, Console(file=out))
        consumer = AIOKafkaConsumer(bootstrap_servers=own_broker.bootstrap)
        await consumer.start()
        try:
            where = TopicPartition(EVENTS.name, 0)
            consumer.assign([where])
            await consumer.seek_to_beginning(where)
            async with asyncio.timeout(PATIENCE):
                records = [await consumer.getone() for _ in range(10)]
        finally:
            await consumer.stop()
        return report, [decode_event(r.value, key=r.key, now_ms=2**53) for r in records]

    report, events = asyncio.run(replay_and_read())
    assert (report.items, report.history, report.live) == (2, 8, 2)
    assert (report.item_rows.bad, report.event_rows.bad) == (1, 1)
    assert len({e.id for e in events}) == 10
    assert [b.ts - a.ts for a, b in pairwise(events[:8])] == [1000] * 7
    assert events[8].ts - events[7].ts >= 60_000


@pytest.mark.parametrize(
    ("files", "complaint"), [(Files(), "nothing to replay"), (Files(items=Path("x.csv"), history=2.0), "from 0 to 1")]
)
def test_replay_of_no_file_or_a_bad_share_is_refused(files: Files, complaint: str) -> None:
    with pytest.raises(BadSource, match=complaint):
        asyncio.run(replay_files("127.0.0.1:1", files, Console(file=io.StringIO())))
