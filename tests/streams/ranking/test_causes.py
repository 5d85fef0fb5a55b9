"""What single events add to scores, without a model."""

import numpy as np
import pytest

from schemas.events import EventKind
from streams.fold.context import leave_out
from streams.ranking.blend import Blend
from streams.ranking.causes import MAX_EVENTS, acting, compare, scored
from tests.support.ranking_world import World, done, item


@pytest.fixture
def world() -> World:
    made = World([item(f"f{n:02}", f"Film {n}", ["drama" if n % 2 else "crime"]) for n in range(30)])
    for n in range(12):
        made.tell(*(done(f"p{n}", f"f{(n + k) % 30:02}", at=100 * n + k) for k in range(8)))
    made.tell(done("ann", "f03", at=5000), done("ann", "f20", EventKind.DISLIKE, at=5001), done("ann", "f09", at=5002))
    return made


def test_event_that_is_left_out_leaves_the_rest_as_it_was(world: World) -> None:
    context = world.people["ann"]
    newest, *others = acting(context, "home")
    fewer = leave_out(context, newest.event)
    assert acting(fewer, "home") == tuple(others)
    assert (fewer.seen, fewer.ids, fewer.offset) == (context.seen, context.ids, context.offset)
    assert leave_out(context, 12345) == context


def test_newest_events_act_each_once(world: World) -> None:
    world.tell(*(done("ann", f"f{n % 30:02}", EventKind.VIEW, at=6000 + n) for n in range(60)))
    events = acting(world.people["ann"], "home")
    assert len(events) == MAX_EVENTS == len({one.event for one in events})
    assert [one.ts for one in events] == sorted((one.ts for one in events), reverse=True)


def test_candidates_are_scored_as_if_the_context_had_always_been_the_other(world: World) -> None:
    ranker, blend, context = world.ranker(), Blend(), world.people["ann"]
    chosen = world.shortlist("ann")
    for event in acting(context, "home"):
        fewer = leave_out(context, event.event)
        revised = ranker.revise(chosen, fewer, blend)
        assert (revised.candidates.numbers == chosen.candidates.numbers).all()
        signals = ranker.sources.measure(revised.moment, chosen.candidates.numbers)
        fresh = ranker.prepare(fewer, "home", now_ms=chosen.moment.now_ms)
        np.testing.assert_allclose(signals, ranker.sources.measure(fresh.moment, chosen.candidates.numbers))
        assert not np.allclose(revised.scores, chosen.scores)
    same = ranker.revise(chosen, context, blend)
    np.testing.assert_allclose(same.scores, chosen.scores)


def test_like_raises_the_score_of_what_goes_with_it(world: World) -> None:
    ranker, blend, context = world.ranker(), Blend(), world.people["ann"]
    chosen = world.shortlist("ann")
    number = ranker.catalogue.index.find("f04")
    assert number is not None
    entries = np.searchsorted(chosen.candidates.numbers, [number])
    events = acting(context, "home")
    without = []
    for event in events:
        revised = ranker.revise(chosen, leave_out(context, event.event), blend)
        without.append(scored(revised, ranker.blended(revised, blend), entries))
    causes = compare(events, scored(chosen, ranker.blended(chosen, blend), entries), without)
    liked = [one.item for one in events].index("f03")
    assert causes.adds[liked, 0] > 0.1
    assert causes.place_without[liked, 0] > causes.place[0]
    by_size = sorted(range(3), key=lambda at: -abs(causes.adds[at, 0]))
    assert causes.strongest(0, 5) == by_size
    assert causes.strongest(0, 1) == by_size[:1]
    order = np.argsort(-chosen.scores, kind="stable")
    assert causes.place[0] == 1 + order.tolist().index(entries[0])


def test_user_without_events_has_no_causes(world: World) -> None:
    chosen = world.shortlist("stranger")
    entries = np.arange(2)
    causes = compare((), scored(chosen, chosen.scores, entries), [])
    assert causes.adds.shape == causes.place_without.shape == (0, 2)
    assert causes.strongest(0, 5) == []
