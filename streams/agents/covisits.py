"""One lane of `ouzel.covisits`: fetches a partition's messages in batches; the owner of their items counts them.

Counts are published before the offset is committed; the next owner of the partition counts the rest.
"""

import asyncio
import logging
from typing import Any

from schemas.topics import COVISITS
from streams.agents.neighbours import Owner
from streams.clock import Clock
from streams.errors import Rewound
from streams.health.losses import Lost, report
from streams.kafka.lanes import Source
from streams.kafka.recreated_topics import start_at
from streams.log_limit import RateLimitedLog
from streams.retry import Pauses, logged, retry

log = logging.getLogger(__name__)

TAKE = 3_000
"""Maximum records counted before the results are published. In a backlog a record holds little more than one event,
and an item is published once for all its counts."""

FETCH_SECONDS = 0.5
PAUSE_SECONDS = 1.0
"""Pause before a lane that could not fetch starts over."""


class Counting:
    """One partition, from its assignment to its revocation. Records are gathered for `interval` seconds."""

    def __init__(
        self, partition: int, source: Source, owner: Owner, clock: Clock, interval: float, *, lost: Lost = report
    ) -> None:
        self.partition = partition
        self.committable = -1
        self._source = source
        self._owner = owner
        self._clock = clock
        self._interval = interval
        self._stopping = False
        self._rewound = False
        self._lost = lost
        self._lines = RateLimitedLog(log, clock.monotonic)
        owner.assign([partition])
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"counting-{partition}")

    @property
    def ready(self) -> bool:
        return self._owner.ready(self.partition)

    @property
    def lag(self) -> int | None:
        """Records not counted yet, as of the last fetch; None if not known."""
        end = self._source.end_offset(self.partition)
        return None if end is None or self.committable < 0 else max(0, end - self.committable)

    def begin_again(self) -> None:
        """The topic was recreated: read it from its beginning."""
        self._rewound = True

    async def stop(self, deadline: float) -> None:
        """Finish the count in progress within `deadline` seconds; else the next owner counts it."""
        self._stopping = True
        if not self.ready:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=deadline)
        self._task.cancel()
        await asyncio.wait([self._task])
        self._owner.revoke([self.partition])

    async def _run(self) -> None:
        await retry(
            self._serve,
            pauses=Pauses(PAUSE_SECONDS),
            clock=self._clock,
            failed=logged(self._lines, f"Counting of partition {self.partition} starts over"),
            wanted=lambda: not self._stopping,
        )

    async def _serve(self) -> None:
        self.committable = await self._begin()
        while not self._stopping:
            records = await self._gather()
            await self._check_place(records)
            if records and not self._stopping:
                await self._owner.take(self.partition, records)
                self.committable = records[-1].offset + 1
            elif not records:
                self.committable = max(self.committable, self._source.past(self.partition))

    async def _begin(self) -> int:
        """Go to the offset where counting ended, or to the first record that still exists; returns the offset.

        A topic that was recreated or has lost records is read from its beginning: events already counted are skipped.
        """
        first = (await self._source.available(self.partition)).first
        committed = await self._source.committed(self.partition)
        start, lost = start_at(committed, self.committable, -1, first)
        if self._rewound:
            log.error(
                "Partition %d of %s was recreated or has lost records: reading it from offset %d, where it begins",
                self.partition,
                COVISITS.name,
                first,
            )
            start, lost, self._rewound = first, 0, False
        if lost:
            self._lost(COVISITS.name, self.partition, start - lost, lost)
        await self._source.seek(self.partition, start)
        return start

    async def _check_place(self, records: list[Any]) -> None:
        if records and records[0].offset > self.committable:  # markers of transactions, or retention
            first = (await self._source.available(self.partition)).first
            if first > self.committable:
                self._lost(
                    COVISITS.name, self.partition, self.committable, min(first, records[0].offset) - self.committable
                )

    async def _gather(self) -> list[Any]:
        """The next records: all that are available and arrive within the interval, up to about TAKE."""
        records: list[Any] = []
        left = FETCH_SECONDS
        until = 0.0
        while left > 0 and len(records) < TAKE and not self._stopping:
            found = await self._source.fetch(self.partition, TAKE - len(records), left)
            if found and not records:
                until = self._clock.monotonic() + self._interval
            if self._rewound or (found and found[-1].offset < self.committable):
                self._rewound = True
                raise Rewound(f"{COVISITS.name} does not go on at offset {self.committable}")
            # Records fetched ahead of a seek can begin before it.
            records += [record for record in found if record.offset >= self.committable]
            left = until - self._clock.monotonic()
        return records
