"""One-off lists: as users' lists are made, and without a trace."""

import asyncio
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import replace

import numpy as np
import pytest

from inference.scorers.scripted import ALL_SESSIONS, Script, ScriptedScorer
from schemas.events import Event, EventKind
from schemas.recommendations import Degraded
from streams.candidates.restriction import Restriction
from streams.clock import SYSTEM
from streams.errors import TooManyLists, UserErased
from streams.fold.context import EMPTY
from streams.privacy.sessions import Sessions, one_off
from streams.ranking.exploration import NO_EXPLORATION, Exploration, Explorations
from streams.ranking.settings import Ranking
from streams.serving.explaining import Subject
from streams.serving.one_off import MAX_AT_ONCE, MAX_WANTED, STANDS_BACK_SECONDS, OneOffList
from tests.support.background import running
from tests.support.listing import Bench

SESSION = one_off(7)


def like(item: str, number: int = 0, kind: EventKind = EventKind.LIKE) -> Event:
    return Event(id=f"e{number}", user="incognito", kind=kind, ts=SYSTEM.now_ms(), item=item)


def items(made: OneOffList) -> list[str]:
    return [entry.item for entry in made.entries]


async def test_one_off_list_is_the_list_that_a_user_with_these_events_gets() -> None:
    async with running(Bench(ScriptedScorer())) as bench:
        for item in ("film-1", "film-6", "film-11"):
            bench.did("u", item)
        await bench.until(lambda: not bench.lists.busy() and bool(bench.made()))
        events = [like(item, number) for number, item in enumerate(("film-1", "film-6", "film-11"))]
        made = await bench.lists.one_off.make(events, session=SESSION)
    last = bench.made("u")[-1]
    assert items(made) == [entry.item for entry in last.entries]
    assert (made.model_version, made.degraded, made.unasked) == (last.model_version, None, None)
    assert [entry.contributions for entry in made.entries] == [entry.contributions for entry in last.entries]
    assert len(made.compared.without_model) == 10


async def test_one_off_list_leaves_nothing_behind() -> None:
    exploring = Ranking(exploration=Explorations(Exploration(share=1.0, new_share=1.0)), compared=1)
    async with running(Bench(ScriptedScorer(), ranking=exploring, shadow_share=1.0)) as bench:
        bench.did("u", "film-2")
        await bench.until(lambda: not bench.lists.busy() and bool(bench.made()))
        sent, state = list(bench.sent), deepcopy(vars(bench.state) | {"marking": None})
        judged, before = len(bench.lists._judge._lists), figures(bench)
        for number in range(3):
            made = await bench.lists.one_off.make([like("film-7", number)], session=SESSION)
            assert {entry.propensity for entry in made.entries} == {1.0}, "it does not explore"
        after = figures(bench)
    assert bench.sent == sent
    assert vars(bench.state) | {"marking": None} == state
    assert len(bench.lists._judge._lists) == judged
    changed = {name for name in after if after[name] != before.get(name)}
    assert {name for name, _ in changed} <= {
        "ouzel_one_off_lists_total",
        *(f"ouzel_scoring_seconds_{part}" for part in ("sum", "count", "bucket")),
        *(f"ouzel_loop_lag_seconds_{part}" for part in ("sum", "count", "bucket")),
    }
    assert bench.count("ouzel_one_off_lists_total", outcome="none") == 3


def figures(bench: Bench) -> dict[tuple[str, str], float]:
    return {
        (sample.name, str(sample.labels)): sample.value
        for family in bench.metrics.registry.collect()
        for sample in family.samples
        if not sample.name.endswith("_created")
    }


async def test_length_and_exclusions_are_those_that_are_asked_for() -> None:
    async with running(Bench(None)) as bench:
        make = bench.lists.one_off.make
        whole = await make([like("film-1")], session=SESSION)
        short = await make([like("film-1")], session=SESSION, count=3)
        without = await make(
            [like("film-1")], session=SESSION, restriction=Restriction(without=(*items(whole)[:4], "unknown"))
        )
        long = await make([], session=SESSION, count=40)
    assert items(short) == items(whole)[:3]
    assert not set(items(without)) & set(items(whole)[:4])
    assert len(without.entries) == 10
    assert "film-1" not in items(whole)
    assert len(items(long)) == 40


