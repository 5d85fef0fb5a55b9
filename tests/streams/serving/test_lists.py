"""The list path: one list per user at a time, for the newest trigger, in time whatever the model does."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.codec import decode
from schemas.events import Event, EventKind
from schemas.feedback import Closed, Feedback
from schemas.recommendations import Degraded, Source
from schemas.scoring import Candidate, ScoreRequest, Scores
from schemas.topics import FEEDBACK
from streams.clock import SYSTEM
from streams.fold.attribution import Judged
from streams.fold.context import digest_of
from streams.metrics import USES
from tests.support.background import running
from tests.support.listing import PLAIN, Bench
from tests.support.patience import PATIENCE


async def test_list_answers_an_event_with_scores_of_the_model() -> None:
    scorer = ScriptedScorer()
    async with running(Bench(scorer)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded="none") == 1)
    (made,) = bench.made()
    assert (made.user, made.trigger, made.degraded, made.model_version) == ("u", "e0", None, "scripted-1")
    assert len(made.entries) == 10
    assert "film-1" not in {entry.item for entry in made.entries}
    assert any(entry.model is not None for entry in made.entries)
    assert bench.state.exposure("u").lists[0].list == made.id
    assert bench.state.exposure("u").lists[0].context == made.context == digest_of(bench.state.context("u"))
    assert "u" not in {str(scorer.asked[0].session), *(past.text for past in scorer.asked[0].history)}


@pytest.mark.parametrize(
    ("script", "degraded"),
    [
        (Script.DOWN, Degraded.UNAVAILABLE),
        (Script.OVERLOADED, Degraded.OVERLOADED),
        (Script.WRONG_COUNT, Degraded.INVALID),
        (Script.NOT_FINITE, Degraded.INVALID),
        (Script.CIRCUIT_OPEN, Degraded.CIRCUIT_OPEN),
        (Script.SLOW, Degraded.DEADLINE),
    ],
)
async def test_user_gets_a_list_marked_degraded_when_the_model_fails(script: Script, degraded: Degraded) -> None:
    scorer = ScriptedScorer()
    scorer.script = script
    async with running(Bench(scorer, list_deadline_ms=200, patience_ms=100)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded=degraded.value) == 1)
    (made,) = bench.made()
    assert made.degraded is degraded
    assert made.model_version is None
    assert len(made.entries) == 10


async def test_scorer_that_raises_unexpectedly_is_an_invalid_answer(caplog: pytest.LogCaptureFixture) -> None:
    def explode(_: object) -> Sequence[float]:
        raise RuntimeError("a secret: person 17")

    async with running(Bench(ScriptedScorer(explode))) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    assert bench.made()[0].degraded is Degraded.INVALID
    assert "RuntimeError" in caplog.text
    assert "person 17" not in caplog.text


async def test_lists_are_marked_behavioural_without_a_scorer() -> None:
    async with running(Bench(None)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    assert bench.made()[0].degraded is Degraded.DISABLED


def likes_the_last(of: ScoreRequest | Candidate) -> list[float]:
    """A model whose affinity to film n is n."""
    return [float(of.item.removeprefix("film-"))] if isinstance(of, Candidate) else [1.0]


async def test_context_vector_adds_the_nearest_items_to_the_list() -> None:
    scorer = ScriptedScorer(lambda _: (), vector_of=likes_the_last)
    bench = Bench(scorer, ranking=replace(PLAIN, rescored=0))
    await bench.described(scorer)
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    (made,) = bench.made()
    assert (made.degraded, made.model_version) == (None, "scripted-1")
    assert scorer.asked[0].candidates == ()
    (best,) = [entry for entry in made.entries if entry.item == "film-39"]
    assert best.model == 39.0
    assert Source.NEAREST in best.sources


async def test_model_without_scores_yet_does_not_change_the_list() -> None:
    scorer = ScriptedScorer(lambda _: (), vector_of=likes_the_last)
    async with running(Bench(scorer, ranking=replace(PLAIN, rescored=0))) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
    assert (bench.made()[0].degraded, bench.made()[0].model_version) == (Degraded.UNAVAILABLE, None)


async def test_vectors_of_another_version_do_not_rank_a_list() -> None:
    scorer = ScriptedScorer(vector_of=likes_the_last)
    bench = Bench(scorer)
    await bench.described(scorer)
    scorer.version = "scripted-2"
    async with running(bench):
        bench.did("u", "film-1")
        await bench.until(lambda: len(bench.made()) == 1)
        assert Source.NEAREST not in {source for entry in bench.made()[0].entries for source in entry.sources}
        assert bench.made()[0].model_version == "scripted-2"
        await bench.described(scorer)
        bench.did("u", "film-2")
        await bench.until(lambda: len(bench.made()) == 2)
    assert Source.NEAREST in {source for entry in bench.made()[1].entries for source in entry.sources}


@pytest.mark.parametrize(("age_ms", "left"), [(0, 1.0), (400, 0.6), (-3_000, 1.0), (5_000, 1.0)])
async def test_deadline_counts_from_the_event_unless_it_is_already_too_old(age_ms: int, left: float) -> None:
    timeouts: list[float] = []

    class Noting(ScriptedScorer):
        async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
            timeouts.append(timeout)
            return await super().score(request, timeout=timeout)

    async with running(Bench(Noting(), list_deadline_ms=1_000)) as bench:
        bench.did("u", "film-1", age_ms=age_ms)
        await bench.until(lambda: len(bench.made()) == 1)
    assert left - 0.3 < timeouts[0] <= left + 0.001


async def test_newest_trigger_of_a_user_wins() -> None:
    bench = Bench(ScriptedScorer())
    for item in ("film-1", "film-2", "film-3"):
        bench.did("u", item)
    async with running(bench):
        await bench.until(lambda: len(bench.made()) == 1)
    (made,) = bench.made()
    assert made.trigger == "e2"
    assert bench.count("ouzel_coalesced_triggers_total") == 2


async def test_users_do_not_wait_for_each_others_scores() -> None:
    scorer = ScriptedScorer()
    scorer.script = Script.SLOW
    settings: dict[str, Any] = {"scoring_slots": 2, "list_deadline_ms": 60_000, "patience_ms": 50}
    async with running(Bench(scorer, **settings)) as bench:
        for number in range(5):
            bench.did(f"u{number}", "film-1")
        # Two hold the slots and wait for the model; the others' patience ends first.
        await bench.until(lambda: len(bench.made()) == 3)
        assert {one.degraded for one in bench.made()} == {Degraded.OVERLOADED}
        assert bench.lists.first_unanswered(0) == 0
        scorer.release()
        await bench.until(lambda: len(bench.made()) == 5)
    assert [one.degraded for one in bench.made()[3:]] == [None, None]
    assert bench.lists.first_unanswered(0) is None


async def test_user_has_one_list_being_made_at_a_time() -> None:
    scorer = ScriptedScorer()
    scorer.script = Script.SLOW
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(scorer.asked) == 1)
        bench.did("u", "film-2")
        bench.did("v", "film-2")
        await bench.until(lambda: len(scorer.asked) == 2)
        assert not bench.made()
        scorer.release()
        await bench.until(lambda: len(bench.made()) == 3)
    assert [one.trigger for one in bench.made("u")] == ["e0", "e1"]


async def test_like_judges_the_list_and_teaches_the_blend_once() -> None:
    async with running(Bench(ScriptedScorer())) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded="none") == 1)
        item, name = bench.made()[0].entries[0].item, bench.made()[0].id
        bench.did("u", item)
        bench.did("u", "film-2", EventKind.DISLIKE)
        await bench.until(lambda: len(bench.made()) >= 2)
        # Read again after the partition started over: the lists are gone, and the like is counted already.
        bench.lists.revoke(0)
        bench.lists.assign(bench.state)
        bench.lists.observe(0, Judged(name, item, 0, (name,)), 1)
    assert bench.count("ouzel_likes_of_lists_total", outcome="hit") == 1
    assert bench.count("ouzel_judged_likes_total") == 1
    assert bench.count("ouzel_list_hits_total", of="list") == 1
    assert bench.count("ouzel_unremembered_likes_total", use="blend") == 0
    assert bench.state.parts["default"].lists == 1


async def test_like_of_a_list_that_is_not_held_is_counted_and_teaches_nothing() -> None:
    async with running(Bench(None)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded="disabled") == 1)
        bench.lists.revoke(0)
        bench.lists.assign(bench.state)
        bench.did("u", bench.made()[0].entries[0].item)
        bench.did("u", "film-1")
    assert bench.count("ouzel_likes_of_lists_total", outcome="hit") == 1
    assert bench.count("ouzel_likes_of_lists_total", outcome="miss") == 1
    assert bench.count("ouzel_judged_likes_total") == 0
    assert [bench.count("ouzel_unremembered_likes_total", use=use) for use in USES] == [2, 2, 0]
    assert bench.state.parts == {}


async def test_list_is_kept_under_the_alias_that_the_fold_gave() -> None:
    async with running(Bench(None)) as bench:
        event = Event(id="e", user="ann", kind=EventKind.LIKE, ts=SYSTEM.now_ms() - 400, item="film-1")
        bench.lists.trigger(0, "alias-of-ann", (event, 0, 400), SYSTEM.monotonic())
        await bench.until(lambda: bench.count("ouzel_lists_total", degraded="disabled") == 1)
    assert set(bench.state.exposures) == {"alias-of-ann"}
    (made,) = bench.made()
    assert made.user == "ann"
    assert 400 <= made.freshness_ms < 400 + 1000 * PATIENCE


async def test_users_of_a_lost_partition_get_no_lists() -> None:
    scorer = ScriptedScorer()
    scorer.script = Script.SLOW
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(scorer.asked) == 1)
        bench.did("w", "film-1")
        bench.state.open = False
        bench.lists.revoke(0)
        scorer.release()
        await bench.until(lambda: bench.lists.first_unanswered(0) is None)
    assert not bench.made()


async def test_list_that_could_not_be_published_is_retried() -> None:
    async with running(Bench(None)) as bench:
        bench.failures = 2
        bench.did("u", "film-1")
        await bench.until(lambda: bench.failures < 2)
        assert bench.lists.first_unanswered(0) == 0
        await bench.until(lambda: len(bench.made()) == 1)
        await bench.until(lambda: bench.lists.first_unanswered(0) is None)


async def test_newer_trigger_replaces_a_failed_one() -> None:
    async with running(Bench(None)) as bench:
        bench.failures = 1
        bench.did("u", "film-1")
        await bench.until(lambda: bench.failures == 0)
        bench.did("u", "film-2")
        await bench.until(lambda: len(bench.made()) == 1)
    assert [made.trigger for made in bench.made()] == ["e1"]


async def test_list_interrupted_by_a_failed_state_stays_unanswered() -> None:
    """Else its offset would be committed before the partition starts over, and the list would never be made."""
    scorer = ScriptedScorer()
    scorer.script = Script.SLOW
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        bench.did("u", "film-1")
        await bench.until(lambda: len(scorer.asked) == 1)
        bench.state.open = False
        scorer.release()
        with suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await bench.until(lambda: bench.lists.first_unanswered(0) is None)
        assert bench.lists.first_unanswered(0) == 0
        bench.lists.revoke(0)
        await bench.until(lambda: bench.lists.first_unanswered(0) is None)
    assert bench.made() == []


async def test_list_id_follows_from_its_trigger() -> None:
    ids = []
    for _ in range(2):
        async with running(Bench(None)) as bench:
            bench.did("u", "film-1")
            await bench.until(lambda b=bench: len(b.made()) == 1)
        ids.append(bench.made()[0].id)
    assert ids[0] == ids[1]


async def test_evicted_list_is_reported_as_not_taken() -> None:
    async with running(Bench(None)) as bench:
        for number in range(5):
            bench.did("u", f"film-{30 + number}")
            await bench.until(lambda n=number: len(bench.made()) == n + 1)
    (report,) = [decode(Feedback, out.value) for out in bench.sent if out.topic == FEEDBACK.name]
    assert report.list == bench.made()[0].id
    assert report.closed is Closed.SUPERSEDED


async def test_list_published_during_a_revocation_is_not_kept() -> None:
    async with running(Bench(None)) as bench:
        bench.hold = asyncio.Event()
        bench.did("u", "film-1")
        await bench.until(lambda: bool(bench.state.exposures))
        bench.state.open = False
        bench.lists.revoke(0)
        bench.hold.set()
        await bench.until(lambda: bench.lists.first_unanswered(0) is None)
        assert len(bench.made()) == 1
        assert bench.lists.forget("u") == ()
