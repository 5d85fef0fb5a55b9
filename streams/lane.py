"""One lane of the batch path: a partition of `ouzel.events`, from its assignment to its revocation.

A lane recovers its partition's state, goes to the committed offset, and then, batch after batch: fetch, fold (visible
to the list path at once), publish what follows from it, and only then let the state be written. What is written may be
committed. If anything on the way fails, nothing of the batch counts: the lane starts over from what is durable.

Order of effects of a batch: dead letters, feedback and co-visits; then state on the changelog and on disk; then the
commit. A crash in between repeats outputs, with the same ids (co-visits are skipped by their source offset, feedback
and lists carry an id made from what caused them, dead letters their origin), and never loses one.
"""

import asyncio
import logging
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from schemas.codec import encode
from schemas.events import Event
from schemas.topics import CONTEXTS, COVISITS, DEAD_LETTERS, EVENTS, FEEDBACK, PRIVACY_RECEIPTS
from streams.causes import cause_of, describe
from streams.changelog import Changelog
from streams.clock import Clock
from streams.erasure import receipt
from streams.errors import AnotherKey
from streams.folding import Folded, fold_batch
from streams.metrics import Metrics
from streams.pseudonym import Alias, fingerprint, same
from streams.publishing import Output
from streams.settings import ALL_DUTIES, Settings
from streams.state import PartitionState
from streams.store import Store, open_store
from streams.sweeping import Sweep
from streams.transport import Source
from streams.turns import Turns

log = logging.getLogger(__name__)

FETCH_SECONDS = 0.5
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
"""Seconds before a failed lane starts over: doubled with each failure in a row."""

Publish = Callable[[Sequence[Output]], Awaitable[None]]
"""Send records; return when the broker has them all."""


class Lists(Protocol):
    """The list path, as the lanes see it. None of these waits, but `settle`."""

    def assign(self, state: PartitionState) -> None: ...
    def revoke(self, partition: int) -> None: ...
    def observe(self, partition: int, event: Event) -> None: ...
    def trigger(self, partition: int, event: Event, offset: int) -> None: ...
    def first_unanswered(self, partition: int) -> int | None: ...
    def forget(self, user: str) -> tuple[str, ...]: ...

    async def settle(self, users: Sequence[str]) -> tuple[str, ...]:
        """Unlike the others, this waits: for lists in the making of people who were forgotten, and for the model."""


@dataclass(frozen=True)
class Plane:
    """What all lanes of a worker share. `changelog` makes the changelog of a partition over its store; `warm` returns
    once the catalogue and the item graph are there to make lists from; `alias` gives the name under which a person is
    kept; `turns` are shared with everything else that keeps the event loop busy."""

    settings: Settings
    clock: Clock
    metrics: Metrics
    lists: Lists | None
    publish: Publish
    changelog: Callable[[int, Store], Changelog]
    warm: Callable[[], Awaitable[None]]
    alias: Alias = same
    turns: Turns = field(default_factory=Turns)


