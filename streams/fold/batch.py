"""Folds one batch of one partition of `ouzel.events`: from bytes to all results. Pure.

The fold is deterministic: the same records after the same state give the same result. So a batch that a crash
interrupted and that is read again gives the same outputs, with the same ids.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from schemas.codec import decode_event
from schemas.dead_letters import DeadLetter
from schemas.events import Event, EventKind
from schemas.feedback import Feedback
from schemas.limits import OLDEST_EVENT_MS
from schemas.neighbours import Covisit, Covisits
from schemas.topics import EVENTS
from streams.dead_letters import Record, dead_letter
from streams.errors import StoreFailed
from streams.fold.attribution import NONE, Exposure, Judged, attribute
from streams.fold.context import EMPTY, digest
from streams.fold.covisits import covisits, messages
from streams.fold.draft import Draft
from streams.privacy.erasure import (
    CONTEXT_PART,
    LISTS_PART,
    NO_VERSIONS,
    VERSIONS_PART,
    Erasure,
    Versions,
    order_digest,
    user_digest,
)
from streams.privacy.pseudonyms import Alias, same

_ERASE = EventKind.ERASE  # looking it up in the enumeration costs as much as a few of the lines below

Call = tuple[Event, int, int]
"""An event that calls for a list, its offset, and its age in milliseconds when it was folded; below 0 if the
producer's clock is ahead."""


class LookUp(Protocol):
    """The state before the batch. Drafts grow as the batch is folded; exposures are values. No event after `erased_to`
    was erased. Users have the names that the state uses."""

    @property
    def erased_to(self) -> int: ...
    def draft(self, user: str) -> Draft: ...
    def exposure(self, user: str) -> Exposure: ...
    def versions(self, user: str) -> Versions: ...
    def erasure(self, order: bytes) -> Erasure | None: ...
    def erased(self, user: str, offset: int) -> bool: ...


@dataclass
class Folded:
    """The results of a batch. Users have the names that the state uses: their pseudonyms, if there are any.

    `drafts` are the changed contexts, `exposures` the new values of the changed open lists. `judged` is what likes say
    about lists, each with the offset of the event, ascending. `kinds` counts the accepted events without repeats.
    `triggers` are the events that call for a list, the newest of each user; `stale` counts those too old to call for
    one, without repeats. `repeats` counts the events that were folded before, `unseen` the marks of seen items dropped
    because a user had too many; `last` is the offset of the last folded record, -1 without one.

    `cleared` are the users whose data from before the batch is deleted, with their ids; `drafts` and `exposures` hold
    only data from after it. `erasures` are the orders executed in the batch, by digest. `receipts` are to be published:
    the `erase` event, its result, and the name that the user's state was stored under.
    """

    drafts: dict[str, Draft] = field(default_factory=dict)
    exposures: dict[str, Exposure] = field(default_factory=dict)
    covisits: list[Covisits] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    judged: list[tuple[Judged, int]] = field(default_factory=list)
    kinds: dict[EventKind, int] = field(default_factory=lambda: dict.fromkeys(EventKind, 0))
    triggers: dict[str, Call] = field(default_factory=dict)
    cleared: dict[str, str] = field(default_factory=dict)
    erasures: dict[bytes, Erasure] = field(default_factory=dict)
    receipts: list[tuple[Event, Erasure, str]] = field(default_factory=list)
    repeats: int = 0
    stale: int = 0
    unseen: int = 0
    last: int = -1


