"""Counts co-visits of the items whose partition of `ouzel.covisits` this worker owns, and publishes the counts.

A new owner first needs the counts that the last one published. The replica of `ouzel.neighbours` has them once it is
complete: the owner writes a marker to the partition (a clearing of a key that no item can have) and counts nothing
until the replica has read it. Counts are published before the input is acknowledged, so a crash loses nothing, and
redelivered records are skipped by their source offset. An old owner that does not know yet that it lost the partition
can publish one more record of an item. Every worker reads it and keeps the record that has counted more
(`ItemGraph.load`): the owner publishes its own again, and the old owner takes over the counts that it missed.

When an id that is missing from the catalogue is evicted from the graph, its owner clears it on the topic, and every
worker that reads the clearing drops it. An owner that has counted the id since then publishes it again.
"""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import msgspec

from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.neighbours import Covisits, Neighbours
from schemas.topics import COVISITS, DEAD_LETTERS, NEIGHBOURS
from streams.clock import Clock
from streams.dead_letters import Placed, Record, dead_letter
from streams.graph.item_graph import ItemGraph
from streams.kafka.publisher import Output
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.retry import Pauses, logged, retry
from streams.turns import Turns

log = logging.getLogger(__name__)

MARKER = b"\x00"
"""How a marker's key starts. The contract refuses ids with control characters, so no item has such a key."""

AT_ONCE = 50
"""Records published at once; each takes a fraction of a millisecond."""

RETRY_SECONDS = 1.0

MOST_EVICTED = 100_000
"""Evicted ids that wait until their clearing is published and read; beyond that the oldest are dropped. The record of
a dropped one stays on the topic until the id is evicted again, after a restart."""

MOST_REFUSED = 1_000
"""Dead letters of a partition that wait until its owner is known; beyond that the oldest are dropped."""