@pytest.mark.parametrize(
    ("restriction", "allowed"),
    [
        (Restriction(all_of=("horror",)), {f"film-{n}" for n in range(2, 40, 5)}),
        (Restriction(any_of=("horror", "western")), {f"film-{n}" for n in range(40) if n % 5 in (2, 3)}),
        (Restriction(none_of=("comedy", "drama")), {f"film-{n}" for n in range(40) if n % 5 > 1}),
        (Restriction(items=("film-3", "film-4", "film-1", "no-film")), {"film-3", "film-4"}),
        (Restriction(all_of=("horror", "comedy")), set()),
        (Restriction(any_of=("nothing",)), set()),
    ],
)
async def test_restriction_holds_before_candidates_are_gathered(restriction: Restriction, allowed: set[str]) -> None:
    """So that the list is as long as there are items, whatever the sources would have proposed without it."""
    async with running(Bench(ScriptedScorer())) as bench:
        made = await bench.lists.one_off.make([like("film-1")], session=SESSION, count=8, restriction=restriction)
    assert set(items(made)) <= allowed
    assert len(made.entries) == min(8, len(allowed))


# For users


def subject(bench: Bench, user: str = "u") -> Subject:
    state = bench.state
    assert state.sessions is not None
    return Subject(lambda: state.context(user), state.marking, state.sessions.number(user), user)


async def test_list_for_a_user_is_made_from_their_context_and_their_prefix_in_the_model() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: not bench.lists.busy() and bool(bench.made()))
        made = await bench.lists.one_off.make_for("u", subject(bench))
        assert items(made) == [entry.item for entry in bench.made("u")[-1].entries]
        assert len(bench.made()) == 1, "it is not published"


async def test_list_for_a_user_who_is_erased_meanwhile_is_dropped_and_waited_for() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: not bench.lists.busy() and bool(bench.made()))
        scorer.script = Script.SLOW
        making = asyncio.create_task(bench.lists.one_off.make_for("u", subject(bench)))
        await asyncio.sleep(0)
        settling = asyncio.create_task(bench.lists.one_off.settle("u"))
        await asyncio.sleep(0)
        assert not settling.done()
        bench.state.contexts["u"] = EMPTY
        with pytest.raises(UserErased):
            await making
        await settling
        await bench.lists.one_off.settle("u")


async def test_dismissed_item_leaves_the_list() -> None:
    async with running(Bench(None)) as bench:
        first = await bench.lists.one_off.make([like("film-1")], session=SESSION)
        gone = items(first)[0]
        events = [like("film-1"), like(gone, 1, EventKind.DISMISS)]
        assert gone not in items(await bench.lists.one_off.make(events, session=SESSION))


@pytest.mark.parametrize(
    ("script", "reason"),
    [(Script.SLOW, Degraded.DEADLINE), (Script.DOWN, Degraded.UNAVAILABLE), (Script.NOT_FINITE, Degraded.INVALID)],
)
async def test_list_is_behavioural_where_the_model_gives_none(script: Script, reason: Degraded) -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, list_deadline_ms=300, patience_ms=200)) as bench:
        scorer.script = script
        made = await bench.lists.one_off.make([like("film-1")], session=SESSION)
        plain = await bench.lists.one_off.make([like("film-1")], session=SESSION)
    assert made.degraded is reason
    assert made.model_version is None
    assert len(made.entries) == 10
    assert items(made) == items(plain)


async def test_list_names_no_version_where_the_model_had_nothing_to_say() -> None:
    """A model that gives vectors alone, before it has read an item."""
    scorer = ScriptedScorer(vector_of=lambda _: (1.0, 0.0))
    async with running(Bench(scorer, ranking=Ranking(rescored=0, exploration=NO_EXPLORATION))) as bench:
        made = await bench.lists.one_off.make([like("film-1")], session=SESSION)
    assert (made.degraded, made.model_version) == (Degraded.UNAVAILABLE, None)
    assert len(made.entries) == 10


async def test_users_go_first_and_a_list_that_has_waited_is_made_without_the_model() -> None:
    scorer = ScriptedScorer()
    bench = Bench(scorer, list_deadline_ms=60_000, patience_ms=50)
    bench.did("u", "film-1")  # nothing serves the users: they wait
    made = await bench.lists.one_off.make([like("film-2")], session=SESSION)
    assert made.degraded is Degraded.OVERLOADED
    assert not scorer.asked
    async with running(bench):
        await bench.until(lambda: bool(bench.made()))


