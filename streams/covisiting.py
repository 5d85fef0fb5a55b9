"""Counting co-visits for the items whose partition of `ouzel.covisits` is ours, and publishing what comes of it.

A new owner first needs what the last one published. The replica of `ouzel.neighbours` has it, once it is known to be
complete: the owner writes a marker to the partition (a clearing of a key that no item can have) and counts nothing
before the replica has read it. What is counted is published before the input is acknowledged, so a crash loses nothing,
and what is delivered again is skipped by its source offset. An old owner that does not know yet can publish one more
record of an item, older than the new owner's; replicas skip it (`ItemGraph.load`), and the owner's next replaces it.
"""

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Sequence

from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.neighbours import Covisits, Neighbours
from schemas.topics import COVISITS, DEAD_LETTERS, NEIGHBOURS
from streams.clock import Clock
from streams.graph import ItemGraph
from streams.metrics import Metrics
from streams.publishing import Output
from streams.refusing import Record, dead_letter

log = logging.getLogger(__name__)

MARKER = b"\x00"
"""How a marker's key starts. The contract refuses ids with control characters, so no item has such a key."""

RETRY_SECONDS = 1.0


class Owner:
    """The counting of one worker. `publish` sends and waits; `mark` writes a clearing of a key to a partition of
    `ouzel.neighbours`; `awaited` gives a future that is done once the replica has read that key."""

    def __init__(
        self,
        graph: ItemGraph,
        *,
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        mark: Callable[[int, bytes], Awaitable[None]],
        awaited: Callable[[bytes], asyncio.Future[None]],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._graph = graph
        self._publish = publish
        self._mark = mark
        self._awaited = awaited
        self._metrics = metrics
        self._clock = clock
        self._complete: dict[int, asyncio.Task[None]] = {}
        self._unpublished: list[Neighbours] = []

    def assign(self, partitions: Iterable[int]) -> None:
        """These partitions are ours: begin to wait until what is known of them is complete."""
        for partition in partitions:
            if partition not in self._complete:
                self._complete[partition] = asyncio.get_running_loop().create_task(self._catch_up(partition))

    def revoke(self, partitions: Iterable[int]) -> None:
        """These partitions are no longer ours."""
        for partition in partitions:
            task = self._complete.pop(partition, None)
            if task is not None:
                task.cancel()

    def ready(self) -> bool:
        return all(task.done() for task in self._complete.values())

    async def take(self, records: Sequence[Record]) -> None:
        """Count these, and return when everything that changed is published; it tries until it is. Raises nothing."""
        dead: list[Output] = []
        for record in records:
            if await self._ours(record.partition):
                self._count(record, dead)
        while True:
            self._unpublished += self._graph.take_dirty()
            outputs = [Output(NEIGHBOURS.name, each.item.encode(), encode(each)) for each in self._unpublished]
            try:
                await self._publish([*dead, *outputs])
            except Exception as error:
                log.error("What was counted could not be published (%s); trying again", type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                self._unpublished.clear()
                return

    def _count(self, record: Record, dead: list[Output]) -> None:
        try:
            self._graph.learn(decode(Covisits, record.value))
        except Exception as error:
            letter = dead_letter(COVISITS.name, record, self._clock.now_ms(), error)
            self._metrics.dead_letters.labels(letter.code.value).inc()
            dead.append(Output(DEAD_LETTERS.name, record.key, encode(letter)))

    async def _ours(self, partition: int) -> bool:
        """Whether the partition is ours, and complete; waits until it is."""
        task = self._complete.get(partition)
        if task is None:
            return False
        await asyncio.wait([task])
        return not task.cancelled()

    async def _catch_up(self, partition: int) -> None:
        while True:
            key = MARKER + secrets.token_bytes(16)
            read = self._awaited(key)  # asked for before it is written: the replica may be faster than the answer
            try:
                await self._mark(partition, key)
                await read
            except Exception as error:
                log.error("Items of partition %d: no marker (%s); trying again", partition, type(error).__name__)
                await asyncio.sleep(RETRY_SECONDS)
            else:
                return


def load(graph: ItemGraph, key: bytes, value: bytes | None) -> None:
    """Take in a record of `ouzel.neighbours`. One that cannot be read is passed over: its owner writes it again."""
    try:
        if value is not None:
            graph.load(decode(Neighbours, value))
        elif not key.startswith(MARKER):
            graph.remove(key.decode())
    except (Refused, UnicodeDecodeError) as error:
        log.warning("A record of %s cannot be read: %s", NEIGHBOURS.name, error)
