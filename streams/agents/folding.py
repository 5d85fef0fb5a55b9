"""The steps of one batch in a lane: fold it into the state, publish the outputs, inform the list path, erase users."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from schemas.codec import encode
from schemas.events import EventKind
from schemas.topics import COVISITS, DEAD_LETTERS, FEEDBACK, PRIVACY_RECEIPTS
from streams.agents.dropped_marks import DroppedMarks
from streams.agents.plane import Plane
from streams.fold.batch import Folded, fold_batch
from streams.health.failures import describe
from streams.kafka.publisher import Output
from streams.privacy.erasure import receipt
from streams.privacy.sessions import PREFIX
from streams.settings import ALL_DUTIES
from streams.state.partition import PartitionState

log = logging.getLogger(__name__)


class Folding:
    """The batches of one partition."""

    def __init__(self, partition: int, plane: Plane) -> None:
        self._partition = partition
        self._plane = plane
        self._dropped = DroppedMarks(plane.metrics.unseen, plane.clock.monotonic)

    def fold(self, state: PartitionState, records: Sequence[Any]) -> Folded:
        """Fold as many of the records as the turn has time for, at least one."""
        plane, settings = self._plane, self._plane.settings
        folded = fold_batch(
            records,
            state,
            partition=self._partition,
            now_ms=plane.clock.now_ms(),
            max_age_ms=settings.lists.trigger_max_age_ms,
            accepted_from_ms=settings.folding.oldest_event_ms,
            window_ms=settings.folding.attribution_window_ms,
            tell=settings.folding.duties == ALL_DUTIES,
            alias=plane.alias,
            clock=plane.turns.clock,
            until=plane.turns.until,
        )
        state.folded = folded.last
        # The event that erases a user comes first, so that no crash leaves a gap through which the user's data returns.
        for erasure in folded.erasures.values():
            state.set_erasure(erasure)
        for user in folded.cleared:
            state.forget(user)
        state.note(folded.drafts)
        for user, exposure in folded.exposures.items():
            state.set_exposure(user, exposure)
        return folded

    async def tell_lists(self, folded: Folded, folded_at: float) -> dict[str, tuple[str, ...]]:
        """Pass the results of a batch, folded at `folded_at` (seconds of the monotonic clock), to the list path;
        returns what it had of erased users, by id."""
        lists, turns, partition = self._plane.lists, self._plane.turns, self._partition
        found: dict[str, tuple[str, ...]] = {}
        if lists is None:
            return found
        for user in folded.cleared.values():
            found[user] = lists.forget(user)
        try:
            if folded.kinds[EventKind.STEER]:
                lists.steered(folded.kinds[EventKind.STEER])
            for judged, offset in folded.judged:
                if turns.over():
                    await turns.next()
                lists.observe(partition, judged, offset)
            for alias, call in folded.triggers.items():
                if turns.over():
                    await turns.next()
                lists.trigger(partition, alias, call, folded_at)
        except Exception as error:
            # The fold stays valid even if the list path fails.
            log.error("Partition %d: the list path failed: %s", partition, "; ".join(describe(error)))
        return found

    async def settle(
        self, state: PartitionState, folded: Folded, found: Mapping[str, tuple[str, ...]], base: int
    ) -> None:
        """Complete the erasures of a batch that is durable: lists being made, the model, the disk. Then publish the
        receipts; only after that may the orders be committed."""
        plane = self._plane
        left: tuple[str, ...] = ()
        if plane.lists is not None:
            left = await plane.lists.settle(self._partition, list(folded.cleared.values()))
        elif state.sessions is not None:  # a worker that made lists had the partition before
            left = (PREFIX,)
        await state.scrub(folded.cleared)
        receipts = (
            receipt(
                erasure,
                event,
                self._partition,
                base=base,
                alias=alias,
                found=found.get(event.user, ()),
                left=left,
            )
            for event, erasure, alias in folded.receipts
        )
        await plane.publish([Output(PRIVACY_RECEIPTS.name, made.user.encode(), encode(made)) for made in receipts])
        plane.metrics.erased.inc(len(folded.cleared))

    def count(self, folded: Folded, records: int, seconds: float) -> None:
        """Count a batch of `records` records that took `seconds`."""
        metrics = self._plane.metrics
        for kind, count in folded.kinds.items():
            if count:
                metrics.events.labels(kind.value).inc(count)
        self._plane.rejected(folded.dead)
        for each in folded.feedback:
            metrics.feedback.labels(each.outcome.value).inc()
        metrics.repeats.inc(folded.repeats)
        if self._plane.lists is not None:
            metrics.stale.inc(folded.stale)
        self._dropped.report(self._partition, folded.unseen)
        metrics.batch_events.observe(records)
        metrics.batch_seconds.observe(seconds)


def outputs(folded: Folded, base: int = 0) -> Iterable[Output]:
    """The records that a batch publishes before its state is written. `base` was added to the topic's offsets."""
    for letter in folded.dead:
        if base:
            letter = msgspec.structs.replace(letter, offset=letter.offset - base)  # noqa: PLW2901 - of the topic
        yield Output(DEAD_LETTERS.name, letter.key, encode(letter))
    for each in folded.feedback:
        yield Output(FEEDBACK.name, each.user.encode(), encode(each))
    for covisits in folded.covisits:
        yield Output(COVISITS.name, covisits.item.encode(), encode(covisits))
