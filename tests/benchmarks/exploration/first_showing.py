"""How long new items wait for their first showing: a simulation on the list path of a worker, with a fake clock.

Users of MovieLens-100K do what they did, one event each `EVENT_SECONDS`, and get a list for each. Some films are
withheld and published one after the other; no user reacts to them, so only the list path can make them known.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import replace
from random import Random
from typing import NamedTuple

import msgspec

from deploy.datasets.dataset import Dataset, likes
from schemas.events import Event, EventKind
from schemas.items import Item
from streams.clock import Clock
from streams.fold.covisits import covisits, messages
from streams.ranking.exploration import Explorations
from streams.ranking.settings import Ranking
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.patience import PATIENCE

EVENT_SECONDS = 5
WARM_UP = 2_000
"""Events before the first list: users have a past then."""

START_MS = 1_700_000_000_000


class Waits(NamedTuple):
    """How many lists were published between each new item's publication and its first showing, None if it was not
    shown; the number of lists; the number of entries that showed new items; the first showings that
    `ouzel_new_item_seconds` counted, and their mean."""

    lists: tuple[int | None, ...]
    made: int
    showings: int
    observed: int
    mean_seconds: float


class Site:
    """A worker's list path under a fake clock, with a catalogue without the `withheld` items and an item graph."""

    def __init__(self, items: Iterable[Item], exploration: Explorations) -> None:
        self.now_ms = START_MS
        clock = Clock(now_ms=lambda: self.now_ms, monotonic=lambda: self.now_ms / 1000)
        self.bench = Bench(None, ranking=Ranking(exploration=exploration, compared=1_000), clock=clock)
        self.ranker = self.bench.lists._ranker
        for number in range(40):
            self.ranker.catalogue.withdraw(f"film-{number}")
        for item in items:
            self.ranker.catalogue.add(item)

    def did(self, event: Event, *, listed: bool) -> None:
        """Count and fold what a user did, as of now; with a list for it if `listed`."""
        self.now_ms += EVENT_SECONDS * 1000
        bench, item = self.bench, event.item or ""
        kind = EventKind.LIKE if likes(event) else EventKind.VIEW
        now = Event(id="", user=event.user, kind=kind, ts=self.now_ms, item=item)
        for told in messages(0, covisits(bench.state.context(event.user), now, bench.offset + 1, 0)):
            self.ranker.graph.learn(told)
        bench.did(event.user, item, kind, age_ms=0 if listed else bench.max_age_ms + 1)

    async def shown(self) -> list[str]:
        """The items of the list that was asked for last."""
        async with asyncio.timeout(PATIENCE):
            while not self.bench.sent or self.bench.lists.busy():  # noqa: ASYNC110 - the list path says nothing
                await asyncio.sleep(0)
        made = self.bench.made()
        self.bench.sent.clear()
        return [entry.item for one in made for entry in one.entries]


async def waits(
    dataset: Dataset, stream: Sequence[Event], *, exploration: Explorations, lists: int, new: int, seed: int = 0
) -> Waits:
    """Make `lists` lists, and publish `new` items in the first half of them, at equal intervals."""
    waiting = Random(seed).sample(dataset.items, new)
    withheld = {item.id for item in waiting}
    site = Site((item for item in dataset.items if item.id not in withheld), exploration)
    events = [event for event in stream if event.item not in withheld][: WARM_UP + lists]
    for event in events[:WARM_UP]:
        site.did(event, listed=False)
    published: dict[str, int] = {}
    first: dict[str, int] = {}
    showings, every = 0, max(1, lists // 2 // new)
    async with running(site.bench):
        for made, event in enumerate(events[WARM_UP:]):
            if made % every == 0 and waiting:
                fresh = msgspec.structs.replace(waiting.pop(), published=site.now_ms)
                site.ranker.catalogue.add(fresh)
                published[fresh.id] = made
            site.did(event, listed=True)
            for item in await site.shown():
                if item in published:
                    showings += 1
                    first.setdefault(item, made)
    count = site.bench.count("ouzel_new_item_seconds_count")
    return Waits(
        lists=tuple(first[item] - at if item in first else None for item, at in published.items()),
        made=len(events) - WARM_UP,
        showings=showings,
        observed=int(count),
        mean_seconds=site.bench.count("ouzel_new_item_seconds_sum") / max(1.0, count),
    )


def without_new(of: Explorations) -> Explorations:
    """The same without places for new items."""
    return replace(of, default=replace(of.default, new_share=0.0), scenes={})
