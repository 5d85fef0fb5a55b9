"""The one definition of a reaction to a list. Pure: no clock, no network, no global.

A user has at most `MAX_OPEN` open lists; a newer one closes the oldest. They are stored in the partition's state, so
they survive a restart. An event about an item is *joined* with the newest open list that shows the item, if it happened
within the window after that list was published. An event that names its list is joined with that one only. Only the
event's own time counts, so an event joins the same list however late it is read.

`attribute` returns all results, and every learner uses them:

- **Training** reads `ouzel.feedback`. A joined event is `taken`, or `rejected` if it is a dislike; the first one of a
list carries everything that the list showed. A list that closes without any is `not_taken`, and carries it too. So
each list is on the topic once, with its propensities, under the name that the user's state is stored under.
- **The hit ratio** counts likes. A like that is joined is a hit. A like within the window of an open list, of an item
that no such list shows, is a miss of the newest. A like without an open list says nothing about lists and is not
counted.
- **The blend** learns from the same likes: it takes a step on the list that `Judged` names, for a hit and for a miss.
After a miss the item can still be among the candidates of the list.

Dislikes and events that are not likes are used for training only. Read again after a crash, an event has the same
result, with the same ids.

`MAX_EXPOSURE_BYTES` is the maximum size of one user's open lists, with every identifier at its greatest length.
"""

import math
from collections.abc import Sequence
from typing import TypeVar

import msgspec

from schemas.actions import ITEM_KINDS, reward, sentiment
from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.recommendations import Entry, Recommendation
from streams.fold.context import digest

MAX_OPEN = 4
MAX_SHOWN = 20
MAX_EXPOSURE_BYTES = 50_000

N = TypeVar("N", int, float)

_ITEM_KINDS = frozenset(ITEM_KINDS)


class Exposed(msgspec.Struct, frozen=True, array_like=True):
    """One published list that waits for a reaction. `taken` says whether one arrived; `first` is the digest of its
    event's id, 0 if none arrived or an older version did not note it. `context` is that of the list, `chance` and
    `history` are as in its feedback; -1 if they are not known."""

    list: str
    ts: int
    scene: str
    model_version: str | None
    items: tuple[str, ...]
    propensities: tuple[float, ...]
    taken: bool = False
    first: int = 0
    context: str | None = None
    chance: float = -1.0
    history: int = -1


class Exposure(msgspec.Struct, frozen=True, array_like=True):
    """A user's open lists, oldest first."""

    lists: tuple[Exposed, ...] = ()


NONE = Exposure()


class Judged(msgspec.Struct, frozen=True, gc=False):
    """What a like says about a user's lists.

    `list` is the one that it is about: the newest that shows the item, or the newest of all. `position` is the item's
    place in that list, from 0; None is a miss. `open` are all lists that the like could have been joined with, newest
    first, at most `MAX_OPEN`: a ranking that is compared with the published lists must be compared over all of them.
    """

    list: str
    item: str
    position: int | None
    open: tuple[str, ...]


Attributed = tuple[Exposure, Feedback | None, Judged | None]
"""The open lists after an event, the reaction if it is one, and the judgement of the lists if it is a like."""


def expose(exposure: Exposure, shown: Recommendation, history: int = -1) -> tuple[Exposure, tuple[Feedback, ...]]:
    """Open a published list that was made of `history` events; evicts the oldest. The same list again changes
    nothing."""
    if any(open_.list == shown.id for open_ in exposure.lists):
        return exposure, ()
    new = Exposed(
        list=shown.id,
        ts=shown.ts,
        scene=shown.scene,
        model_version=shown.model_version,
        items=tuple(entry.item for entry in shown.entries[:MAX_SHOWN]),
        propensities=tuple(entry.propensity for entry in shown.entries[:MAX_SHOWN]),
        context=shown.context,
        chance=chance_of(shown.entries[:MAX_SHOWN]),
        history=history,
    )
    lists = (*exposure.lists, new)
    evicted, left = lists[:-MAX_OPEN], lists[-MAX_OPEN:]
    return Exposure(left), tuple(
        _not_taken(gone, shown.user, shown.ts, Closed.SUPERSEDED) for gone in evicted if not gone.taken
    )


