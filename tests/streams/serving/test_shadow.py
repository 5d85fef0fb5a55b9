"""Two versions are compared by the same published lists, never in the way of a list, and never by an erased user."""

import asyncio
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.models import Comparison
from schemas.recommendations import Recommendation
from streams.ranking.exploration import Exploration, Explorations
from streams.serving.hit_rate import Pair
from streams.serving.shadow import MOST_WAITING, in_shadow, room
from tests.support.background import running
from tests.support.listing import Bench
from tests.support.roles import versions


async def comparing(scorer: ScriptedScorer, role: str = "shadow", **settings: Any) -> Bench:
    """A list path with version 1 as champion, and version 2 as challenger for all users, with all vectors."""
    bench = Bench(scorer, **settings)
    bench.gives("champion", 1)
    bench.gives(role, 2, share=1.0, salt="s")
    await bench.read_by_all(scorer)
    return bench


def pair(bench: Bench, made: Recommendation) -> Pair | None:
    held = bench.lists._judge._lists.get(made.id)
    return None if held is None else held.pair


def items(made: Recommendation) -> tuple[str, ...]:
    return tuple(entry.item for entry in made.entries)


def outcome(bench: Bench, which: str) -> float:
    return bench.count("ouzel_shadow_lists_total", outcome=which)


async def orders(number: int) -> tuple[str, ...]:
    """The list of a user of `liked` as version `number` alone makes it."""
    scorer = versions(number)
    bench = Bench(scorer)
    await bench.described(scorer)
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    return items(bench.made()[0])


