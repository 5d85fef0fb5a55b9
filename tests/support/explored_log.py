"""A training log of lists that explored, by users whose next like does not depend on what they are shown.

Lists are drawn from Plackett-Luce over every item that the user has not met, by the scores of a good ranking; each
entry's propensity is its chance given those above. Events and feedback are logged as workers log them.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from inference.off_policy.plackett_luce import draw, walk
from schemas.codec import encode
from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback, Outcome, Shown
from schemas.items import Item
from schemas.topics import EVENTS, FEEDBACK
from tests.streams.training_log.world import DAY_MS, NOW, Record, World

SHELVES, EACH = 4, 8
ITEMS = tuple(
    Item(id=f"item-{shelf}-{number}", title=f"Shelf {shelf} number {number}", attributes=(f"shelf {shelf}",))
    for shelf in range(SHELVES)
    for number in range(EACH)
)
LENGTH = 5
STEP_MS = 20_000
WINDOW_MS = 300_000
DAY = NOW // DAY_MS


def explored(users: int, seed: int, *, temperature: float = 1.0, explores: bool = True) -> Iterator[Event | Feedback]:
    """Users like eight items each, mostly of one shelf and popular ones, and get a list after each but the last."""
    rng = np.random.default_rng(seed)
    popular = rng.normal(0, 0.8, len(ITEMS))
    shelves = np.arange(len(ITEMS)) // EACH
    at = NOW
    for user in range(users):
        taste = popular + 1.5 * (shelves == rng.integers(SHELVES))
        met: list[int] = []
        pending: Feedback | None = None
        for number in range(8):
            at += STEP_MS
            left = taste.copy()
            left[met] = -np.inf
            item = int(draw(left, rng, 1)[0])
            event = Event(id=f"e-{user}-{number}", user=f"u-{user}", kind=EventKind.LIKE, ts=at, item=ITEMS[item].id)
            if pending is not None:
                yield _closed(pending, event)
            yield event
            met.append(item)
            left[item] = -np.inf
            scores = (left + rng.normal(0, 0.3, len(ITEMS))) / temperature
            places = draw(scores, rng, LENGTH) if explores else np.argsort(-scores)[:LENGTH].astype(np.int64)
            chances = walk(scores, places, np.zeros(len(ITEMS))).chances if explores else np.ones(LENGTH)
            shown = tuple(
                Shown(item=ITEMS[place].id, propensity=float(chance))
                for place, chance in zip(places, chances, strict=True)
            )
            pending = Feedback(
                id=f"l-{user}-{number}:closed", list=f"l-{user}-{number}", user=f"u-{user}", scene="default",
                ts=at + 100 + WINDOW_MS, outcome=Outcome.NOT_TAKEN, reward=0.0, delay_ms=float(WINDOW_MS),
                closed=Closed.WINDOW, shown=shown,
            )  # fmt: skip
        assert pending is not None
        yield pending


def _closed(pending: Feedback, event: Event) -> Feedback:
    """What becomes of a list with the next event: taken if it shows the item."""
    assert event.item is not None
    published = pending.ts - WINDOW_MS
    for position, entry in enumerate(pending.shown):
        if entry.item == event.item:
            return Feedback(
                id=f"{pending.list}:{event.id}", list=pending.list, user=pending.user, scene=pending.scene,
                ts=event.ts, outcome=Outcome.TAKEN, reward=1.0, item=event.item, position=position,
                propensity=entry.propensity, event=event.id, kind=event.kind,
                delay_ms=float(event.ts - published), shown=pending.shown,
            )  # fmt: skip
    return pending


def write(root: Path, users: int, seed: int, **how: float) -> None:
    """The log under `root`, of the day `DAY`."""
    world = World(root)
    records: dict[str, list[Record]] = {EVENTS.name: [], FEEDBACK.name: []}
    for one in explored(users, seed, **how):  # type: ignore[arg-type]
        topic = EVENTS.name if isinstance(one, Event) else FEEDBACK.name
        into = records[topic]
        world.now = max(world.now, one.ts)
        into.append(Record(len(into), one.user.encode(), encode(one), one.ts))
    for topic, rows in records.items():
        for begin in range(0, len(rows), 1_000):
            world.logged(rows[begin : begin + 1_000], topic)
