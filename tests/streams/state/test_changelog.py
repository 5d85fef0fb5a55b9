"""Recovery up to a marker, stores that cannot be trusted, and zombies that still write: on both brokers."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import MessageSizeTooLargeError

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from schemas.topics import CONTEXTS
from streams.errors import Superseded
from streams.fold.context import EMPTY
from streams.state.changelog import Changelog
from streams.state.records import check_entry, encode_value
from streams.state.store import MARKER, Facts, Store, header, seal
from streams.unreadable import Unreadable
from tests.support.holding import Recorded
from tests.support.patience import PATIENCE

NOW = 1_700_000_000_000
HOUR = 3_600_000

_partition = itertools.count()


class Place:
    """One partition of the changelog topic, and folders for the stores of the workers that own it in turn."""

    def __init__(self, bootstrap: str, partition: int, producer: Any, folder: Path) -> None:
        self.partition = partition
        self.now_ms = NOW
        self._bootstrap = bootstrap
        self._producer = producer
        self._folder = folder
        self._nonces = itertools.count()
        self.compacted: dict[bytes, bool] = {}
        """Keys whose values are compacted away; True if their clearing is still there."""

    def store(self, name: str) -> Store:
        return Store(self._folder / f"{self.partition}-{name}")

    def changelog(self, store: Store, **more: Any) -> Changelog:
        return Changelog(
            CONTEXTS.name,
            self.partition,
            store,
            producer=self._producer,
            consumer=self.consumer,
            nonce=b"%08d" % next(self._nonces),
            now_ms=lambda: self.now_ms,
            max_age_ms=HOUR,
            **more,
        )

    def consumer(self) -> Any:
        reader = AIOKafkaConsumer(bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50)
        get = reader.getmany

        async def left(*partitions: Any, **options: Any) -> Any:
            return {
                tp: [each for each in records if self._is_left(each)]
                for tp, records in (await get(*partitions, **options)).items()
            }

        reader.getmany = left
        return reader

    def _is_left(self, record: Any) -> bool:
        return record.key not in self.compacted or (record.value is None and self.compacted[record.key])

    async def write_as_a_stranger(self, key: bytes, value: bytes | None) -> None:
        await self._producer.send_and_wait(CONTEXTS.name, key=key, value=value, partition=self.partition)


@asynccontextmanager
async def place(broker: Broker, folder: Path) -> AsyncIterator[Place]:
    """A partition that no test has used."""
    await create(broker.bootstrap, events_partitions=64)
    producer = AIOKafkaProducer(bootstrap_servers=broker.bootstrap, max_batch_size=20_000)
    await producer.start()
    try:
        yield Place(broker.bootstrap, next(_partition) % 64, producer, folder)
    finally:
        await producer.stop()


def value(stamp: int, text: str = "") -> bytes:
    return seal(stamp, NOW, text.encode())


async def test_empty_changelog_is_recovered(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            recovered = await at.changelog(store).recover()
            assert (recovered.records, recovered.trusted, recovered.repaired) == (0, False, 0)
            assert store.facts.identity.startswith(MARKER)
            assert list(store.scan(b"", 10)) == []


async def test_acknowledged_writes_are_recovered(broker: Broker, tmp_path: Path) -> None:
    """More than one batch, the last value of each key, and clearings."""
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            await changelog.write([(b"c%d" % n, value(n, "x" * 500)) for n in range(400)])
            await changelog.write([(b"c7", value(900, "new")), (b"c8", None)])
            written = dict(store.scan(b"", 1_000))
        with at.store("b") as store:
            recovered = await at.changelog(store).recover()
            assert (recovered.records, recovered.trusted) == (402, False)
            assert dict(store.scan(b"", 1_000)) == written
            assert (store.get(b"c7"), store.get(b"c8")) == (value(900, "new"), None)
            assert store.facts.high == 900


async def test_trusted_store_reads_only_new_records(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            await changelog.write([(b"c1", value(1)), (b"c2", value(2))])
        with at.store("b") as store:
            other = at.changelog(store)
            await other.recover()
            await other.write([(b"c2", value(5)), (b"c3", None)])
        with at.store("a") as store:
            recovered = await at.changelog(store).recover()
            assert (recovered.records, recovered.trusted) == (2, True)
            assert (store.get(b"c1"), store.get(b"c2")) == (value(1), value(5))


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda f: Facts(b"mof another", f.position, f.high, f.written_ms), id="another changelog"),
        pytest.param(lambda f: Facts(f.identity, f.position + 99, f.high, f.written_ms), id="ahead of the changelog"),
        pytest.param(lambda f: Facts(f.identity, f.position, f.high, f.written_ms - 2 * HOUR), id="too old"),
    ],
)
async def test_untrusted_store_is_rebuilt(broker: Broker, tmp_path: Path, spoil: Callable[[Facts], Facts]) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            await changelog.write([(b"c1", value(1))])
            store.write([(b"c9", value(9, "of another life"))], spoil(store.facts))
        with at.store("a") as store:
            recovered = await at.changelog(store).recover()
            assert (recovered.records, recovered.trusted) == (1, False)
            assert [key for key, _ in store.scan(b"", 10)] == [b"c1"]


async def test_zombie_is_stopped_and_its_writes_are_repaired(broker: Broker, tmp_path: Path) -> None:
    """It writes once more after it lost the partition: it notices, and the new owner repairs its own values."""
    async with place(broker, tmp_path) as at:
        with at.store("old") as old_store, at.store("new") as new_store, at.store("next") as next_store:
            old, new = at.changelog(old_store), at.changelog(new_store)
            await old.recover()
            await old.write([(b"c1", value(10)), (b"c2", value(11))])
            await new.recover()
            await new.write([(b"c1", value(12)), (b"c2", value(13))])
            with pytest.raises(Superseded):
                await old.write([(b"c1", value(11, "stale")), (b"c4", value(14, "not yet there"))])
            await new.write([(b"c3", value(15))])
            assert new_store.get(b"c1") == value(12)

            recovered = await at.changelog(next_store).recover()
            assert recovered.repaired == 0
            kept = {key: header(held).stamp for key, held in next_store.scan(b"", 10)}
            # Values that the owner lacks are cleared: a user may have been erased; an event is folded again.
            assert kept == {b"c1": 12, b"c2": 13, b"c3": 15}


async def test_returning_old_owner_reads_records_from_before_its_last_write(broker: Broker, tmp_path: Path) -> None:
    """It was frozen, its successor wrote, it woke up and wrote once more; then it gets the partition back."""
    async with place(broker, tmp_path) as at:
        with at.store("a") as store, at.store("b") as new_store:
            old = at.changelog(store)
            await old.recover()
            await old.write([(b"cann", value(1)), (b"cbob", value(2))])
            new = at.changelog(new_store)
            await new.recover()
            await new.write([(b"cbob", value(4)), (b"cann", value(5)), (b"ceve", value(6))])
            with pytest.raises(Superseded):
                await old.write([(b"cbob", value(3))])
            await new.write([(b"cdan", value(7))])
            assert (await at.changelog(store).recover()).trusted
            assert dict(store.scan(b"", 10)) == dict(new_store.scan(b"", 10))
            assert store.get(b"cann") == value(5)


@pytest.mark.parametrize("left", ["the clearing of its marker", "nothing of its marker"])
async def test_zombie_is_stopped_even_if_the_new_marker_is_compacted_away(
    broker: Broker, tmp_path: Path, left: str
) -> None:
    """It was frozen until compaction left only this of its successor's recovery."""
    async with place(broker, tmp_path) as at:
        with at.store("a") as store, at.store("b") as new_store:
            old, new = at.changelog(store), at.changelog(new_store)
            await old.recover()
            await old.write([(b"cann", value(1))])
            await new.recover()
            await new.write([(b"cann", value(5)), (b"cbob", value(6))])
            at.compacted = {new._marker: left == "the clearing of its marker"}
            with pytest.raises(Superseded):
                await old.write([(b"cbob", value(2))])
            at.compacted = {}
            await new.write([(b"cdan", value(7))])
            assert new_store.get(b"cann") == value(5)
        with at.store("c") as store:
            await at.changelog(store).recover()
            assert {key: header(held).stamp for key, held in store.scan(b"", 10)} == {
                b"cann": 5,
                b"cbob": 6,
                b"cdan": 7,
            }


