"""Joining lists with what the person did next. Pure: no clock, no network, no global.

A person has at most `MAX_OPEN` lists waiting; a newer one closes the oldest. A reaction counts for the newest open
list that holds the item, within the window after it was published. A list nobody took from is reported when its window
closes or when it is pushed out, with everything that was shown, so that what was not taken is learned from too.

`MAX_EXPOSURE_BYTES` is the most that one person's open lists take, with every identifier at its greatest length.
"""

import msgspec

from schemas.actions import reward, sentiment
from schemas.events import Event
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.recommendations import Recommendation
from streams.fold.context import digest

MAX_OPEN = 4
MAX_SHOWN = 20
MAX_EXPOSURE_BYTES = 50_000


class Exposed(msgspec.Struct, frozen=True, array_like=True):
    """One published list that waits for a reaction. `taken` says that one came."""

    list: str
    ts: int
    scene: str
    model_version: str | None
    items: tuple[str, ...]
    propensities: tuple[float, ...]
    taken: bool = False


class Exposure(msgspec.Struct, frozen=True, array_like=True):
    """A person's open lists, oldest first."""

    lists: tuple[Exposed, ...] = ()


NONE = Exposure()


def expose(exposure: Exposure, shown: Recommendation) -> tuple[Exposure, tuple[Feedback, ...]]:
    """Remember a list as published; the oldest makes room. The same list again changes nothing."""
    if any(open_.list == shown.id for open_ in exposure.lists):
        return exposure, ()
    new = Exposed(
        list=shown.id,
        ts=shown.ts,
        scene=shown.scene,
        model_version=shown.model_version,
        items=tuple(entry.item for entry in shown.entries[:MAX_SHOWN]),
        propensities=tuple(entry.propensity for entry in shown.entries[:MAX_SHOWN]),
    )
    lists = (*exposure.lists, new)
    pushed, kept = lists[:-MAX_OPEN], lists[-MAX_OPEN:]
    return Exposure(kept), tuple(
        _not_taken(gone, shown.user, shown.ts, Closed.SUPERSEDED) for gone in pushed if not gone.taken
    )


def attribute(exposure: Exposure, event: Event, window_ms: int) -> tuple[Exposure, tuple[Feedback, ...]]:
    """Join `event` with the newest open list that shows its item.

    An event that names a list is joined with that one only. An event from before the list, or from more than
    `window_ms` after it, is nobody's reaction.
    """
    if event.item is None:
        return exposure, ()
    for index in range(len(exposure.lists) - 1, -1, -1):
        shown = exposure.lists[index]
        if event.list is not None and event.list != shown.list:
            continue
        delay = event.ts - shown.ts
        if event.item in shown.items and 0 <= delay <= window_ms:
            position = shown.items.index(event.item)
            taken = msgspec.structs.replace(shown, taken=True)
            lists = (*exposure.lists[:index], taken, *exposure.lists[index + 1 :])
            feeling = sentiment(event.kind, event.value)
            feedback = Feedback(
                id=f"{shown.list}:{digest(event.id):016x}",
                list=shown.list,
                user=event.user,
                scene=shown.scene,
                ts=event.ts,
                outcome=Outcome.REJECTED if feeling < 0 else Outcome.TAKEN,
                reward=reward(event.kind, event.value),
                item=event.item,
                position=position,
                propensity=shown.propensities[position],
                event=event.id,
                kind=event.kind,
                delay_ms=float(delay),
                model_version=shown.model_version,
            )
            return Exposure(lists), (feedback,)
    return exposure, ()


def close(exposure: Exposure, user: str, now_ms: int, window_ms: int) -> tuple[Exposure, tuple[Feedback, ...]]:
    """Take out the lists whose window is over at `now_ms`, and report those that nobody took from."""
    over = tuple(shown for shown in exposure.lists if now_ms - shown.ts > window_ms)
    if not over:
        return exposure, ()
    kept = tuple(shown for shown in exposure.lists if now_ms - shown.ts <= window_ms)
    return Exposure(kept), tuple(_not_taken(shown, user, now_ms, Closed.WINDOW) for shown in over if not shown.taken)


def _not_taken(shown: Exposed, user: str, now_ms: int, closed: Closed) -> Feedback:
    return Feedback(
        id=f"{shown.list}:closed",
        list=shown.list,
        user=user,
        scene=shown.scene,
        ts=now_ms,
        outcome=Outcome.NOT_TAKEN,
        reward=0.0,
        model_version=shown.model_version,
        closed=closed,
        shown=tuple(Shown(item=i, propensity=p) for i, p in zip(shown.items, shown.propensities, strict=True)),
    )
