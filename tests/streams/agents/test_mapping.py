"""The mapping's turns, on a scripted consumer and publisher: what is sent, committed and read again."""

from collections.abc import Iterable
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest
from aiokafka import TopicPartition
from aiokafka.errors import CommitFailedError, KafkaError

from schemas.codec import decode
from schemas.dead_letters import DeadLetter
from schemas.errors import Refusal
from schemas.events import Event
from schemas.topics import DEAD_LETTERS, EVENTS, RECOMMENDATIONS
from streams.agents.mapping import Mapper
from streams.clock import Clock
from streams.errors import RegistryFailed
from streams.health.conditions import UNKNOWN_TOPIC, Survey, TopicFacts
from streams.kafka.publisher import Output
from streams.mapping.groups import MOST_OF_A_USER
from streams.mapping.mapping import read_mapping
from streams.settings import Settings
from streams.unreadable import Unreadable
from tests.streams.mapping.records import NOW_MS, Given, given

TEXT = """
[[events]]
topic = ["clicks", "other"]
user = "user"
item = "item"
kind = { value = "click" }
"""
AVRO = TEXT + 'format = "avro"'
P0, P1 = TopicPartition("clicks", 0), TopicPartition("other", 0)


def row(offset: int, user: str = "ann", tp: TopicPartition = P0) -> Given:
    return given({"user": user, "item": "i"}, tp.topic, partition=tp.partition, offset=offset)


LISTS = '[[lists]]\ntopic = "out"\nfields = { user = "user", films = "entries[*].item" }\n'


class Consumer:
    """Partitions with records, of which each call of `getmany` returns those from the positions on."""

    def __init__(self, *logs: Iterable[Any]) -> None:
        self.logs = dict(zip((P0, P1), map(list, logs), strict=False))
        self.at = dict.fromkeys(self.logs, 0)
        self.committed_at: dict[TopicPartition, tuple[int, str]] = {}
        self.first = 0
        self.failing = 0
        self.during_fetch: Any = None
        self._coordinator = SimpleNamespace(fetch_committed_offsets=self.fetch_committed_offsets)

    async def getmany(self, **_: Any) -> dict[TopicPartition, list[Any]]:
        found = {tp: [each for each in log if each.offset >= self.at[tp]] for tp, log in self.logs.items()}
        for tp, records in found.items():
            if records:
                self.at[tp] = records[-1].offset + 1
        if self.during_fetch is not None:
            await self.during_fetch()
        return {tp: records for tp, records in found.items() if records}

    def subscribe(self, topics: list[str], listener: Any) -> None:
        self.subscribed = topics

    def seek(self, tp: TopicPartition, offset: int) -> None:
        self.at[tp] = offset

    def assignment(self) -> set[TopicPartition]:
        return set(self.logs)

    def highwater(self, tp: TopicPartition) -> int:
        return len(self.logs[tp])

    async def beginning_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, int]:
        return dict.fromkeys(tps, self.first)

    async def committed(self, tp: TopicPartition) -> int | None:
        return self.committed_at.get(tp, (None, ""))[0]

    async def fetch_committed_offsets(self, tps: list[TopicPartition]) -> dict[TopicPartition, Any]:
        held = {tp: self.committed_at.get(tp, (-1, "")) for tp in tps}
        return {tp: SimpleNamespace(offset=offset, metadata=metadata) for tp, (offset, metadata) in held.items()}

    async def commit(self, offsets: dict[TopicPartition, tuple[int, str]]) -> None:
        if self.failing:
            self.failing -= 1
            raise CommitFailedError
        self.committed_at.update(offsets)


class Registry:
    """A schema registry that is away until it has decoders."""

    def __init__(self) -> None:
        self.decoders: dict[int, Any] = {}
        self.up = False

    def forget_unknown(self) -> None: ...

    async def fetch(self, schema: int) -> None:
        if not self.up:
            raise RegistryFailed("The schema registry is away.")
        self.decoders[schema] = msgspec.json.decode


