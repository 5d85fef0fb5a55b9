"""The list path tells a live view while one is open, and only then."""

import pytest

from inference.scorers.scripted import ScriptedScorer
from schemas.events import Event
from schemas.recommendations import Recommendation
from streams.ranking.comparison import Compared
from streams.serving.hit_rate import Pair
from streams.serving.watching import Watchers
from tests.streams.serving.test_shadow import comparing, outcome, pair
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.roles import versions


class Told:
    """A watcher that notes what it is told."""

    def __init__(self, *, watching: bool) -> None:
        self.watching = watching
        self.events: list[Event] = []
        self.lists: list[tuple[Recommendation, Compared | None]] = []
        self.pairs: list[tuple[str, str, Pair]] = []
        self.revoked: list[int] = []

    def asked(self, event: Event) -> None:
        self.events.append(event)

    def published(self, made: Recommendation, compared: Compared | None) -> None:
        self.lists.append((made, compared))

    def paired(self, user: str, name: str, pair: Pair) -> None:
        self.pairs.append((user, name, pair))

    def forget(self, user: str) -> bool:
        return user == "u"

    def revoke(self, partition: int) -> None:
        self.revoked.append(partition)


async def test_open_view_is_told_of_events_and_of_published_lists() -> None:
    told = Told(watching=True)
    async with running(Bench(ScriptedScorer(), watcher=told)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bool(told.lists))
    assert [event.id for event in told.events] == ["e0"]
    (made, compared) = told.lists[0]
    assert [made] == bench.made()
    assert compared is not None
    assert (len(compared.without_model), len(compared.item_knn)) == (10, len(compared.popular))


@pytest.mark.parametrize("watching", [True, False])
async def test_open_view_is_told_how_both_versions_order_a_list(watching: bool) -> None:
    told = Told(watching=watching)
    async with running(await comparing(versions(1, 2), watcher=told)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
    (made,) = bench.made()
    held = pair(bench, made)
    assert held is not None
    assert told.pairs == ([("u", made.id, held)] if watching else [])


async def test_view_that_is_closed_is_told_nothing() -> None:
    told = Told(watching=False)
    async with running(Bench(ScriptedScorer(), watcher=told)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded="none") == 1)
    assert (told.events, told.lists) == ([], [])


async def test_views_are_told_while_they_watch_and_always_of_what_to_drop() -> None:
    open_, closed = Told(watching=True), Told(watching=False)
    views = Watchers(open_, closed)
    async with running(Bench(ScriptedScorer(), watcher=views)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bool(open_.lists))
        assert bench.lists.forget("u") == ("last-list@worker", "page@worker")
        bench.lists.revoke(0)
    assert (closed.events, closed.lists) == ([], [])
    assert (open_.revoked, closed.revoked) == ([0], [0])
    assert not Watchers(closed).watching


def test_erased_user_is_dropped_by_the_view_too() -> None:
    bench = Bench(None, watcher=Told(watching=True))
    assert bench.lists.forget("u") == ("page@worker",)
    assert bench.lists.forget("other") == ()
