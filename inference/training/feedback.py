"""What to train on from `ouzel.feedback`: events that reacted to lists, and what lists showed in vain. Pure.

A reaction becomes an event. Lists show more often what the policy already prefers, so an event counts the more, the
less likely its item was to be shown where it was: 1 over its propensity, at most `CLIP`, since a single event of an
unlikely item must not decide a batch.

What a list showed without a reaction is evidence too: an `Untaken` list, whose entries count by the same weights.
It comes from lists that closed without a reaction, and from those that had one: their first reaction carries the list.

Records written before feedback carried the rating (`value`) have it derived from the reward, (value - 3) / 2 and at
least -1. That is exact from 1 upwards; a rating below 1 becomes 1, which says the same of the item: disliked much.
"""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeVar

import msgspec

from schemas.events import Event, EventKind
from schemas.feedback import Feedback, Outcome, Shown
from schemas.privacy import ErasureReceipt

CLIP = 10.0

_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)


class _Line(msgspec.Struct, frozen=True):
    """A line as `ouzel read` prints it."""

    value: Feedback | None = None


class _ReceiptLine(msgspec.Struct, frozen=True):
    value: ErasureReceipt | None = None


M = TypeVar("M", bound=msgspec.Struct)


@dataclass(frozen=True)
class Untaken:
    """What a list showed `user` in `scene` without a reaction: `items`, and how much each counts, 1 to `CLIP`.

    `published` and `closed` are milliseconds since 1970: it was shown then, and is known not to be taken by then.
    """

    user: str
    scene: str
    published: int
    closed: int
    items: tuple[str, ...]
    weights: tuple[float, ...]


@dataclass
class Told:
    """`events` in the order of the lines, `weights` by their ids; `untaken` lists in the order in which they were first
    named. Counts: `idle` lists were not taken, `partial` ones had a reaction and more entries; `refused` lines are no
    feedback; `erased` ones are of users who were erased since."""

    events: list[Event] = field(default_factory=list)
    weights: dict[str, float] = field(default_factory=dict)
    untaken: list[Untaken] = field(default_factory=list)
    idle: int = 0
    partial: int = 0
    refused: int = 0
    erased: int = 0

    def __str__(self) -> str:
        return (
            f"{len(self.events):,} events, {self.idle:,} lists not taken, {self.partial:,} lists taken in part, "
            f"{self.refused:,} lines refused, {self.erased:,} of erased users"
        )


@dataclass
class _List:
    """What the lines say of one list so far. `closed`: the time of the last line about it."""

    user: str
    scene: str
    published: int
    closed: int
    shown: tuple[Shown, ...] = ()
    reacted: set[str] = field(default_factory=set)


def weight(propensity: float | None) -> float:
    """How much an entry counts that was shown with this probability; 1 where it is not known."""
    if propensity is None:
        return 1.0
    return CLIP if propensity * CLIP <= 1.0 else 1.0 / propensity


def erased(lines: Iterable[bytes | str]) -> dict[str, int]:
    """Until when users were erased, by user (or pseudonym), milliseconds since 1970: nothing older is to be learned.

    `lines` are receipts, each alone or as `ouzel read privacy-receipts` prints it; others are ignored.
    """
    found = (_decoded(line, _ReceiptLine, ErasureReceipt) for line in lines if line.strip())
    return erased_until(one for one in found if one is not None)


def erased_until(receipts: Iterable[ErasureReceipt]) -> dict[str, int]:
    """As `erased`, of decoded receipts."""
    since: dict[str, int] = {}
    for found in receipts:
        for user in {found.user, found.person or found.user}:
            since[user] = max(since.get(user, 0), found.ts)
    return since


def read(lines: Iterable[bytes | str], since: Mapping[str, int] = MappingProxyType({})) -> Told:
    """What lines of JSON say, each feedback alone or as `ouzel read` prints it. Repeats count once.

    Of users in `since`, only what is younger than that is used.
    """
    refused = 0

    def decoded() -> Iterator[Feedback]:
        nonlocal refused
        for line in lines:
            found = _decoded(line, _Line, Feedback) if line.strip() else None
            if found is not None:
                yield found
            else:
                refused += bool(line.strip())

    told = reactions(decoded(), since)
    told.refused = refused
    return told


def reactions(feedback: Iterable[Feedback], since: Mapping[str, int] = MappingProxyType({})) -> Told:
    """As `read`, of decoded feedback."""
    told = Told()
    lists: dict[str, _List] = {}
    for found in feedback:
        if found.ts <= since.get(found.user, -1):
            told.erased += 1
        else:
            _note(lists, found)
            event = None if found.event in told.weights else _event_of(found)
            if event is not None:
                told.weights[event.id] = weight(found.propensity)
                told.events.append(event)
    for each in lists.values():
        rest = [one for one in each.shown if one.item not in each.reacted]
        if not rest:
            continue
        told.idle += not each.reacted
        told.partial += bool(each.reacted)
        told.untaken.append(
            Untaken(
                each.user,
                each.scene,
                each.published,
                each.closed,
                tuple(one.item for one in rest),
                tuple(weight(one.propensity) for one in rest),
            )
        )
    return told


def _note(lists: dict[str, _List], found: Feedback) -> None:
    published = found.ts - int(found.delay_ms or 0.0)
    of = lists.setdefault(found.list, _List(found.user, found.scene, published, found.ts))
    of.closed = max(of.closed, found.ts)
    of.published = min(of.published, published)
    of.shown = of.shown or found.shown
    if found.outcome is not Outcome.NOT_TAKEN and found.item is not None:
        of.reacted.add(found.item)


def _event_of(found: Feedback) -> Event | None:
    if found.outcome is Outcome.NOT_TAKEN or found.item is None or found.kind is None or found.event is None:
        return None
    value = found.value
    if found.kind is EventKind.RATE and value is None:
        value = min(5.0, max(0.0, 2.0 * found.reward + 3.0))
    return Event(
        id=found.event, user=found.user, kind=found.kind, ts=found.ts, item=found.item, scene=found.scene, value=value
    )


def _decoded(line: bytes | str, printed: Any, kind: type[M]) -> M | None:
    with suppress(*_UNREADABLE):
        found: M | None = msgspec.json.decode(line, type=printed).value
        if found is not None:
            return found
    with suppress(*_UNREADABLE):
        return msgspec.json.decode(line, type=kind)
    return None