def fold_batch(  # noqa: PLR0912, PLR0915 - one loop without calls into others: it is most of what an event costs
    records: Iterable[Record],
    state: LookUp,
    *,
    partition: int,
    now_ms: int,
    window_ms: int,
    alias: Alias = same,
    tell: bool = True,
    max_age_ms: float = float("inf"),
    accepted_from_ms: int = OLDEST_EVENT_MS,
    clock: Callable[[], float] | None = None,
    until: float = 0.0,
) -> Folded:
    """Fold `records`, which are in offset order in `partition`, after `state`.

    `now_ms` is the single clock reading from which all events of the batch get their age: one older than `max_age_ms`
    calls for no list. One from before `accepted_from_ms` is refused. `tell`: report co-visits. With a `clock`, no
    record except the first is begun once it reads `until`: the rest is for another call, after `last`.

    A refused record becomes a dead letter, and so does one on which the fold itself fails (code `failed`): no record
    can block those after it. If the state cannot be read, `StoreFailed` is raised, and nothing of the batch counts. A
    repeat changes only the stamp. An event that is read again after a crash or a rebalance calls for its list again,
    since the list may not have been published, unless it is too old.

    `alias` returns the name under which a user's state is stored and feedback is published. It is called once per
    event; the events in `triggers` and `receipts` have the id.
    """
    folded = Folded()
    updates: list[tuple[str, Covisit]] = []
    users: dict[str, _User] = {}
    offset = -1
    drafts, triggers, kinds = folded.drafts, folded.triggers, folded.kinds
    erased_to, aliased = state.erased_to, alias is not same
    for record in records:
        if clock is not None and offset >= 0 and clock() >= until:
            break
        offset = record.offset
        try:
            event = decode_event(record.value, key=record.key, now_ms=now_ms, accepted_from_ms=accepted_from_ms)
            user = alias(event.user) if aliased else event.user
            if event.kind is _ERASE:
                _erase(folded, users, event, offset, state, now_ms=now_ms, user=user)
                continue
            if offset <= erased_to and state.erased(user, offset):
                folded.repeats += 1
                continue
            held = users.get(user)
            if held is None:
                held = users[user] = _User(state.draft(user), state.exposure(user))
            draft = held.draft
            mark = digest(event.id)
            age_ms = now_ms - event.ts
            if mark in draft.ids or offset <= draft.offset:
                if offset > draft.offset:
                    draft.move(offset)
                    drafts[user] = draft
                elif age_ms <= max_age_ms:
                    triggers[user] = (event, offset, age_ms)
                folded.repeats += 1
                continue
            # Everything that can fail comes before the first change, so that a failed event changes nothing.
            exposure = held.exposure
            feedback: Feedback | None = None
            judged: Judged | None = None
            if exposure.lists:
                kept = event if event.user == user else msgspec.structs.replace(event, user=user)
                exposure, feedback, judged = attribute(exposure, kept, window_ms)
            pairs = covisits(draft, event, offset, partition) if tell else ()
            draft.add(event, mark, offset)
        except StoreFailed:
            raise  # the disk's fault, not the record's: it is folded once the disk works again
        except Exception as error:
            folded.dead.append(dead_letter(EVENTS.name, partition, record, now_ms, error))
            continue
        held.exposure = exposure
        drafts[user] = draft
        if feedback is not None:
            folded.feedback.append(feedback)
        if judged is not None:
            folded.judged.append((judged, offset))
        if pairs:
            updates += pairs
        kinds[event.kind] += 1
        if age_ms <= max_age_ms:
            triggers[user] = (event, offset, age_ms)
        else:
            folded.stale += 1
    folded.last = offset
    for user, held in users.items():
        if held.exposure is not held.before:
            folded.exposures[user] = held.exposure
        if held.draft.dropped:
            folded.unseen += held.draft.dropped
            held.draft.dropped = 0
    folded.covisits = messages(partition, updates)
    return folded


class _User:
    """A user with events in the batch: the growing context, and the open lists before and after."""

    __slots__ = ("before", "draft", "exposure")

    def __init__(self, draft: Draft, exposure: Exposure) -> None:
        self.draft = draft
        self.before = self.exposure = exposure


def _erase(
    folded: Folded,
    users: dict[str, "_User"],
    event: Event,
    offset: int,
    state: LookUp,
    *,
    now_ms: int,
    user: str,
) -> None:
    """Clear everything of a user up to `offset`. If an order is delivered or sent again, later events stay.

    Delivered again, it is the record at the same offset: it clears what a crash may have left. Sent again, with the
    same id, it has a later offset, after the user's newer events. Both get the receipt again.
    """
    order = order_digest(event.id, user)
    known = folded.erasures.get(order) or state.erasure(order)
    held = users.get(user)
    if held is None:
        held = users[user] = _User(state.draft(user), state.exposure(user))
    versions = NO_VERSIONS if user in folded.cleared else state.versions(user)
    if known is None:
        found = {
            CONTEXT_PART: held.draft.offset >= 0,
            LISTS_PART: held.exposure.lists,
            VERSIONS_PART: versions.names,
        }
        parts = tuple(part for part, some in found.items() if some)
        known = Erasure(order, user_digest(user, order), offset, now_ms, parts, versions.names)
        folded.erasures[order] = known
    folded.receipts.append((event, known, user))
    if known.offset < offset or held.draft.offset > offset:
        folded.repeats += 1
        return
    folded.cleared[user] = event.user
    # A new draft: the old one belongs to the deleted state.
    users[user] = _User(Draft(EMPTY, held.draft.marking), NONE)
    folded.drafts.pop(user, None)
    folded.exposures.pop(user, None)
    folded.triggers.pop(user, None)
    folded.kinds[event.kind] += 1
