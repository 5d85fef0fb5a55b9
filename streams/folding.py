"""One batch of one partition of `ouzel.events`, from bytes to everything that follows from it. Pure.

The fold is deterministic: the same records after the same state give the same result, so that a batch that was cut off
by a crash and is read again comes out the same, with the same ids on everything that it publishes.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from schemas.codec import decode_event
from schemas.dead_letters import DeadLetter
from schemas.events import Event
from schemas.feedback import Feedback
from schemas.neighbours import Covisit, Covisits
from schemas.topics import EVENTS
from streams.attribution import Exposure, attribute
from streams.context import digest
from streams.covisits import covisits, messages
from streams.draft import Draft
from streams.refusing import Record, dead_letter


class LookUp(Protocol):
    """The state before the batch. The drafts grow as the batch is folded; the exposures are values."""

    def draft(self, user: str) -> Draft: ...
    def exposure(self, user: str) -> Exposure: ...


@dataclass
class Folded:
    """What a batch comes to.

    `drafts` are the contexts that changed, by user; `exposures` are the new values of the open lists that did. `events`
    are the accepted events in order, without repeats. `triggers` are the events that call for a list, the newest of
    each user. `repeats` counts what was folded before; `last` is the offset of the batch's last record, -1 if it had
    none.
    """

    drafts: dict[str, Draft] = field(default_factory=dict)
    exposures: dict[str, Exposure] = field(default_factory=dict)
    covisits: list[Covisits] = field(default_factory=list)
    feedback: list[Feedback] = field(default_factory=list)
    dead: list[DeadLetter] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    triggers: dict[str, tuple[Event, int]] = field(default_factory=dict)
    repeats: int = 0
    last: int = -1


def fold_batch(
    records: Iterable[Record],
    state: LookUp,
    *,
    partition: int,
    now_ms: int,
    window_ms: int,
    tell: bool = True,
) -> Folded:
    """Fold `records`, which stand in offset order in `partition`, after `state`. `tell`: say what they tell of items.

    A record that is refused becomes a dead letter, and so does one on which the fold itself fails (code `failed`):
    nothing that a record holds can stop those after it. A repeat changes nothing but the stamp; where it is the newest
    event of its user, read again after a crash or a rebalance, it triggers again, since its list may not have come out.
    """
    folded = Folded()
    updates: list[tuple[str, Covisit]] = []
    people: dict[str, _Person] = {}
    offset = -1
    for record in records:
        offset = record.offset
        try:
            event = decode_event(record.value, key=record.key, now_ms=now_ms)
            user = event.user
            person = people.get(user)
            if person is None:
                person = people[user] = _Person(state.draft(user), state.exposure(user))
            draft = person.draft
            mark = digest(event.id)
            if mark in draft.ids or offset <= draft.offset:
                if offset > draft.offset:
                    draft.move(offset)
                    folded.drafts[user] = draft
                elif offset == draft.offset:
                    folded.triggers[user] = (event, offset)
                folded.repeats += 1
                continue
            # Everything that can fail comes before the first change, so that a failed event leaves nothing half done.
            exposure = person.exposure
            feedback: tuple[Feedback, ...] = ()
            if exposure.lists:
                exposure, feedback = attribute(exposure, event, window_ms)
            pairs = covisits(draft, event, offset, partition) if tell else ()
            draft.add(event, mark, offset)
        except Exception as error:
            folded.dead.append(dead_letter(EVENTS.name, partition, record, now_ms, error))
            continue
        person.exposure = exposure
        folded.drafts[user] = draft
        folded.feedback.extend(feedback)
        updates.extend(pairs)
        folded.events.append(event)
        folded.triggers[user] = (event, offset)
    folded.last = offset
    for user, person in people.items():
        if person.exposure is not person.before:
            folded.exposures[user] = person.exposure
    folded.covisits = messages(partition, updates)
    return folded


class _Person:
    """Somebody of whom the batch tells: the context as it grows, and the open lists before and after."""

    __slots__ = ("before", "draft", "exposure")

    def __init__(self, draft: Draft, exposure: Exposure) -> None:
        self.draft = draft
        self.before = self.exposure = exposure
