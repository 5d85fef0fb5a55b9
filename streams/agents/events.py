"""One lane of the batch path: a partition of `ouzel.events`, from its assignment to its revocation.

A lane recovers its partition's state, goes to the committed offset, and then repeats for each batch: fetch, fold
(visible to the list path at once), publish the results, and only then allow the state to be written. Written batches
may be committed. If a step fails, nothing of the batch counts: the lane starts over from what is durable.

Order of effects of a batch: dead letters, feedback and co-visits; then state on the changelog and on disk; then the
commit. A crash in between repeats outputs with the same ids and never loses one: co-visits are skipped by their source
offset, feedback and lists carry an id made from their cause, dead letters carry their origin.
"""

import asyncio
import logging
import math
from bisect import bisect_right
from contextlib import suppress
from typing import Any

from aiokafka.errors import KafkaError

from schemas.codec import encode
from schemas.topics import CONTEXTS, EVENTS, FEEDBACK
from streams.agents.folding import Folding, outputs
from streams.agents.plane import Plane
from streams.errors import AnotherKey, Rewound, TooFewPartitions, TopicRecreated
from streams.health.conditions import Condition, Survey, too_few
from streams.health.failures import cause_of, describe, topic_of
from streams.health.losses import report
from streams.kafka.lanes import Source
from streams.kafka.publisher import Output
from streams.kafka.recreated_topics import Rebased, start_at
from streams.privacy.pseudonyms import fingerprint
from streams.retry import Pauses, retry
from streams.state.expiry import Sweep
from streams.state.partition import PartitionState
from streams.state.store import folder_of, open_store

log = logging.getLogger(__name__)

