"""Lists and the model's prefixes of users who are erased, or whose partition is lost."""

import asyncio

import pytest

from inference.scorers.scripted import ALL_SESSIONS, Script, ScriptedScorer
from streams.privacy.sessions import Sessions
from tests.support.background import running
from tests.support.listing import Bench


async def test_erased_user_gets_no_list_and_the_model_drops_their_prefix() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
        scorer.script = Script.SLOW
        bench.did("u", "film-2")
        await bench.until(lambda: len(scorer.asked) == 2)
        bench.did("u", "film-3")
        found = bench.lists.forget("u")
        assert found == ("waiting-list@worker", "last-list@worker", "list-in-the-making@worker")
        settling = asyncio.create_task(bench.lists.settle(0, ["u"]))
        await asyncio.sleep(0)
        assert not settling.done()
        scorer.release()
        assert await settling == ()
        assert bench.lists.first_unanswered(0) is None
        assert len(bench.made()) == 1
        assert scorer.forgotten == [scorer.asked[0].session]
        assert bench.lists.forget("u") == ()
        bench.did("u", "film-4")
        await bench.until(lambda: len(bench.made()) == 2)
    assert bench.state.versions == {"u": ["scripted-1", "scripted-1"]}


async def test_model_that_cannot_drop_a_user_is_named() -> None:
    scorer = ScriptedScorer()
    scorer.script = Script.DOWN
    bench = Bench(scorer)
    assert await bench.lists.settle(0, []) == ()
    assert await bench.lists.settle(0, ["u"]) == ("prefix@model",)


async def session(bench: Bench, scorer: ScriptedScorer) -> int:
    """The session number in the request to the model."""
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    return scorer.asked[-1].session


async def test_second_worker_on_the_same_state_drops_the_same_session() -> None:
    scorer = ScriptedScorer()
    first, second = Bench(scorer), Bench(scorer)
    number = await session(first, scorer)
    assert await second.lists.settle(0, ["u"]) == ()
    assert scorer.forgotten == [number]
    second.state.sessions = Sessions(b"of another partition", alone=True)
    assert await session(second, scorer) != number


async def test_new_secret_makes_the_model_drop_everything_once() -> None:
    """The model may cache users under numbers from a secret that was lost with its state."""
    scorer = ScriptedScorer()
    bench = Bench(scorer)
    bench.state.sessions = Sessions(b"new")
    scorer.script = Script.DOWN
    assert await bench.lists.settle(0, ["u"]) == ("prefix@model",)
    assert bench.state.sessions == Sessions(b"new")
    scorer.script = Script.ANSWER
    assert await bench.lists.settle(0, ["u"]) == ()
    assert await bench.lists.settle(0, ["u"]) == ()
    assert scorer.forgotten == [ALL_SESSIONS, Sessions(b"new").number("u")]


async def test_unused_model_may_keep_its_cache() -> None:
    bench = Bench(None)
    assert await bench.lists.settle(0, ["u"]) == ("prefix@model",)
    bench.state.sessions = None
    assert await bench.lists.settle(0, ["u"]) == ()


@pytest.mark.parametrize(("here", "forgotten"), [(True, [ALL_SESSIONS]), (False, [])])
async def test_worker_drops_everything_of_a_lost_partition(here: bool, forgotten: list[int]) -> None:
    """Its next owner could not drop it: neither the last lists, nor the cache of a model in this process."""
    scorer = ScriptedScorer()
    scorer.keeps_here = here
    async with running(Bench(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
        bench.lists.revoke(0)
        assert bench.lists.forget("u") == ()
        await bench.until(lambda: scorer.forgotten == forgotten)
