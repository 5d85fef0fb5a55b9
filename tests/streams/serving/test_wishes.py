"""Wishes on the list path: read once by the model, stated on the list, never waited for beyond the deadline."""

from collections.abc import Sequence

import pytest

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.events import Event, EventKind
from schemas.recommendations import Recommendation, Wished
from streams.fold.context import fold
from streams.serving.wishes import NOTHING
from tests.support.background import running
from tests.support.listing import Bench

DAY = 86_400_000


def asks(sentence: str, names: Sequence[str]) -> list[float]:
    """A sentence asks for more of every attribute that it names, or for less of it after "less"."""
    sign = -0.9 if "less" in sentence else 0.9
    return [sign if name in sentence else 0.0 for name in names]


def said(bench: Bench, user: str, text: str, *, ago_ms: int = 0) -> str:
    """Fold a sentence and ask for a list; the event's id."""
    bench.offset += 1
    now = bench.clock.now_ms()
    event = Event(id=f"e{bench.offset}", user=user, kind=EventKind.STEER, ts=now - ago_ms, text=text)
    bench.state.contexts[user] = fold(bench.state.context(user), event, bench.offset)
    bench.lists.steered(1)
    bench.lists.trigger(0, user, (event, bench.offset, 0), bench.clock.monotonic())
    return event.id


async def lists(bench: Bench, count: int) -> list[Recommendation]:
    await bench.until(lambda: len(bench.made()) >= count)
    return bench.made()


def genres(bench: Bench, made: Recommendation) -> list[str]:
    catalogue = bench.lists._catalogue
    return [catalogue.at(catalogue.index.number(entry.item)).attributes[0] for entry in made.entries]


async def test_sentence_changes_the_next_list_and_is_stated_on_it() -> None:
    async with running(Bench(ScriptedScorer(meaning_of=asks))) as bench:
        said(bench, "ann", "more western this week", ago_ms=1000)
        (made,) = await lists(bench, 1)
        now = bench.clock.now_ms()
    (wish,) = made.wishes
    assert wish == Wished(text="more western this week", until=wish.until, means={"western": 0.9})
    assert abs(wish.until - (now - 1000 + 7 * DAY)) < 60_000
    assert genres(bench, made)[:5] == ["western"] * 5
    assert made.entries[0].reason.text == "you asked for more western"
    assert bench.count("ouzel_wishes_total", reading="understood") == 1


async def test_sentence_is_read_once_for_all_users_and_lists() -> None:
    scorer = ScriptedScorer(meaning_of=asks)
    async with running(Bench(scorer)) as bench:
        for user in ("ann", "bob", "ann"):
            said(bench, user, "less drama")
            await lists(bench, len(bench.made()) + 1)
    assert [each for each in scorer.interpreted if each != NOTHING] == ["less drama"]


async def test_forgotten_sentence_changes_no_list_any_more() -> None:
    async with running(Bench(ScriptedScorer(meaning_of=asks))) as bench:
        bench.did("ann", "film-1")
        (before,) = await lists(bench, 1)
        event = said(bench, "ann", "more western")
        await lists(bench, 2)
        bench.offset += 1
        undo = Event(id="undo", user="ann", kind=EventKind.FORGET, ts=bench.clock.now_ms(), target=event)
        bench.state.contexts["ann"] = fold(bench.state.context("ann"), undo, bench.offset)
        bench.lists.trigger(0, "ann", (undo, bench.offset, 0), bench.clock.monotonic())
        *_, after = await lists(bench, 3)
    assert after.wishes == ()
    assert genres(bench, after) == genres(bench, before)


async def test_sentence_past_its_end_is_not_read() -> None:
    scorer = ScriptedScorer(meaning_of=asks)
    async with running(Bench(scorer, wish_days=2.0)) as bench:
        said(bench, "ann", "more western", ago_ms=3 * DAY)
        said(bench, "bob", "more western for two hours", ago_ms=DAY)
        made = await lists(bench, 2)
    assert [one.wishes for one in made] == [(), ()]
    assert "more western" not in scorer.interpreted


@pytest.mark.parametrize("script", [Script.DOWN, Script.NOT_FINITE, Script.WRONG_COUNT])
async def test_list_does_not_wait_for_a_model_that_fails_and_says_so(script: Script) -> None:
    scorer = ScriptedScorer(meaning_of=asks)
    scorer.script = script
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        said(bench, "ann", "more western")
        (made,) = await lists(bench, 1)
    assert [(wish.read, wish.means) for wish in made.wishes] == [(False, {})]
    assert bench.count("ouzel_wishes_total", reading="failed") >= 1


async def test_list_waits_for_a_slow_model_within_its_deadline_only_and_a_later_list_has_the_wish() -> None:
    scorer = ScriptedScorer(meaning_of=asks)
    async with running(Bench(scorer, list_deadline_ms=200, patience_ms=200)) as bench:
        bench.did("bob", "film-1")
        await bench.until(lambda: NOTHING in scorer.interpreted)
        scorer.script = Script.SLOW
        said(bench, "ann", "more western")
        *_, made = await lists(bench, 2)
        assert [wish.read for wish in made.wishes] == [False]
        scorer.release()
        await bench.until(lambda: bench.count("ouzel_wishes_total", reading="understood") == 1)
        bench.did("ann", "film-1")
        *_, made = await lists(bench, 3)
    assert [wish.read for wish in made.wishes] == [True]


async def test_sentence_that_asks_for_nothing_of_the_catalogue_is_stated_without_a_meaning() -> None:
    async with running(Bench(ScriptedScorer(meaning_of=asks))) as bench:
        said(bench, "ann", "what is the weather?")
        (made,) = await lists(bench, 1)
    assert [(wish.read, wish.means) for wish in made.wishes] == [(True, {})]
    assert bench.count("ouzel_wishes_total", reading="nothing") == 1


async def test_without_a_model_sentences_are_counted_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    async with running(Bench(None)) as bench:
        said(bench, "ann", "more western")
        said(bench, "bob", "less drama")
        made = await lists(bench, 2)
    assert [wish.read for one in made for wish in one.wishes] == [False, False]
    assert bench.count("ouzel_wishes_total", reading="failed") == 2
    assert caplog.text.count("Steer events change no list") == 1


async def test_model_that_adds_nothing_is_still_asked_where_it_reads_sentences_in_its_prompt() -> None:
    reads = ScriptedScorer(meaning_of=asks)
    vectors = ScriptedScorer(meaning_of=asks, vector_of=lambda _: (1.0, 0.0))
    for scorer, asked in ((reads, True), (vectors, False)):
        async with running(Bench(scorer)) as bench:
            bench.did("bob", "film-1")
            await lists(bench, 1)
            assert bench.lists._wishes.may_read_text == asked


async def test_texts_of_wishes_reach_the_model_that_scores_while_they_hold() -> None:
    scorer = ScriptedScorer(meaning_of=asks)
    async with running(Bench(scorer)) as bench:
        said(bench, "ann", "more western")
        await lists(bench, 1)
        said(bench, "bob", "more western for two hours", ago_ms=DAY)
        await lists(bench, 2)
    assert [request.steer for request in scorer.asked] == [("more western",), ()]