class Owner:
    """The counting of one worker. `publish` sends and waits; `rejected` is called with the dead letters; `mark` writes
    a clearing of a key to a partition of `ouzel.neighbours`, and returns once the replica has read it; `may_clear` says
    whether the ids in the catalogue are known, so that others may be cleared."""

    def __init__(
        self,
        graph: ItemGraph,
        *,
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        mark: Callable[[int, bytes], Awaitable[None]],
        rejected: Callable[[Iterable[DeadLetter]], None],
        metrics: Metrics,
        clock: Clock,
        turns: Turns | None = None,
        may_clear: Callable[[], bool] = lambda: True,
    ) -> None:
        self._rejected = rejected
        self._refused: dict[int, deque[DeadLetter]] = {}
        self._graph = graph
        self._publish = publish
        self._mark = mark
        self._metrics = metrics
        self._clock = clock
        self._turns = Turns() if turns is None else turns
        self._complete: dict[int, asyncio.Task[None]] = {}
        self._partitions: dict[str, int] = {}
        self._evicted: dict[str, int] = {}
        """The partitions of ids that may have to be cleared."""

        self._gone: dict[str, dict[int, int]] = {}
        """Evicted ids that were ours, with their counts, until their clearing is read."""

        self._may_clear = may_clear
        self._lines = RateLimitedLog(log, clock.monotonic)
        graph.evicted = self._note_evicted
        self._publishing = asyncio.Lock()

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are now ours: wait until their counts are complete."""
        for partition in partitions:
            if partition not in self._complete:
                self._complete[partition] = asyncio.get_running_loop().create_task(self._catch_up(partition))

    def revoke(self, partitions: Iterable[int]) -> None:
        """These partitions are no longer ours."""
        for partition in partitions:
            task = self._complete.pop(partition, None)
            if task is not None:
                task.cancel()

    def ready(self, partition: int) -> bool:
        """Whether the partition is ours and its counts are complete here."""
        task = self._complete.get(partition)
        return task is not None and task.done() and not task.cancelled()

    def load(self, partition: int, key: bytes, value: bytes | None) -> None:
        """Apply a record of `ouzel.neighbours`. Raises on one that cannot be used: see `refuse`."""
        if value is None:
            if not key.startswith(MARKER):
                self._forget(key.decode())
            return
        record = decode(Neighbours, value)
        gone = self._gone.get(record.item)
        if gone is not None and all(gone.get(source, -1) >= offset for source, offset in record.counted.items()):
            return  # our own record, from before the id was evicted
        self._place(record.item, partition)
        self._graph.load(record)

    def refuse(self, record: Placed, error: Exception) -> None:
        """Refuse a record of `ouzel.neighbours`. Every worker reads it; the owner writes the dead letter."""
        letter = dead_letter(NEIGHBOURS.name, record.partition, record, self._clock.now_ms(), error)
        self._refused.setdefault(record.partition, deque(maxlen=MOST_REFUSED)).append(letter)

    async def take(self, partition: int, records: Sequence[Record]) -> None:
        """Count these, and return once every change is published; retries until it is. Raises nothing."""
        dead: list[Output] = []
        task = self._complete.get(partition)
        if task is not None and not task.done():
            await asyncio.wait([task])
        for record in records:
            await self._count(partition, record, dead)
        await self._publish_changes(dead)

    async def run(self) -> None:
        """Republish, until cancelled, records that must be published again without a new count."""
        while True:
            await asyncio.sleep(RETRY_SECONDS)
            await self._publish_changes([_output(letter) for letter in self._take_refused()])

    def _place(self, item: str, partition: int) -> None:
        """Note that the item is counted and belongs to that partition."""
        self._partitions[item] = partition
        self._evicted.pop(item, None)
        self._gone.pop(item, None)

    def _forget(self, item: str) -> None:
        """The item was cleared on the topic. If it is ours and known here, it was counted again since."""
        self._gone.pop(item, None)
        self._evicted.pop(item, None)
        if self._owns_item(item):
            self._graph.again(item)
        else:
            self._graph.remove(item)
            self._partitions.pop(item, None)

    def _note_evicted(self, item: str, counted: dict[int, int]) -> None:
        self._metrics.evicted.inc()
        self._lines.warning(
            "evicted",
            "Events name more item ids that are missing from the catalogue than the item graph counts: the one with "
            "the fewest counts was evicted. Publish the items, find the producer of these ids, or raise "
            "OUZEL_UNKNOWN_ITEMS",
        )
        partition = self._partitions.pop(item, None)
        if partition is None:
            return
        self._evicted[item] = partition
        if self.ready(partition):
            self._gone[item] = counted
        for each in (self._evicted, self._gone):
            if len(each) > MOST_EVICTED:
                del each[next(iter(each))]

    def _take_evicted(self, limit: int) -> dict[str, int]:
        """At most `limit` ids to clear, with their partitions; none before our partitions are known."""
        if not self._may_clear() or not self._complete or not all(map(self.ready, self._complete)):
            return {}
        taken: dict[str, int] = {}
        while self._evicted and len(taken) < limit:
            item = next(iter(self._evicted))
            partition = self._evicted.pop(item)
            if self.ready(partition):
                taken[item] = partition
        return taken

    def _take_refused(self) -> list[DeadLetter]:
        """The dead letters that this worker must write. Once our partitions are known, the others' are dropped."""
        if not self._complete or not all(map(self.ready, self._complete)):
            return []
        letters = [letter for partition, of in self._refused.items() if self.ready(partition) for letter in of]
        self._refused.clear()
        self._rejected(letters)
        return letters

    async def _publish_changes(self, others: list[Output]) -> None:
        async with self._publishing:
            more = True
            while more:
                await self._turns.next()
                changed = self._graph.take_dirty(AT_ONCE, ours=self._owns_item)
                cleared = self._take_evicted(AT_ONCE)
                more = AT_ONCE in (len(changed), len(cleared))
                try:
                    await self._publish_all(changed, cleared, others)
                except asyncio.CancelledError:
                    self._graph.not_published(changed)
                    self._evicted.update((item, of) for item, of in cleared.items() if item not in self._partitions)
                    raise
                others = []

    async def _publish_all(
        self, changed: Sequence[Neighbours], cleared: Mapping[str, int], others: Sequence[Output]
    ) -> None:
        async def publish() -> None:
            # A partition can be lost while the brokers are unavailable: its new owner counts the same events again.
            ours = [each for each in changed if self._owns_item(each.item)]
            outputs = [Output(NEIGHBOURS.name, item.encode(), None) for item, of in cleared.items() if self.ready(of)]
            outputs += [Output(NEIGHBOURS.name, each.item.encode(), encode(each)) for each in ours]
            await self._publish([*others, *outputs])

        await retry(
            publish,
            pauses=Pauses(RETRY_SECONDS),
            clock=self._clock,
            failed=logged(self._lines, "Counts could not be published"),
        )

    async def _count(self, partition: int, record: Record, dead: list[Output]) -> None:
        """Count one record, event by event, as long as the partition is ours: after that its next owner does."""
        try:
            told = decode(Covisits, record.value)
            for update in told.updates:
                if self._turns.over():
                    await self._turns.next()
                if not self.ready(partition):
                    return
                self._graph.learn(msgspec.structs.replace(told, updates=(update,)))
                self._place(told.item, partition)
                self._metrics.counted.inc()
        except Exception as error:
            letter = dead_letter(COVISITS.name, partition, record, self._clock.now_ms(), error)
            self._rejected([letter])
            dead.append(_output(letter))

    def _owns_item(self, item: str) -> bool:
        return self.ready(self._partitions.get(item, -1))

    async def _catch_up(self, partition: int) -> None:
        await retry(
            lambda: self._mark(partition, MARKER + secrets.token_bytes(16)),
            pauses=Pauses(RETRY_SECONDS),
            clock=self._clock,
            failed=logged(self._lines, f"No marker could be written to partition {partition} of {NEIGHBOURS.name}"),
        )


def _output(letter: DeadLetter) -> Output:
    return Output(DEAD_LETTERS.name, letter.key, encode(letter))
