"""The changelog of one partition's state: written by its owner, read back when a partition changes hands.

Guaranteed on any broker, whatever is killed and when:

- *Recovery is complete.* It begins by writing a marker and ends when that marker is read back; everything that was
acknowledged before stands before it. The broker's end offset is never used.
- *A store on disk is only trusted if it followed this very changelog.* The first record of a changelog is the marker of
its first recovery, and its key identifies the changelog; a recreated topic has another. A store of another changelog,
one that is ahead of the marker, or one older than `max_age_ms` (clearings may be compacted away by then) is rebuilt
from the first record.
- *A zombie (an old owner that does not know yet that it lost the partition) does no lasting harm.* It cannot commit:
the broker fences its generation. It may still write what it had in flight. The owner detects that at its next write,
whose offset is then not the expected one; it reads the gap and rewrites its own values of those keys. The zombie
detects the owner's marker in the same way and stops (`Superseded`); its store stays behind the owner's writes, so it
reads them if it gets the partition back. If the owner dies before its next write, the next recovery picks the value
with the highest stamp for each key, and rewrites it if an older one came after it. The stamp of a context is its last
folded offset, so the highest is the most complete.

Not covered: a zombie that deletes an expired context just when the user returns to the new owner, which then dies
before its next write. That user's context is then empty.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple, cast

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import MessageSizeTooLargeError

from schemas.errors import Refused
from streams.errors import Superseded
from streams.state.store import MARKER, Facts, Store, stamp_of
from streams.turns import Turns
from streams.unreadable import Unreadable

log = logging.getLogger(__name__)

Update = tuple[bytes, bytes | None]

READ_RECORDS = 500
"""Records taken from the consumer and written to the store at once: some milliseconds."""


Check = Callable[[bytes, bytes], None]
"""Raises if the bytes are not a value of the key."""

Refuse = Callable[[int, Any, Exception], Awaitable[None]]
"""Report a record of a partition that cannot be used, and why."""


def _any_envelope(key: bytes, value: bytes) -> None:
    stamp_of(value)


async def _log_refused(partition: int, record: Any, error: Exception) -> None:
    log.error("Partition %d: a record of the changelog cannot be used (%s)", partition, type(error).__name__)


class Recovered(NamedTuple):
    """The result of a recovery: records read, whether the store on disk was trusted, and how many values were
    repaired."""

    records: int
    trusted: bool
    repaired: int


class Changelog:
    """The changelog of one partition and the store that follows it. One coroutine at a time writes."""

    def __init__(
        self,
        topic: str,
        partition: int,
        store: Store,
        *,
        producer: Any,
        consumer: Callable[[], Any],
        nonce: bytes,
        now_ms: Callable[[], int],
        max_age_ms: int,
        turns: Turns | None = None,
        check: Check = _any_envelope,
        refuse: Refuse = _log_refused,
        oversized: Callable[[int], None] = lambda _: None,
    ) -> None:
        """`producer` is a started `AIOKafkaProducer`; `consumer` makes an `AIOKafkaConsumer` without a group.

        A record that `check` raises on, or that cannot be read, is skipped in a recovery and goes to `refuse`: the
        previous value of its key counts. `oversized` is called with the size of a value that exceeds the topic's limit.
        """
        self._check = check
        self._refuse = refuse
        self._oversized = oversized
        self._tp = TopicPartition(topic, partition)
        self._store = store
        self._producer = producer
        self._new_consumer = consumer
        self._marker = MARKER + nonce
        self._now_ms = now_ms
        self._max_age_ms = max_age_ms
        self._turns = Turns() if turns is None else turns
        self._next = 0
        """The offset of our next record, if no other worker writes."""
        self._mending = 0
        self._older: set[bytes] = set()
        """Markers of recoveries that began before ours."""

    async def recover(self) -> Recovered:
        """Bring the store up to date with the changelog. Must be called first, and once."""
        (marked_at,) = await self._send([(self._marker, b"\x01")])
        async with self._reader() as reader:
            await reader.seek_to_beginning(self._tp)
            first = await reader.getone(self._tp)
            identity = first.key if first.key is not None and first.key.startswith(MARKER) else b""
            facts = self._store.facts
            age_ms = self._now_ms() - facts.written_ms
            trusted = bool(identity) and facts.identity == identity and facts.position <= marked_at
            trusted = trusted and age_ms <= self._max_age_ms
            if not trusted:
                self._store.clear()
                facts = Facts(identity=identity, position=first.offset)
            reader.seek(self._tp, facts.position)
            records, stale = await self._catch_up(reader, facts, marked_at)
        self._next = self._store.facts.position
        own = [] if identity == self._marker else [(self._marker, None)]  # the first record's key must stay
        repaired = [(key, self._store.get(key)) for key in stale]
        await self.write([*own, *repaired])
        return Recovered(records, trusted, len(repaired))

    async def write(self, updates: Sequence[Update]) -> None:
        """Write `updates` (envelopes; None clears) to the changelog, wait until the broker has them, then to the store.

        Raises `Superseded` if another worker has taken over the partition.
        """
        if not updates:
            return
        gaps = []
        for offset in await self._send(updates):
            if offset > self._next:
                gaps.append((self._next, offset))
            self._next = max(self._next, offset + 1)
        # Records that others wrote in between are not in the store. Until they are known not to matter, the store stays
        # behind them, so that a recovery reads them: if we are superseded, they are the new owner's.
        self._apply(updates, self._store.facts.position if gaps or self._mending else self._next)
        if not gaps:
            return
        self._mending += 1
        try:
            for start, end in gaps:
                await self._mend(start, end)
        finally:
            self._mending -= 1
        if not self._mending:
            self._apply([], self._next)

    def touch(self) -> None:
        """Mark the store as current, so that an idle one does not become too old to be trusted."""
        self._apply([], self._store.facts.position)

    def _apply(self, updates: Sequence[Update], position: int) -> None:
        facts = self._store.facts
        kept = [(key, value) for key, value in updates if not key.startswith(MARKER)]
        high = max((stamp_of(value) for _, value in kept if value is not None), default=-1)
        self._store.write(kept, Facts(facts.identity, position, max(facts.high, high), self._now_ms()))

    async def _catch_up(self, reader: Any, facts: Facts, marked_at: int) -> tuple[int, set[bytes]]:
        """Apply the records up to our marker. Returns how many, and the keys whose last value is not their best one."""
        count, stale = 0, set[bytes]()
        while True:
            fresh: dict[bytes, bytes | None] = {}
            position, high, done = facts.position, facts.high, False
            for record in await self._next_records(reader):
                if self._turns.over():
                    await self._turns.next()
                position = record.offset + 1
                if isinstance(record, Unreadable):
                    await self._refuse(self._tp.partition, record, Refused(record.code, record.why))
                    if record.offset >= marked_at:  # the marker is among the unreadable records
                        done = True
                        break
                    continue
                if record.key == self._marker:
                    done = True
                    break
                if record.key is None:
                    continue
                if record.key.startswith(MARKER):
                    self._older.add(record.key)
                    continue
                count += 1
                value = record.value
                if value is None:
                    fresh[record.key] = None
                    stale.discard(record.key)
                    continue
                try:
                    self._check(record.key, value)
                except Exception as error:
                    await self._refuse(self._tp.partition, record, error)
                    continue
                stamp = stamp_of(value)
                held = fresh[record.key] if record.key in fresh else self._store.get(record.key)
                if held is not None and stamp_of(held) > stamp:
                    stale.add(record.key)
                    continue
                stale.discard(record.key)
                fresh[record.key] = value
                high = max(high, stamp)
            facts = Facts(facts.identity, position, high, self._now_ms())
            self._store.write(fresh.items(), facts)
            if done:
                return count, stale

    async def _mend(self, start: int, end: int) -> None:
        """Read the records of others at offsets `start` to `end` (exclusive), and rewrite our values of their keys.

        Raises `Superseded` if a later recovery wrote its marker, or if deleted records may have held one.
        """
        keys: set[bytes] = set()
        left = end - start
        async with self._reader() as reader:
            reader.seek(self._tp, start)
            position = start
            while position < end:
                for record in await self._next_records(reader):
                    position = record.offset + 1
                    if record.offset >= end:
                        continue
                    left -= 1
                    if isinstance(record, Unreadable):  # it may have been a marker
                        raise self._superseded()
                    if record.key is None:
                        continue
                    if not record.key.startswith(MARKER):
                        keys.add(record.key)
                    elif record.key != self._marker and record.key not in self._older:
                        raise self._superseded()
        # After a long pause only the records left by compaction are there.
        if left:
            raise self._superseded()
        # Delete their value if we hold none: the user may have been erased since.
        ours = [(key, self._store.get(key)) for key in keys]
        log.warning(
            "Partition %d: another worker wrote to %d keys after it had lost the partition; %d values were repaired",
            self._tp.partition,
            len(keys),
            len(ours),
        )
        await self.write(ours)

    async def _next_records(self, reader: Any) -> Sequence[Any]:
        """The next records of the partition, in a separate turn; empty if none arrive within a second."""
        await self._turns.next()
        found = await reader.getmany(self._tp, timeout_ms=1_000, max_records=READ_RECORDS)
        return cast(Sequence[Any], found.get(self._tp, ()))

    def _superseded(self) -> Superseded:
        return Superseded(f"partition {self._tp.partition} was recovered by another worker; let go of it")

    async def _send(self, updates: Sequence[Update]) -> list[int]:
        """Append to the topic's partition; returns the offset of each record once the broker has them all.

        Brokers refuse oversized records by the batch, so each record of such a batch is retried alone. A value that is
        still too large is dropped, so that the partition continues: then only the store has it.
        """
        sent: list[tuple[Any, list[Update]]] = []
        batch, held = self._producer.create_batch(), list[Update]()
        for key, value in updates:
            if batch.append(key=key, value=value, timestamp=None) is None:
                sent.append((await self._submit(batch), held))
                batch, held = self._producer.create_batch(), []
                batch.append(key=key, value=value, timestamp=None)
            held.append((key, value))
        sent.append((await self._submit(batch), held))
        offsets: list[int] = []
        for future, held in sent:
            try:
                base = (await future).offset
            except MessageSizeTooLargeError:
                if len(held) == 1:
                    self._give_up(*held[0])
                else:
                    for update in held:
                        offsets += await self._send([update])
            else:
                offsets.extend(range(base, base + len(held)))
        return sorted(offsets)

    def _give_up(self, key: bytes, value: bytes | None) -> None:
        if value is None or key.startswith(MARKER):
            raise MessageSizeTooLargeError(f"{self._tp.topic} does not even accept a marker")
        self._oversized(len(key) + len(value))

    async def _submit(self, batch: Any) -> Any:
        return await self._producer.send_batch(batch, self._tp.topic, partition=self._tp.partition)

    @asynccontextmanager
    async def _reader(self) -> AsyncIterator[Any]:
        reader: AIOKafkaConsumer = self._new_consumer()
        try:
            await reader.start()
            reader.assign([self._tp])
            yield reader
        finally:
            await reader.stop()