class World:
    """A mapper between a scripted consumer and a list of what was sent."""

    def __init__(self, consumer: Consumer, text: str = TEXT) -> None:
        self.consumer = consumer
        self.registry = cast(Any, Registry())
        self.sends: list[list[Output]] = []
        self.refuse = 0
        clock = Clock(now_ms=lambda: NOW_MS, monotonic=lambda: 0.0)
        self.mapper = Mapper(Settings(), read_mapping(text, self.registry.decoders), self.registry, clock=clock)
        self.mapper._consumer = consumer
        self.mapper._publish = self.publish  # type: ignore[assignment]
        self.survey(b"id-1")

    def survey(self, topic_id: bytes, error: int = 0) -> None:
        topics = ("clicks", "other", EVENTS.name, DEAD_LETTERS.name)
        facts = {name: TopicFacts(id=topic_id, partitions=1) for name in topics}
        facts["other"] = TopicFacts(error=error, id=topic_id, partitions=1)
        self.mapper._surveyed(Survey(facts))

    async def publish(self, outputs: list[Output]) -> None:
        if self.refuse:
            self.refuse -= 1
            raise KafkaError
        self.sends.append(outputs)

    async def turn(self, times: int = 1) -> float:
        pause = 0.0
        for _ in range(times):
            pause = await self.mapper._turn()
        return pause

    async def rebalance(self) -> None:
        await self.mapper.on_partitions_revoked([])
        await self.mapper.on_partitions_assigned(self.consumer.assignment())

    def ids(self) -> list[str]:
        """The ids of all events that were sent, without what follows the offset."""
        sent = [each for outputs in self.sends for each in outputs if each.topic == EVENTS.name]
        return [decode(Event, each.value).id.rpartition("-")[0] for each in sent]

    def count(self, outcome: str, topic: str = "clicks") -> float:
        return float(self.mapper.metrics.mapped.labels(topic, outcome)._value.get())


async def test_records_are_sent_keyed_by_user_and_committed_with_the_topic_s_id() -> None:
    world = World(Consumer([row(0), row(1, "bob")], [row(0, "zoe", P1)]))
    assert await world.turn() == 0
    assert [(each.topic, each.key) for each in world.sends[0]] == [
        (EVENTS.name, b"ann"), (EVENTS.name, b"bob"), (EVENTS.name, b"zoe")]  # fmt: skip
    assert world.consumer.committed_at == {P0: (2, b"id-1".hex()), P1: (1, b"id-1".hex())}
    assert (world.count("mapped"), world.count("mapped", "other")) == (2, 1)
    assert world.mapper.metrics.lag.labels("clicks", 0)._value.get() == 0


async def test_topic_is_subscribed_to_once_it_exists() -> None:
    world = World(Consumer([row(0)]))
    world.survey(b"id-1", UNKNOWN_TOPIC)
    await world.turn()
    assert world.consumer.subscribed == ["clicks"]
    assert any("other of the mapping file does not exist yet" in each for each in world.mapper.unserved)
    world.survey(b"id-1")
    await world.turn()
    assert world.consumer.subscribed == ["clicks", "other"]


async def test_lists_are_read_once_their_topic_exists() -> None:
    world = World(Consumer(), LISTS)
    known = {RECOMMENDATIONS.name: TopicFacts(), DEAD_LETTERS.name: TopicFacts()}
    world.mapper._surveyed(Survey({**known, "out": TopicFacts(error=UNKNOWN_TOPIC)}))
    await world.turn()
    assert not world.mapper._subscribed
    assert any("out of the mapping file does not exist yet" in each for each in world.mapper.unserved)
    world.mapper._surveyed(Survey({**known, "out": TopicFacts()}))
    await world.turn()
    assert world.consumer.subscribed == [RECOMMENDATIONS.name]


async def test_record_that_does_not_fit_is_a_dead_letter_with_its_bytes() -> None:
    bad = given({"user": "ann"}, partition=0, offset=1, key=b"k")
    unreadable = Unreadable("clicks", 0, 2, 3, "damaged")
    world = World(Consumer([row(0), bad, unreadable, row(4)]))
    await world.turn()
    letters = [decode(DeadLetter, each.value) for each in world.sends[0] if each.topic == DEAD_LETTERS.name]
    assert [(each.code, each.offset, each.value) for each in letters] == [
        (Refusal.INVALID, 1, bad.value), (Refusal.UNREADABLE, 2, None)]  # fmt: skip
    assert letters[0].detail.endswith("- at `item`")
    assert world.ids() == ["clicks-0-0", "clicks-0-4"]
    assert world.consumer.committed_at[P0][0] == 5
    assert world.count("rejected") == 2
    assert world.mapper.metrics.dead_letters.labels("invalid")._value.get() == 1