@pytest.mark.parametrize(("role", "by"), [("shadow", "v1"), ("canary", "v2")])
async def test_both_orders_are_those_that_each_version_would_have_shown(role: str, by: str) -> None:
    scorer = versions(1, 2)
    async with running(await comparing(scorer, role)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
    (made,) = bench.made()
    first, second = await orders(1), await orders(2)
    assert first != second
    assert (made.model_version, made.degraded) == (by, None)
    assert pair(bench, made) == Pair("v1", "v2", first, second, role == "canary")
    assert items(made) == (first if role == "shadow" else second)
    assert scorer.asked[0] == scorer.asked[1], "the same request"
    assert scorer.numbers == ([1, 2] if role == "shadow" else [2, 1])
    assert set(bench.state.versions["u"]) == {"v1", "v2"}
    assert bench.live.ack("w", 0).shown == (role == "canary")


async def test_orders_are_without_exploration() -> None:
    scorer = versions(1, 2)
    bench = await comparing(scorer)
    exploring = Explorations(Exploration(share=1.0, temperature=1.0))
    bench.lists._ranker.settings = replace(bench.lists._ranker.settings, exploration=exploring)
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
    held, shown = pair(bench, bench.made()[0]), items(bench.made()[0])
    assert held is not None
    assert (held.of_champion, held.of_challenger) == (await orders(1), await orders(2))
    assert shown not in (held.of_champion, held.of_challenger)


async def likes(role: str, *, champion: bool, challenger: bool) -> tuple[Comparison, Recommendation]:
    """The comparison by a like of an item that these versions show, and no other."""
    scorer = versions(1, 2)
    async with running(await comparing(scorer, role)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
        held = pair(bench, bench.made()[0])
        assert held is not None
        first, second = set(held.of_champion), set(held.of_challenger)
        every = {f"film-{number}" for number in range(40)}
        (liked, *_) = sorted((first if champion else every - first) & (second if challenger else every - second))
        bench.did("u", liked)
        await bench.until(lambda: len(bench.compared()) == 1)
    return bench.compared()[0], bench.made()[0]


@pytest.mark.parametrize("role", ["shadow", "canary"])
@pytest.mark.parametrize(("champion", "challenger"), [(True, True), (True, False), (False, True), (False, False)])
async def test_like_makes_one_comparison_with_the_hits_of_both(role: str, champion: bool, challenger: bool) -> None:
    found, made = await likes(role, champion=champion, challenger=challenger)
    assert (found.champion, found.challenger, found.list, found.scene) == ("v1", "v2", made.id, made.scene)
    assert (found.champion_hit, found.challenger_hit) == (champion, challenger)
    assert found.canary == (role == "canary")


async def test_slow_challenger_delays_no_list() -> None:
    """Its request stays unanswered while thirty lists are made, and while others wait for it."""
    scorer = versions(1, 2)
    bench = await comparing(scorer, list_deadline_ms=60_000, patience_ms=60_000)
    scorer.versions[2].script = Script.SLOW
    async with running(bench):
        for number in range(30):
            bench.did(f"u{number}", "film-1")
            await bench.until(lambda n=number: len(bench.made()) == n + 1 and not bench.lists.busy())
        assert {(made.degraded, made.model_version) for made in bench.made()} == {(None, "v1")}
        assert scorer.numbers.count(2) == 1, "one request at a time"
        assert (outcome(bench, "asked"), outcome(bench, "failed")) == (0, 0)
        scorer.release()
        await bench.until(lambda: outcome(bench, "asked") >= 1)


async def test_slow_canary_is_replaced_by_the_champion_within_the_deadline() -> None:
    scorer = versions(1, 2)
    bench = await comparing(scorer, "canary", list_deadline_ms=400, patience_ms=400)
    scorer.versions[2].script = Script.SLOW
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    (made,) = bench.made()
    assert (made.degraded, made.model_version) == (None, "v1")
    assert bench.count("ouzel_canary_fallbacks_total") == 1
    assert bench.count("ouzel_model_lists_total", role="champion") == 1
    assert items(made) == await orders(1)


@pytest.mark.parametrize("script", [Script.DOWN, Script.NOT_FINITE, Script.WRONG_COUNT, Script.OVERLOADED])
async def test_canary_that_fails_costs_its_users_nothing(script: Script) -> None:
    scorer = versions(1, 2)
    bench = await comparing(scorer, "canary")
    scorer.versions[2].script = script
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    assert [(made.degraded, made.model_version) for made in bench.made()] == [(None, "v1")]
    assert bench.live.ack("w", 0).shown == 0


async def test_canary_that_another_version_answers_for_is_replaced_by_the_champion() -> None:
    scorer = versions(1, 2, 3)
    bench = await comparing(scorer, "canary")
    del scorer.versions[2]
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    assert (bench.made()[0].model_version, scorer.numbers[:2]) == ("v1", [2, 1])
    assert bench.count("ouzel_canary_fallbacks_total") == 1


@pytest.mark.parametrize("unloaded", [False, True])
async def test_challenger_without_an_answer_is_counted_and_compares_nothing(unloaded: bool) -> None:
    scorer = versions(1, 2, 3)
    bench = await comparing(scorer)
    if unloaded:
        del scorer.versions[2]  # version 3 answers for it
    else:
        scorer.versions[2].script = Script.DOWN
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "failed") == 1)
    assert pair(bench, bench.made()[0]) is None
    assert bench.made()[0].degraded is None


async def test_challenger_that_lacks_vectors_is_not_asked() -> None:
    scorer = versions(1, 2)
    bench = Bench(scorer)
    bench.gives("champion", 1)
    await bench.read_by_all(scorer)
    bench.gives("shadow", 2)
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1 and not bench.lists.busy())
    assert scorer.numbers == [1]


async def test_lists_that_wait_to_be_scored_are_bounded() -> None:
    scorer = versions(1, 2)
    bench = await comparing(scorer, list_deadline_ms=60_000, patience_ms=60_000)
    scorer.versions[2].script = Script.SLOW
    async with running(bench):
        for number in range(MOST_WAITING + 4):
            bench.did(f"u{number}", "film-1")
        await bench.until(lambda: len(bench.made()) == MOST_WAITING + 4 and not bench.lists.busy())
        await bench.until(lambda: scorer.numbers.count(2) == 1)
        assert len(bench.lists._shadow._waiting) <= MOST_WAITING
        assert outcome(bench, "dropped") >= 3
        scorer.release()