FETCH_SECONDS = 0.5
LAG_SECONDS = 5.0
"""Time between two lag requests for a partition that is not served, and the timeout of each."""

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before a failed lane starts over: doubled with each failure in a row."""

TAKE = "continue"
"""The value of OUZEL_RECREATED_EVENTS that allows reading a recreated topic."""

UNSERVED = (AnotherKey, TooFewPartitions, TopicRecreated)
"""Errors whose message is complete: it says what happened and the next step."""


class Lane:
    """One partition, from its assignment to its revocation."""

    def __init__(self, partition: int, source: Source, plane: Plane) -> None:
        self.partition = partition
        self.state: PartitionState | None = None
        self._direct = self._source = source
        self._plane = plane
        self._base = 0
        self._topic = b""
        self._recreated = self._rewound = False
        self._next = -1
        self._owed: int | None = None
        self._folding = Folding(partition, plane)
        self._stopping = False
        self._pauses = Pauses(FIRST_PAUSE, LONGEST_PAUSE)
        self._following = -1
        """The next offset to fold while the lane serves; -1 while it does not."""
        self._behind = math.nan
        self._measuring = asyncio.get_running_loop().create_task(self._measure(), name=f"lag-{partition}")
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lane-{partition}")

    @property
    def ready(self) -> bool:
        return self.state is not None

    @property
    def committable(self) -> int:
        """The next offset of the topic to read: everything before it is durable and answered, including the receipts of
        erasure orders. -1 while unknown."""
        return -1 if self._done < 0 else max(0, self._done - self._base)

    @property
    def _done(self) -> int:
        """The same in the state's offsets (`streams.kafka.recreated_topics`)."""
        if self.state is None or self.state.written < 0:
            return self._next
        waits = None if self._plane.lists is None else self._plane.lists.first_unanswered(self.partition)
        return min(each for each in (self.state.written + 1, waits, self._owed) if each is not None)

    @property
    def lag(self) -> float:
        """Offsets not folded yet, as of the last fetch, or as last reported by the broker while the lane does not
        fetch. NaN until known."""
        end = self._source.end_offset(self.partition) if self._following >= 0 else None
        return self._behind if end is None else max(0, end - self._following)

    def look(self, topic: bytes) -> None:
        """Note the current id of the events' topic (empty: unknown)."""
        if self.state is not None and self._topic and topic and topic != self._topic:
            self._recreated = True

    async def stop(self, deadline: float) -> None:
        """Finish the batch in flight within `deadline` seconds; else drop it."""
        self._stopping = True
        self._measuring.cancel()
        if self.state is None:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=deadline)
        self._task.cancel()
        await asyncio.wait([self._task, self._measuring])
        self._plane.board.forget(self._name)

    @property
    def _name(self) -> str:
        return f"lane {self.partition}"

    async def _measure(self) -> None:
        """Request the lag while nothing is fetched: a partition that is not served still falls behind."""
        while True:
            if self._following < 0:
                try:
                    async with asyncio.timeout(LAG_SECONDS):
                        self._behind = await self._source.behind(self.partition, self._next)
                except Exception as error:  # the lane reports the failure itself
                    log.debug("Partition %d: no lag (%s)", self.partition, type(error).__name__)
            await asyncio.sleep(LAG_SECONDS)

    async def _run(self) -> None:
        await retry(
            self._try,
            pauses=self._pauses,
            clock=self._plane.clock,
            failed=self._failed,
            wanted=lambda: not self._stopping,
        )

    async def _try(self) -> None:
        try:
            await self._live()
        except Exception as error:
            if cause_of(error) == "permission":  # the survey reports it first, with the command that grants it
                with suppress(KafkaError):
                    await self._plane.survey()
            raise

    def _failed(self, error: Exception, pause: float) -> None:
        cause = cause_of(error)
        self._plane.metrics.restarts.labels(cause).inc()
        if cause == "recreated":
            self._next = -1  # an offset of the old topic
            self._rewound = self._rewound or (isinstance(error, Rewound) and not self._recreated)
        at = "" if self._next < 0 else f" at offset {self.committable}"
        text = (
            f"Partition {self.partition} of {EVENTS.name}: starting over from what is durable{at}, in "
            f"{pause:.1f} s, after {'; '.join(describe(error))}"
        )
        if isinstance(error, UNSERVED):
            text = str(error)  # it names topic, partition and the next step
        topic = topic_of(error) or (CONTEXTS.name if cause == "partitions" else EVENTS.name)
        self._plane.board.found(self._name, [Condition(cause, topic, text, self.partition)])

    async def _live(self) -> None:
        plane, settings = self._plane, self._plane.settings
        began = plane.clock.monotonic()
        survey = await plane.survey()
        self._check_partitions(survey)
        await plane.turns.next()  # opening a store is one unit of work
        store = open_store(folder_of(settings, self.partition), settings.state.block_cache_mb)
        state: PartitionState | None = None
        try:
            changelog = plane.changelog(self.partition, store)
            recovered = await changelog.recover()
            state = PartitionState(
                self.partition,
                store,
                changelog,
                cached=settings.state.cached_people,
                now_ms=plane.clock.now_ms,
                pause=settings.state.write_interval_s,
                turns=plane.turns,
            )
            await state.recall()
            state.check_key(fingerprint(settings.privacy.pseudonym_key.reveal()))
            if plane.secret is not None:
                await state.begin_sessions(plane.secret())
            state.take_marking(plane.markings)
            await plane.warm(state.marking)
            start = await self._begin(state, survey)
            seconds = plane.clock.monotonic() - began
            plane.metrics.recovery_seconds.observe(seconds)
            log.info(
                "Partition %d: ready in %.2f s at offset %d; %s state on disk, %d changelog records read, %d repaired",
                self.partition,
                seconds,
                start,
                "kept the" if recovered.trusted else "rebuilt the",
                recovered.records,
                recovered.repaired,
            )
            await self._serve(state, start)
        finally:
            self._next = max(self._next, self._done)  # read while the list path still knows who waits
            self.state, self._owed, self._following = None, None, -1
            if state is None:
                store.close()
            else:
                if plane.lists is not None:
                    plane.lists.revoke(self.partition)
                await state.scrubbed()
                state.close()

    def _check_partitions(self, survey: Survey) -> None:
        has = survey.partitions(CONTEXTS.name)
        differs = too_few(survey, CONTEXTS.name, EVENTS.name)
        if has is not None and self.partition >= has and differs is not None:
            raise TooFewPartitions(differs.text)

    async def _begin(self, state: PartitionState, survey: Survey) -> int:
        """Go to the offset where the state ends, or to the first record that still exists; returns the offset."""
        self._topic, self._recreated = survey.id_of(EVENTS.name), False
        take = self._plane.settings.folding.recreated_events == TAKE
        end = (await self._direct.available(self.partition)).end
        self._base = state.follow(self._topic, end, rewound=self._rewound, take=take)
        rewound, self._rewound = self._rewound, False
        self._source = Rebased(self._direct, self._base) if self._base else self._direct
        first = (await self._source.available(self.partition)).first
        committed = await self._source.committed(self.partition)
        if rewound or (self._base and state.high < self._base):
            start, lost = first, 0  # nothing of this topic is folded: the committed offset is the old topic's
        else:
            start, lost = start_at(committed, self._next, state.high, first)
        if lost:
            self._lost(start - lost, lost)
        await self._source.seek(self.partition, start)
        return start

    def _lost(self, first: int, count: int) -> None:
        self._plane.metrics.lost.labels(EVENTS.name).inc(count)
        report(EVENTS.name, self.partition, first - self._base, count)

    async def _serve(self, state: PartitionState, start: int) -> None:
        self.state = state
        if self._plane.lists is not None:
            self._plane.lists.assign(state)
        async with asyncio.TaskGroup() as group:
            beside = [group.create_task(state.run()), group.create_task(self._sweep(state))]
            try:
                await self._pump(state, start)
            finally:
                for task in beside:
                    task.cancel()

    async def _pump(self, state: PartitionState, start: int) -> None:
        plane, limit = self._plane, self._plane.settings.folding.batch_max_events
        following = gathered = self._following = start
        due = 0.0
        written: asyncio.Future[None] | None = None
        fetched: list[Any] = []
        while not self._stopping:
            now = plane.clock.monotonic()
            if following > gathered and (now >= due or state.crowded):
                # Everything that was folded is published here, and nothing more is folded before this returns.
                if written is not None:
                    await written  # at most two gathered groups are not durable at a time
                written = await state.gather(following - 1)
                gathered, due = following, now + plane.settings.state.write_interval_s
            patience = FETCH_SECONDS if following == gathered else min(FETCH_SECONDS, max(0.0, due - now))
            if not fetched:
                fetched = await self._fetch(limit, patience)
            if not fetched:
                plane.board.found(self._name, ())
                following = await self._pass_over(state, following)
                continue
            await self._check_place(fetched[0].offset, following)
            await plane.turns.next()
            if self._stopping:
                break
            began = plane.clock.monotonic()
            folded = self._folding.fold(state, fetched[:limit])
            records = bisect_right(fetched, folded.last, key=_offset)
            first = fetched[0].offset
            self._following = following = folded.last + 1
            fetched = fetched[records:]  # the rest waits for its own turn, as another batch
            if folded.receipts:
                self._owed = first  # the orders are not committed before their receipts are out
            published = list(outputs(folded, self._base))
            publishing = asyncio.ensure_future(plane.publish(published)) if published else None
            if publishing is not None:
                state.seal(gate=publishing)
            found = await self._folding.tell_lists(folded, began)
            if publishing is not None:
                await publishing  # outputs of batches are published in order
            if folded.receipts:
                if written is not None:
                    await written
                written = await state.gather(following - 1)
                gathered = following
                await written
                await self._folding.settle(state, folded, found, self._base)
                self._owed = None
            self._folding.count(folded, records, plane.clock.monotonic() - began)
            self._pauses.reset()
            plane.board.found(self._name, ())
        await (await state.gather(following - 1))

    async def _fetch(self, limit: int, patience: float) -> list[Any]:
        fetched = await self._source.fetch(self.partition, limit, patience)
        if self._recreated:
            raise Rewound(f"{EVENTS.name} was recreated")
        return fetched

    async def _pass_over(self, state: PartitionState, following: int) -> int:
        """Skip markers of transactions and aborted records if no others arrived; returns the next offset."""
        past = self._source.past(self.partition)
        if past > following:
            await self._check_place(past, following)
            self._following = following = past
            state.folded = max(state.folded, following - 1)
        return following

    async def _check_place(self, offset: int, following: int) -> None:
        """Raise `Rewound` if a record precedes our position; report records that were lost before it."""
        if offset < following:
            raise Rewound(f"offset {offset - self._base} came where {following - self._base} was expected")
        if offset > following:  # markers of transactions, or retention
            first = (await self._source.available(self.partition)).first
            if first > following:
                self._lost(following, min(first, offset) - following)

    async def _sweep(self, state: PartitionState) -> None:
        plane, settings = self._plane, self._plane.settings
        sweep = Sweep(
            settings.state.sweep_step,
            int(settings.state.context_expiry_days * 86_400_000),
            settings.folding.attribution_window_ms,
        )
        while True:
            await asyncio.sleep(settings.state.sweep_interval_s)
            await plane.turns.next()
            forgotten, closed = sweep.step(state, plane.clock.now_ms(), plane.turns.over)
            state.touch()
            plane.metrics.expired.inc(forgotten)
            if closed:
                publishing = asyncio.ensure_future(
                    plane.publish([Output(FEEDBACK.name, each.user.encode(), encode(each)) for each in closed])
                )
                await state.seal(gate=publishing)
                for each in closed:
                    plane.metrics.feedback.labels(each.outcome.value).inc()


def _offset(record: Any) -> int:
    return int(record.offset)