def attribute(exposure: Exposure, event: Event, window_ms: int) -> Attributed:
    """Join `event` with the newest open list that shows its item, and judge the lists by it: see the module.

    An event from before a list, or more than `window_ms` after it, says nothing about that list.
    """
    item, lists, named, ts = event.item, exposure.lists, event.list, event.ts
    if item is None or event.kind not in _ITEM_KINDS:
        return exposure, None, None
    newest = joined = -1
    for place in range(len(lists) - 1, -1, -1):
        one = lists[place]
        if 0 <= ts - one.ts <= window_ms and (named is None or named == one.list):
            if newest < 0:
                newest = place
            if item in one.items:
                joined = place
                break
    if newest < 0:
        return exposure, None, None
    feeling = sentiment(event.kind, event.value)
    if joined < 0 and feeling <= 0:
        return exposure, None, None
    about = lists[newest if joined < 0 else joined]
    position = None if joined < 0 else about.items.index(item)
    judged = None
    if feeling > 0:
        open_ = [
            one.list
            for one in reversed(lists)
            if 0 <= ts - one.ts <= window_ms and (named is None or named == one.list)
        ]
        judged = Judged(about.list, item, position, tuple(open_))
    if position is None:
        return exposure, None, judged
    mark = digest(event.id)
    first = not about.taken or about.first == mark
    feedback = Feedback(
        id=f"{about.list}:{mark:016x}",
        list=about.list,
        user=event.user,
        scene=about.scene,
        ts=event.ts,
        outcome=Outcome.REJECTED if feeling < 0 else Outcome.TAKEN,
        reward=reward(event.kind, event.value),
        value=event.value if event.kind is EventKind.RATE else None,
        item=item,
        position=position,
        propensity=about.propensities[position],
        event=event.id,
        kind=event.kind,
        delay_ms=float(event.ts - about.ts),
        model_version=about.model_version,
        shown=_entries(about) if first else (),
        context=about.context,
        chance=_known(about.chance) if first else None,
        history=_known(about.history) if first else None,
    )
    if not about.taken:
        taken = msgspec.structs.replace(about, taken=True, first=mark)
        exposure = Exposure((*lists[:joined], taken, *lists[joined + 1 :]))
    return exposure, feedback, judged


def close(exposure: Exposure, user: str, now_ms: int, window_ms: int) -> tuple[Exposure, tuple[Feedback, ...]]:
    """Remove the lists whose window has ended at `now_ms`; reports those without a reaction."""
    over = tuple(shown for shown in exposure.lists if now_ms - shown.ts > window_ms)
    if not over:
        return exposure, ()
    left = tuple(shown for shown in exposure.lists if now_ms - shown.ts <= window_ms)
    return Exposure(left), tuple(_not_taken(shown, user, now_ms, Closed.WINDOW) for shown in over if not shown.taken)


def _not_taken(shown: Exposed, user: str, now_ms: int, closed: Closed) -> Feedback:
    return Feedback(
        id=f"{shown.list}:closed",
        list=shown.list,
        user=user,
        scene=shown.scene,
        ts=now_ms,
        outcome=Outcome.NOT_TAKEN,
        reward=0.0,
        delay_ms=float(max(0, now_ms - shown.ts)),
        model_version=shown.model_version,
        closed=closed,
        shown=_entries(shown),
        context=shown.context,
        chance=_known(shown.chance),
        history=_known(shown.history),
    )


def chance_of(entries: Sequence[Entry]) -> float:
    """The model's probability that the next like is one of the entries: the sum of theirs, since one like has one item.
    The model's score of an item is its log-odds. -1 if the model scored none."""
    chances = [1.0 / (1.0 + math.exp(-max(-700.0, entry.model))) for entry in entries if entry.model is not None]
    return min(1.0, sum(chances)) if chances else -1.0


def _known(value: N) -> N | None:
    return value if value >= 0 else None


def _entries(of: Exposed) -> tuple[Shown, ...]:
    return tuple(Shown(item=item, propensity=chance) for item, chance in zip(of.items, of.propensities, strict=True))
