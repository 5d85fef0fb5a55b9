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
from streams.context import Context, fold, is_repeat
from streams.covisits import covisits, messages
from streams.refusing import Record, dead_letter


class LookUp(Protocol):
    """The state before the batch."""

    def context(self, user: str) -> Context: ...
    def exposure(self, user: str) -> Exposure: ...


@dataclass
class Folded:
    """What a batch comes to.

    `contexts` and `exposures` are the new values of those that changed, by user. `events` are the accepted events in
    order, without repeats. `triggers` are the events that call for a list, the newest of each user. `repeats` counts
    what was folded before; `last` is the offset of the batch's last record, -1 if it had none.
    """

    contexts: dict[str, Context] = field(default_factory=dict)
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
    """Fold `records`, which stand in offset order in `partition`, after `state`.

    A record that is refused becomes a dead letter, and so does one on which the fold itself fails (code `failed`):
    nothing that a record holds can stop those after it. A repeat changes nothing but the stamp; where it is the newest
    event of its user, read again after a crash or a rebalance, it triggers again, since its list may not have come out.
    """
    folded = Folded()
    updates: list[tuple[str, Covisit]] = []
    for record in records:
        folded.last = record.offset
        try:
            event = decode_event(record.value, key=record.key, now_ms=now_ms)
            _fold_one(folded, updates, event, record.offset, state, partition=partition, window_ms=window_ms, tell=tell)
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
    partition: int,
    window_ms: int,
    tell: bool,
) -> None:
    user = event.user
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
    exposed, feedback = attribute(exposure, event, window_ms)
    pairs = covisits(before, event, offset, partition) if tell else ()

    folded.contexts[user] = after
    if exposed is not exposure:
        folded.exposures[user] = exposed
    folded.feedback.extend(feedback)
    updates.extend(pairs)
    folded.events.append(event)
    folded.triggers[user] = (event, offset)