class Lane:
    """One partition, from its assignment to its revocation."""

    def __init__(self, partition: int, source: Source, plane: Plane) -> None:
        self.partition = partition
        self.state: PartitionState | None = None
        self._source = source
        self._plane = plane
        self._next = -1
        self._owed: int | None = None
        self._stopping = False
        self._pause = FIRST_PAUSE
        self._assigned = plane.clock.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"lane-{partition}")

    @property
    def ready(self) -> bool:
        return self.state is not None

    @property
    def committable(self) -> int:
        """The next offset to read, where everything before it is durable and answered, with its receipt if it is an
        erasure order; -1 if that is not known yet."""
        if self.state is None or self.state.written < 0:
            return self._next
        waits = None if self._plane.lists is None else self._plane.lists.first_unanswered(self.partition)
        return min(each for each in (self.state.written + 1, waits, self._owed) if each is not None)

    @property
    def lag(self) -> int | None:
        """Events not folded yet, as of the last fetch; None if not known."""
        end = self._source.end_offset(self.partition)
        if end is None or self.state is None or self.state.folded < 0:
            return None
        return max(0, end - self.state.folded - 1)

    async def stop(self, deadline: float) -> None:
        """Finish the batch in flight if that is done within `deadline` seconds; else drop it."""
        self._stopping = True
        if self.state is None:
            self._task.cancel()
        await asyncio.wait([self._task], timeout=deadline)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while not self._stopping:
            try:
                await self._live()
            except asyncio.CancelledError:
                raise
            except Exception as error:
                self._plane.metrics.restarts.labels(cause_of(error)).inc()
                if isinstance(error, AnotherKey):
                    log.error("%s", error)
                log.error(
                    "Partition %d: starting over from what is durable, in %.1f s, after %s",
                    self.partition,
                    self._pause,
                    "; ".join(describe(error)),
                )
                await asyncio.sleep(self._pause)
                self._pause = min(self._pause * 2, LONGEST_PAUSE)

    async def _live(self) -> None:
        plane, settings = self._plane, self._plane.settings
        await plane.turns.next()  # to open a store is a unit of its own
        store = open_store(folder_of(settings, self.partition), settings.block_cache_mb)
        state: PartitionState | None = None
        try:
            changelog = plane.changelog(self.partition, store)
            recovered = await changelog.recover()
            state = PartitionState(
                self.partition,
                store,
                changelog,
                cached=settings.cached_people,
                now_ms=plane.clock.now_ms,
                pause=settings.write_interval_s,
                turns=plane.turns,
            )
            await state.recall()
            state.check_key(fingerprint(settings.pseudonym_key.reveal()))
            await plane.warm()
            start = await self._source.seek_committed(self.partition, self.committable)
            seconds = plane.clock.monotonic() - self._assigned
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
            self._next = max(self._next, self.committable)  # asked while the list path still knows who waits
            self.state, self._owed = None, None
            if state is None:
                store.close()
            else:
                if plane.lists is not None:
                    plane.lists.revoke(self.partition)
                await state.scrubbed()
                state.close()

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
        plane, limit = self._plane, self._plane.settings.batch_max_events
        following = gathered = start
        due = 0.0
        written: asyncio.Future[None] | None = None
        fetched: list[Any] = []
        while not self._stopping:
            now = plane.clock.monotonic()
            if following > gathered and (now >= due or state.crowded):
                # Everything that was folded is published here, and nothing more is folded before this returns.
                if written is not None:
                    await written  # what is not durable is never more than was gathered twice
                written = await state.gather(following - 1)
                gathered, due = following, now + plane.settings.write_interval_s
            patience = FETCH_SECONDS if following == gathered else min(FETCH_SECONDS, max(0.0, due - now))
            if not fetched:
                fetched = await self._source.fetch(self.partition, limit, patience)
            if fetched and fetched[0].offset < following:
                self._check_start(fetched[0].offset, start)
                fetched = [record for record in fetched if record.offset >= following]
            if not fetched:
                continue
            await plane.turns.next()
            if self._stopping:
                break
            began = plane.clock.monotonic()
            folded = self._fold(state, fetched[:limit])
            records = bisect_right(fetched, folded.last, key=_offset)
            following, first = folded.last + 1, fetched[0].offset
            fetched = fetched[records:]  # what is left waits for a turn of its own, as a batch of its own
            if folded.receipts:
                self._owed = first  # the orders are not committed before their receipts are out
            published = list(outputs(folded))
            publishing = asyncio.ensure_future(plane.publish(published)) if published else None
            if publishing is not None:
                state.seal(gate=publishing)
            found = await self._tell_lists(folded)
            if publishing is not None:
                await publishing  # what a later batch publishes comes after what this one does
            if folded.receipts:
                if written is not None:
                    await written
                written = await state.gather(following - 1)
                gathered = following
                await written
                await self._settle(state, folded, found)
            self._count(folded, records, plane.clock.monotonic() - began)
            self._pause = FIRST_PAUSE
        await (await state.gather(following - 1))

    def _check_start(self, offset: int, start: int) -> None:
        if offset < start:
            log.error(
                "Partition %d: offset %d was read after %d was committed. If %s was made anew, delete %s and "
                "the group's offsets too: its people are stamped with offsets of the old one.",
                self.partition,
                offset,
                start,
                EVENTS.name,
                CONTEXTS.name,
            )

    def _fold(self, state: PartitionState, records: Sequence[Any]) -> Folded:
        """Fold as many of the records as the turn has time for, at least one."""
        now_ms, turns = self._plane.clock.now_ms(), self._plane.turns
        folded = fold_batch(
            records,
            state,
            partition=self.partition,
            now_ms=now_ms,
            oldest_ms=now_ms - self._plane.settings.trigger_max_age_ms,
            accepted_from_ms=self._plane.settings.oldest_event_ms,
            window_ms=self._plane.settings.attribution_window_ms,
            tell=self._plane.settings.duties == ALL_DUTIES,
            alias=self._plane.alias,
            clock=turns.clock,
            until=turns.until,
        )
        state.folded = folded.last
        # First what says that a person is erased, so that no crash leaves a gap in which they would come back.
        for erasure in folded.erasures.values():
            state.set_erasure(erasure)
        for user in folded.cleared:
            state.forget(user)
        state.note(folded.drafts)
        for user, exposure in folded.exposures.items():
            state.set_exposure(user, exposure)
        return folded

    async def _tell_lists(self, folded: Folded) -> dict[str, tuple[str, ...]]:
        """Tell the list path what happened; returns what it had of people who were erased."""
        lists, turns = self._plane.lists, self._plane.turns
        found: dict[str, tuple[str, ...]] = {}
        if lists is None:
            return found
        for user in folded.cleared.values():
            found[user] = lists.forget(user)
        try:
            for event in folded.events:
                if turns.over():
                    await turns.next()
                lists.observe(self.partition, event)
            for event, offset in folded.triggers.values():
                if turns.over():
                    await turns.next()
                lists.trigger(self.partition, event, offset)
        except Exception as error:
            # The fold stands whatever the list path makes of it.
            log.error("Partition %d: the list path failed: %s", self.partition, "; ".join(describe(error)))
        return found

    async def _settle(self, state: PartitionState, folded: Folded, found: Mapping[str, tuple[str, ...]]) -> None:
        """Carry an erasure to its end, now that it is durable: what is in the making, the model, the disk. Then the
        receipts go out, and only then the orders may be committed."""
        plane = self._plane
        left = () if plane.lists is None else await plane.lists.settle(list(folded.cleared.values()))
        await state.scrub(folded.cleared)
        await plane.publish(
            [
                Output(
                    PRIVACY_RECEIPTS.name,
                    event.user.encode(),
                    encode(
                        receipt(
                            erasure,
                            event,
                            self.partition,
                            person=plane.alias(event.user),
                            found=found.get(event.user, ()),
                            left=left,
                        )
                    ),
                )
                for event, erasure in folded.receipts
            ]
        )
        plane.metrics.erased.inc(len(folded.cleared))
        self._owed = None

    async def _sweep(self, state: PartitionState) -> None:
        plane, settings = self._plane, self._plane.settings
        sweep = Sweep(
            settings.sweep_step, int(settings.context_expiry_days * 86_400_000), settings.attribution_window_ms
        )
        while True:
            await asyncio.sleep(settings.sweep_interval_s)
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

    def _count(self, folded: Folded, records: int, seconds: float) -> None:
        metrics = self._plane.metrics
        for kind, count in folded.kinds.items():
            if count:
                metrics.events.labels(kind.value).inc(count)
        for letter in folded.dead:
            metrics.dead_letters.labels(letter.code.value).inc()
        for each in folded.feedback:
            metrics.feedback.labels(each.outcome.value).inc()
        metrics.repeats.inc(folded.repeats)
        metrics.batch_events.observe(records)
        metrics.batch_seconds.observe(seconds)


def outputs(folded: Folded) -> Iterable[Output]:
    """What a batch publishes before its state is written."""
    for letter in folded.dead:
        yield Output(DEAD_LETTERS.name, letter.key, encode(letter))
    for each in folded.feedback:
        yield Output(FEEDBACK.name, each.user.encode(), encode(each))
    for covisits in folded.covisits:
        yield Output(COVISITS.name, covisits.item.encode(), encode(covisits))


def _offset(record: Any) -> int:
    return int(record.offset)


def folder_of(settings: Settings, partition: int) -> Path:
    return settings.state_dir / settings.app_id / f"{CONTEXTS.name}-{partition}"