async def test_late_clearing_of_an_earlier_marker_does_not_stop_the_owner(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            await at.write_as_a_stranger(MARKER + b"the first", b"\x01")
            await at.write_as_a_stranger(MARKER + b"a late one", b"\x01")
            changelog = at.changelog(store)
            await changelog.recover()
            await at.write_as_a_stranger(MARKER + b"a late one", None)
            await changelog.write([(b"cann", value(1))])
            assert store.get(b"cann") == value(1)


async def test_values_of_the_same_write_are_not_reverted(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store, at.store("b") as next_store:
            changelog = at.changelog(store)
            await changelog.recover()
            await changelog.write([(b"c1", value(1))])
            await at.write_as_a_stranger(b"c1", value(0, "stale"))
            await changelog.write([(b"c1", value(2))])
            await at.changelog(next_store).recover()
            assert next_store.get(b"c1") == value(2)


async def test_recovery_keeps_the_highest_stamp_and_writes_it_again(broker: Broker, tmp_path: Path) -> None:
    """The owner died before it detected the writes of the old owner."""
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            await changelog.write([(b"c1", value(7, "whole"))])
        await at.write_as_a_stranger(b"c1", value(5, "stale"))
        with at.store("b") as store:
            assert (await at.changelog(store).recover()).repaired == 1
            assert store.get(b"c1") == value(7, "whole")
        with at.store("c") as store:
            assert (await at.changelog(store).recover()).repaired == 0
            assert store.get(b"c1") == value(7, "whole")


async def test_touched_idle_store_stays_trusted(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            at.now_ms += 2 * HOUR
            changelog.touch()
        with at.store("a") as store:
            assert (await at.changelog(store).recover()).trusted


async def test_concurrent_recoveries_agree_on_the_identity_of_the_changelog(broker: Broker, tmp_path: Path) -> None:
    async with place(broker, tmp_path) as at:
        with at.store("a") as one, at.store("b") as other:
            await asyncio.gather(at.changelog(one).recover(), at.changelog(other).recover(), return_exceptions=True)
            with at.store("c") as third:
                await at.changelog(third).recover()
                assert {one.facts.identity, other.facts.identity, third.facts.identity} == {third.facts.identity}


async def test_invalid_values_are_skipped_and_reported(broker: Broker, tmp_path: Path) -> None:
    """The previous value of its key counts. A kind that a later version may write stays."""
    refused: list[int] = []

    async def refuse(partition: int, record: Any, error: Exception) -> None:
        refused.append(record.offset)

    async with place(broker, tmp_path) as at:
        with at.store("a") as store:
            changelog = at.changelog(store)
            await changelog.recover()
            context = seal(3, NOW, encode_value(EMPTY))
            await changelog.write([(b"cann", context), (b"?later", value(4, "of a kind that a later version knows"))])
        for junk in (b"", b"short", seal(2**62, NOW, b"\xc1"), seal(9, NOW, b"[1,2]")):
            await at.write_as_a_stranger(b"cann", junk)
        with at.store("b") as store:
            await at.changelog(store, check=check_entry, refuse=refuse).recover()
            assert store.get(b"cann") == context
            assert store.get(b"?later") is not None
            assert store.facts.high == 4, "no stamp of a refused record"
    assert len(refused) == 4


class Log:
    """A changelog in memory, whose topic accepts batches of at most `most` bytes."""

    def __init__(self, most: int = 1_000_000) -> None:
        self.most = most
        self.records: list[Any] = []
        self.client = SimpleNamespace()

    def create_batch(self) -> Any:
        held: list[Any] = []

        def append(*, key: bytes, value: bytes | None, timestamp: None) -> object:
            held.append((key, value))
            return held

        return SimpleNamespace(append=append, held=held)

    async def send_batch(self, batch: Any, topic: str, *, partition: int) -> "asyncio.Future[Any]":
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        if sum(len(key) + len(value or b"") for key, value in batch.held) > self.most:
            answer.set_exception(MessageSizeTooLargeError())
            return answer
        answer.set_result(SimpleNamespace(offset=len(self.records)))
        for key, value in batch.held:
            self.records.append(SimpleNamespace(offset=len(self.records), partition=0, key=key, value=value))
        return answer

    def changelog(self, store: Store, nonce: bytes, **more: Any) -> Changelog:
        return Changelog(
            "t", 0, store, producer=self, consumer=lambda: Recorded(self.records), nonce=nonce,
            now_ms=lambda: NOW, max_age_ms=HOUR, **more,
        )  # fmt: skip


async def test_value_too_large_for_the_topic_is_on_disk_only(tmp_path: Path) -> None:
    """The rest of its batch is written anyway, and the partition continues."""
    log, given_up = Log(most=60), list[int]()
    with Store(tmp_path / "a") as store:
        changelog = log.changelog(store, b"1" * 16, oversized=given_up.append)
        await changelog.recover()
        large = value(1, "x" * 100)
        await changelog.write([(b"c1", value(1, "a")), (b"c2", large), (b"c3", value(1, "b"))])
        assert {record.key for record in log.records if not record.key.startswith(MARKER)} == {b"c1", b"c3"}
        assert store.get(b"c2") == large
    assert given_up == [len(b"c2") + len(large)]


@pytest.mark.parametrize("at", ["first", "amid", "marker"])
async def test_recovery_ends_despite_unreadable_records(tmp_path: Path, at: str) -> None:
    log, refused = Log(), list[Any]()

    async def refuse(partition: int, record: Any, error: Exception) -> None:
        refused.append(record)

    with Store(tmp_path / "a") as store:
        changelog = log.changelog(store, b"1" * 16)
        await changelog.recover()
        for number in range(4):
            await changelog.write([(b"c%d" % number, value(number))])

    class Damaged(Recorded):
        """One record is unreadable, whenever it is fetched."""

        def __init__(self) -> None:
            place = {"first": 0, "amid": 2, "marker": len(log.records) - 1}[at]
            records = list(log.records)
            records[place] = Unreadable("t", 0, place, place, "it is damaged")
            super().__init__(records)

    with Store(tmp_path / "b") as store:
        changelog = log.changelog(store, b"2" * 16, refuse=refuse)
        changelog._new_consumer = Damaged
        async with asyncio.timeout(PATIENCE):
            await changelog.recover()
        lost = {"first": set(), "amid": {b"c1"}, "marker": set()}[at]
        assert {key for key, _ in store.scan(b"c", 10)} == {b"c0", b"c1", b"c2", b"c3"} - lost
    assert [type(record) for record in refused] == [Unreadable]