@pytest.mark.parametrize(("items", "lists"), [(0, MOST_WAITING), (1_700, MOST_WAITING), (100_000, 15), (5_000_000, 4)])
def test_fewer_lists_wait_in_a_large_catalogue(items: int, lists: int) -> None:
    assert room(items) == lists


async def test_erased_user_is_in_no_comparison() -> None:
    """Forgotten while the challenger is asked, and while another of their lists waits for that."""
    scorer = versions(1, 2)
    bench = await comparing(scorer, list_deadline_ms=60_000, patience_ms=60_000)
    scorer.versions[2].script = Script.SLOW
    async with running(bench):
        for user, item in (("u", "film-1"), ("u", "film-2"), ("v", "film-3")):
            before = len(bench.made())
            bench.did(user, item)
            await bench.until(lambda n=before: len(bench.made()) == n + 1 and not bench.lists.busy())
        await bench.until(lambda: scorer.numbers.count(2) == 1)
        assert bench.lists.forget("u") == ("last-list@worker", "list-in-shadow@worker")
        settling = asyncio.create_task(bench.lists.settle(0, ["u"]))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(settling), 0.1)
        assert not settling.done(), "the model may cache the user until it has answered"
        scorer.versions[2].script = Script.ANSWER
        scorer.release()
        assert await settling == ()
        await bench.until(lambda: scorer.numbers.count(2) == 2)  # only v's list besides
        await bench.until(lambda: outcome(bench, "asked") == 2)
        assert len(scorer.forgotten) == 1
        assert {held.user for held in bench.lists._judge._lists.values()} == {"v"}
        assert bench.state.versions["u"] == ["v1", "v1"]
        assert bench.lists.forget("u") == ()


async def test_comparison_that_waits_is_dropped_with_its_user() -> None:
    scorer = versions(1, 2)
    async with running(await comparing(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
        bench.hold = asyncio.Event()
        bench.did("u", bench.made()[0].entries[0].item)  # the comparison waits until it is published
        assert bench.comparisons._waiting
        assert "comparison@worker" in bench.lists.forget("u")
        assert not bench.comparisons._waiting
        bench.hold.set()


async def test_lists_of_a_lost_partition_are_not_scored() -> None:
    scorer = versions(1, 2)
    bench = await comparing(scorer, list_deadline_ms=60_000, patience_ms=60_000)
    scorer.versions[2].script = Script.SLOW
    async with running(bench):
        for user in "uvw":
            bench.did(user, "film-1")
        await bench.until(lambda: len(bench.made()) == 3 and scorer.numbers.count(2) == 1)
        bench.state.open = False
        bench.lists.revoke(0)
        assert not bench.lists._shadow._waiting
        scorer.versions[2].script = Script.ANSWER
        scorer.release()
        await bench.until(lambda: outcome(bench, "asked") + outcome(bench, "failed") == 1)
        assert scorer.numbers.count(2) == 1


async def test_like_of_lists_without_both_orders_is_counted_and_compares_nothing() -> None:
    scorer = versions(1, 2)
    async with running(await comparing(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: outcome(bench, "asked") == 1)
        scorer.versions[2].script = Script.DOWN
        bench.did("u", "film-2")
        await bench.until(lambda: outcome(bench, "failed") == 1)
        before = len(bench.compared())
        bench.did("u", "film-3")
        await bench.until(lambda: len(bench.made()) == 3)
    assert len(bench.compared()) == before
    assert bench.count("ouzel_unremembered_likes_total", use="versions") == 1


async def test_share_of_the_users_is_scored_by_both() -> None:
    drawn = {user for user in map(str, range(400)) if in_shadow(user, 0, 0.5)}
    assert 160 < len(drawn) < 240
    assert drawn != {user for user in map(str, range(400)) if in_shadow(user, 86_400_000, 0.5)}
    scorer = versions(1, 2)
    async with running(await comparing(scorer, shadow_share=0.0)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1 and not bench.lists.busy())
    assert scorer.numbers == [1]
