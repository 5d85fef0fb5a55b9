"""One batch of one partition of `ouzel.events`, from bytes to everything that follows from it. Pure.

The fold is deterministic: the same records after the same state give the same result, so that a batch that was cut off
by a crash and is read again comes out the same, with the same ids on everything that it publishes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from schemas.codec import decode_event
from schemas.dead_letters import DeadLetter
from schemas.events import Event, EventKind
from schemas.feedback import Feedback
from schemas.neighbours import Covisit, Covisits
from schemas.topics import EVENTS
from streams.attribution import NONE, Exposure, attribute
from streams.context import EMPTY, Context, fold, is_repeat
from streams.covisits import covisits, messages
from streams.erasure import (
    CONTEXT_PART,
    LISTS_PART,
    NO_VERSIONS,
    VERSIONS_PART,
    Erasure,
    Versions,
    order_digest,
    person_digest,
)
from streams.errors import StoreFailed
from streams.pseudonym import Alias, same
from streams.refusing import Record, dead_letter


class LookUp(Protocol):
    """The state before the batch."""

    def context(self, user: str) -> Context: ...
    def exposure(self, user: str) -> Exposure: ...
    def versions(self, user: str) -> Versions: ...
    def erasure(self, order: bytes) -> Erasure | None: ...
    def erased(self, user: str, offset: int) -> bool: ...


@dataclass
class Folded:
    """What a batch comes to.

    `contexts` and `exposures` are the new values of those that changed, by user. `events` are the accepted events in
    order, without repeats. `triggers` are the events that call for a list, the newest of each user. `repeats` counts
    what was folded before; `last` is the offset of the batch's last record, -1 if it had none.

    `cleared` are the people of whom everything from before the batch goes, with their ids; what `contexts` and
    `exposures` hold of them is their new life, or empty. `erasures` are the orders that were carried out in it, by
    digest, and `receipts` are owed: the `erase` event and what came of it."""

    contexts: dict[str, Context] = field(default_factory=dict)
    exposures: dict[str, Exposure] = field(default_factory=dict)
    covisits: list[Covisits] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    triggers: dict[str, tuple[Event, int]] = field(default_factory=dict)
    cleared: dict[str, str] = field(default_factory=dict)
    erasures: dict[bytes, Erasure] = field(default_factory=dict)
    receipts: list[tuple[Event, Erasure]] = field(default_factory=list)
    repeats: int = 0
    last: int = -1


def fold_batch(
    records: Iterable[Record],
    state: LookUp,
    *,
    partition: int,
    now_ms: int,
    window_ms: int,
    alias: Alias = same,
) -> Folded:
    """Fold `records`, which stand in offset order in `partition`, after `state`.

    A record that is refused becomes a dead letter, and so does one on which the fold itself fails (code `failed`):
    nothing that a record holds can stop those after it. Where the state cannot be read, `StoreFailed` is raised, and
    nothing of the batch counts. A repeat changes nothing but the stamp; where it is the newest
    event of its user, read again after a crash or a rebalance, it triggers again, since its list may not have come out.
    `alias` gives the name under which a person is kept, and under which feedback is published; `events`, `triggers` and
    `receipts` have the id.
    """
    folded = Folded()
    updates: list[tuple[str, Covisit]] = []
    for record in records:
        folded.last = record.offset
        try:
            event = decode_event(record.value, key=record.key, now_ms=now_ms)
            if event.kind is EventKind.ERASE:
                _erase(folded, event, record.offset, state, now_ms=now_ms, user=alias(event.user))
            else:
                _fold_one(
                    folded,
                    updates,
                    event,
                    record.offset,
                    state,
                    user=alias(event.user),
                    partition=partition,
                    window_ms=window_ms,
                )
        except StoreFailed:
            raise  # the disk's fault, not the record's: it is folded once there is a disk again
        except Exception as error:
            folded.dead.append(dead_letter(EVENTS.name, record, now_ms, error))
    folded.covisits = messages(partition, updates)
    return folded


def _fold_one(
    folded: Folded,
    updates: list[tuple[str, Covisit]],
    event: Event,
    offset: int,
    state: LookUp,
    *,
    user: str,
    partition: int,
    window_ms: int,
) -> None:
    if state.erased(user, offset):
        folded.repeats += 1
        return
    before = folded.contexts.get(user)
    if before is None:
        before = state.context(user)
    if is_repeat(before, event, offset):
        if offset > before.offset:
            folded.contexts[user] = fold(before, event, offset)
        elif offset == before.offset:
            folded.triggers[user] = (event, offset)
        folded.repeats += 1
        return
    # Everything that can fail comes before the first change, so that a failed event leaves nothing half done.
    after = fold(before, event, offset)
    exposure = folded.exposures.get(user)
    if exposure is None:
        exposure = state.exposure(user)
    kept = event if event.user == user else msgspec.structs.replace(event, user=user)
    exposed, feedback = attribute(exposure, kept, window_ms)
    pairs = covisits(before, event, offset, partition)

    folded.contexts[user] = after
    if exposed is not exposure:
        folded.exposures[user] = exposed
    folded.feedback.extend(feedback)
    updates.extend(pairs)
    folded.events.append(event)
    folded.triggers[user] = (event, offset)


def _erase(folded: Folded, event: Event, offset: int, state: LookUp, *, now_ms: int, user: str) -> None:
    """Clear everything of a person up to `offset`. Delivered or sent again, an order clears nothing of what came since.

    Delivered again, it is the record at the same offset: it clears what a crash may have left. Sent again, with the
    same id, it stands further on, where the person may have begun anew. Either has its receipt again.
    """
    order = order_digest(event.id, user)
    known = folded.erasures.get(order) or state.erasure(order)
    before = folded.contexts[user] if user in folded.contexts else state.context(user)
    exposure = folded.exposures[user] if user in folded.exposures else state.exposure(user)
    versions = NO_VERSIONS if user in folded.cleared else state.versions(user)
    if known is None:
        held = {CONTEXT_PART: before is not EMPTY, LISTS_PART: exposure.lists, VERSIONS_PART: versions.names}
        parts = tuple(part for part, there in held.items() if there)
        known = Erasure(order, person_digest(user, order), offset, now_ms, parts, versions.names)
        folded.erasures[order] = known
    folded.receipts.append((event, known))
    if known.offset < offset or before.offset > offset:
        folded.repeats += 1
        return
    folded.cleared[user] = event.user
    folded.contexts[user] = EMPTY
    folded.exposures[user] = NONE
    folded.triggers.pop(user, None)
    folded.events.append(event)