async def test_failing_code_blocks_no_record(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World(Consumer([row(0), row(1)]))

    def fails(record: Any, now_ms: int) -> Any:
        raise ZeroDivisionError

    monkeypatch.setitem(world.mapper._mapping.topics, "clicks", (fails,))
    await world.turn()
    assert [decode(DeadLetter, each.value).code for each in world.sends[0]] == [Refusal.FAILED] * 2


async def test_group_is_committed_before_the_next_is_sent() -> None:
    world = World(Consumer([row(number) for number in range(MOST_OF_A_USER + 4)]))
    world.consumer.failing = 1
    assert await world.turn() > 0
    assert [len(outputs) for outputs in world.sends] == [MOST_OF_A_USER]
    await world.turn()
    assert [len(outputs) for outputs in world.sends] == [MOST_OF_A_USER, 4]
    assert world.ids() == [f"clicks-0-{number}" for number in range(MOST_OF_A_USER + 4)], "none twice, in order"
    assert world.consumer.committed_at[P0][0] == MOST_OF_A_USER + 4


async def test_records_that_could_not_be_sent_are_read_again() -> None:
    world = World(Consumer([row(0), row(1)], [row(0, "zoe", P1)]))
    world.refuse = 2
    assert 0 < await world.turn() < await world.turn(), "pauses grow"
    assert world.consumer.committed_at == {}
    await world.turn()
    assert world.ids() == ["clicks-0-0", "clicks-0-1", "other-0-0"]
    assert world.count("mapped") == 2, "counted once"


async def test_failure_that_lasts_is_a_condition_until_records_are_sent() -> None:
    world = World(Consumer([row(0)]))
    world.refuse = 3
    await world.mapper.on_partitions_assigned([])
    await world.turn(2)
    assert world.mapper.unserved == []
    await world.turn()
    assert world.mapper.unserved == [
        "Records cannot be mapped for now (KafkaError): look at the brokers' log. Retrying"
    ]
    await world.turn()
    assert world.mapper.unserved == []
    assert world.mapper.metrics.failures.labels("brokers")._value.get() == 3


async def test_partition_waits_for_its_schema_and_others_go_on() -> None:
    framed = [
        given(b"\0\0\0\0\x01" + msgspec.json.encode({"user": user, "item": "i"}), offset=number, partition=0)
        for number, user in enumerate("ab")
    ]
    text = TEXT.replace('["clicks", "other"]', '"other"') + AVRO.replace('["clicks", "other"]', '"clicks"')
    world = World(Consumer(framed, [row(0, "zoe", P1)]), text)
    assert await world.turn() > 0
    assert world.ids() == ["other-0-0"]
    assert world.consumer.committed_at.keys() == {P1}
    assert "The schema registry is away." in world.mapper.unserved
    assert world.mapper.metrics.unserved.labels("", "registry")._value.get() == 1
    world.registry.up = True
    await world.turn()
    assert world.ids() == ["other-0-0", "clicks-0-0", "clicks-0-1"]
    assert "The schema registry is away." not in world.mapper.unserved


async def test_records_fetched_across_a_rebalance_are_fetched_again() -> None:
    world = World(Consumer([row(0), row(1)]))
    world.consumer.during_fetch = world.rebalance
    await world.turn()
    assert world.sends == []
    world.consumer.during_fetch = None
    await world.turn()
    assert world.ids() == ["clicks-0-0", "clicks-0-1"]


async def test_records_that_another_process_mapped_during_a_rebalance_are_passed_over() -> None:
    world = World(Consumer([row(number) for number in range(4)]))

    async def elsewhere() -> None:
        await world.rebalance()
        world.consumer.committed_at[P0] = 3, b"id-1".hex()

    world.consumer.during_fetch = elsewhere
    await world.turn()
    world.consumer.during_fetch = None
    await world.turn()
    assert world.ids() == ["clicks-0-3"]


async def test_commit_that_failed_is_made_before_partitions_go() -> None:
    world = World(Consumer([row(0)]))
    world.consumer.failing = 1
    await world.turn()
    assert world.consumer.committed_at == {}
    await world.rebalance()
    assert world.consumer.committed_at[P0][0] == 1


async def test_lost_records_are_counted() -> None:
    world = World(Consumer([row(7)]))
    world.consumer.committed_at[P0], world.consumer.first = (4, ""), 7
    await world.rebalance()
    await world.turn()
    assert world.mapper.metrics.lost.labels("clicks")._value.get() == 3
    assert world.ids() == ["clicks-0-7"]


@pytest.mark.parametrize("running", [True, False])
async def test_recreated_topic_is_read_from_its_beginning(running: bool) -> None:
    world = World(Consumer([row(number) for number in range(3)]))
    if running:  # it was recreated while the process ran
        await world.rebalance()
        world.consumer.at[P0] = 2
        world.consumer.committed_at[P0] = 2, b"id-1".hex()
        world.survey(b"id-2")
    else:
        world.consumer.at[P0] = 2
        world.consumer.committed_at[P0] = 2, b"id-0".hex()
        await world.rebalance()
    await world.turn(2)
    assert world.ids() == ["clicks-0-0", "clicks-0-1", "clicks-0-2"]
    assert world.consumer.committed_at[P0] == (3, (b"id-2" if running else b"id-1").hex())