async def test_list_stands_back_while_lists_of_users_are_made_but_not_for_long() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, list_deadline_ms=60_000)) as bench:
        scorer.script = Script.SLOW
        bench.did("u", "film-1")
        await bench.until(lambda: len(scorer.asked) == 1)
        making = asyncio.create_task(bench.lists.one_off.make([like("film-2")], session=SESSION))
        began = bench.clock.monotonic()
        await bench.until(lambda: len(scorer.asked) == 2)
        assert bench.clock.monotonic() - began >= STANDS_BACK_SECONDS, "the user's list is still being made"
        scorer.release()
        assert (await making).degraded is None


async def test_lists_beyond_the_limit_are_refused_and_counted() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, list_deadline_ms=60_000)) as bench:
        scorer.script = Script.SLOW
        tasks = [
            asyncio.create_task(bench.lists.one_off.make([like("film-1")], session=one_off(number)))
            for number in range(MAX_WANTED)
        ]
        await bench.until(lambda: len(scorer.asked) == MAX_AT_ONCE)
        with pytest.raises(TooManyLists, match="try again"):
            await bench.lists.one_off.make([like("film-1")], session=SESSION)
        assert bench.count("ouzel_one_off_lists_total", outcome="refused") == 1
        assert len(scorer.asked) == MAX_AT_ONCE
        bench.did("u", "film-3")
        await bench.until(lambda: len(scorer.asked) == MAX_AT_ONCE + 1)
        scorer.release()
        assert all(made.degraded is None for made in await asyncio.gather(*tasks))
    assert bench.made("u")


async def test_session_is_no_users_and_the_model_forgets_it() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer)) as bench:
        await bench.lists.one_off.make([like("film-1")], session=SESSION)
        assert await bench.lists.one_off.forget([SESSION])
        assert scorer.forgotten == [SESSION]
        scorer.script = Script.DOWN
        assert not await bench.lists.one_off.forget([SESSION])
    assert [asked.session for asked in scorer.asked] == [SESSION]
    assert ALL_SESSIONS not in scorer.forgotten


@pytest.mark.parametrize("drawn", [0, 1, 2**63 - 1])
def test_session_numbers_of_users_and_of_others_do_not_meet(drawn: int) -> None:
    assert -(2**63) <= one_off(drawn) < 0
    assert 0 <= Sessions(b"s").number(f"user-{drawn}") < 2**63


async def test_items_are_ordered_for_a_context_whatever_was_seen() -> None:
    async with running(Bench(None)) as bench:
        basis = bench.lists.one_off.basis([like("film-1"), like("film-6", 1)])
        catalogue = bench.lists._catalogue
        numbers = np.array([catalogue.index.number(f"film-{number}") for number in (1, 2, 3, 11, 16)])
        ranked = await bench.lists.one_off.order(numbers, basis)
    best = [catalogue.index[int(numbers[at])] for at in ranked.order.tolist()]
    assert set(best) == {"film-1", "film-2", "film-3", "film-11", "film-16"}
    assert set(best[:3]) == {"film-1", "film-11", "film-16"}, "the dramas, which the user likes"
    assert ranked.prepared.met[numbers].tolist() == [True, False, False, False, False]


async def test_context_without_events_gets_a_list() -> None:
    async with running(Bench(None)) as bench:
        assert bench.lists.one_off.basis([]).context is EMPTY
        made = await bench.lists.one_off.make([], session=SESSION)
    assert len(made.entries) == 10
    assert made.degraded is Degraded.DISABLED


async def test_wish_of_a_context_is_read_by_the_model() -> None:
    def horror(_sentence: str, names: Sequence[str]) -> list[float]:
        return [1.0 if name == "horror" else 0.0 for name in names]

    scorer = ScriptedScorer(meaning_of=horror)
    wish = Event(id="w", user="incognito", kind=EventKind.STEER, ts=SYSTEM.now_ms(), text="more horror")
    async with running(Bench(scorer)) as bench:
        made = await bench.lists.one_off.make([wish], session=SESSION)
        while not made.wishes[0].read:
            made = await bench.lists.one_off.make([wish], session=SESSION)
    assert made.wishes[0].means == {"horror": 1.0}
    best = bench.lists._catalogue.get(items(made)[0])
    assert best is not None
    assert best.attributes == ("horror",)


def test_clock_is_passed_in() -> None:
    bench = Bench(None, clock=replace(SYSTEM, now_ms=lambda: 5))
    assert asyncio.run(bench.lists.one_off.make([], session=SESSION)).ts == 5
