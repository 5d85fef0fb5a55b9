"""Explaining a published list: what each event adds, and when there is no explanation."""

import asyncio
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import blake2b

import pytest

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.recommendations import Recommendation
from schemas.scoring import Candidate, ScoreRequest
from streams.fold.context import leave_out
from streams.serving.explaining import NotExplained, Subject
from tests.support.background import running
from tests.support.listing import Bench


def vector(of: ScoreRequest | Candidate) -> Sequence[float]:
    """An item's numbers follow from its title, a context's are the sums over its events."""
    if isinstance(of, ScoreRequest):
        rows = [vector(Candidate(past.text)) for past in of.history]
        return [sum(column) for column in zip(*rows, strict=True)] or [0.0] * 4
    digest = blake2b(of.text.encode(), digest_size=4).digest()
    return [byte / 128 - 1 for byte in digest]


async def listed(bench: Bench, *items: str) -> Recommendation:
    """The last list of user u, who likes these items one after the other."""
    for item in items:
        before = len(bench.made("u"))
        bench.did("u", item)
        await bench.until(lambda n=before: len(bench.made("u")) > n and not bench.lists.busy())
    return bench.made("u")[-1]


@pytest.mark.parametrize("with_model", [False, True])
async def test_score_is_explained_by_scoring_again_without_each_event(with_model: bool) -> None:
    scorer = ScriptedScorer(vector_of=vector) if with_model else None
    async with running(Bench(scorer)) as bench:
        if scorer is not None:
            await bench.described(scorer)
        for other in range(6):
            for item in range(other, other + 5):
                bench.did(f"other-{other}", f"film-{item}")
        made = await listed(bench, "film-1", "film-2", "film-3")
        explained = await bench.lists.explaining.explain(made, subject(bench))
        causes = explained.causes
        assert [one.item for one in causes.events] == ["film-3", "film-2", "film-1"]
        assert explained.rows == {entry.item: row for row, entry in enumerate(made.entries)}
        assert explained.version == made.model_version
        assert (made.model_version is not None) == with_model
        for row, entry in enumerate(made.entries):
            assert causes.score[row] == pytest.approx(sum(entry.contributions.values()), abs=1e-4)
        assert (causes.adds != 0).any(axis=1).all()
        context = bench.state.contexts["u"]
        if not with_model:
            ranker = bench.lists._ranker
            for at, event in enumerate(causes.events):
                fewer = leave_out(context, event.event)
                blend = bench.lists._blends.blend(made.scene)
                chosen = ranker.shortlist(ranker.prepare(context, made.scene, now_ms=made.ts), blend)
                again = ranker.revise(chosen, fewer, blend)
                scores = dict(zip(chosen.candidates.numbers.tolist(), ranker.blended(again, blend), strict=True))
                for row, entry in enumerate(made.entries):
                    number = ranker.catalogue.index.find(entry.item)
                    assert causes.score[row] - causes.adds[at, row] == pytest.approx(scores[number], abs=1e-4)
        assert bench.count("ouzel_explanations_total", outcome="made") == 1


async def test_model_is_asked_once_for_all_entries_of_a_list() -> None:
    scorer = ScriptedScorer(vector_of=vector)
    async with running(Bench(scorer)) as bench:
        await bench.described(scorer)
        made = await listed(bench, "film-1", "film-2")
        asked = len(scorer.asked)
        first, second = [await bench.lists.explaining.explain(made, subject(bench)) for _ in range(2)]
        assert first is second
        assert [len(each.history) for each in scorer.asked[asked:]] == [2, 1, 1]
        assert len({each.session for each in scorer.asked}) == 1


def subject(bench: Bench) -> Subject:
    """User u."""
    state = bench.state
    session = None if state.sessions is None else state.sessions.number("u")
    return Subject(lambda: state.context("u"), state.marking, session, "u")


async def refused(bench: Bench, made: Recommendation, why: str) -> None:
    before = bench.count("ouzel_explanations_total", outcome="refused")
    with pytest.raises(NotExplained, match=re.escape(why)):
        await bench.lists.explaining.explain(made, subject(bench))
    assert bench.count("ouzel_explanations_total", outcome="refused") == before + 1


async def test_older_list_is_not_explained_by_what_the_user_did_since() -> None:
    async with running(Bench(None)) as bench:
        made = await listed(bench, "film-1")
        await listed(bench, "film-2")
        await refused(bench, made, "ask about the newer list")


async def test_model_that_does_not_answer_is_said() -> None:
    scorer = ScriptedScorer(vector_of=vector)
    async with running(Bench(scorer)) as bench:
        await bench.described(scorer)
        made = await listed(bench, "film-1")
        scorer.script = Script.DOWN
        await refused(bench, made, "The model did not answer in time")
        scorer.script, scorer.version = Script.ANSWER, "another"
        await refused(bench, made, "Another version of the model makes lists now")


async def test_list_of_an_erased_user_is_explained_to_no_one() -> None:
    scorer = ScriptedScorer(vector_of=vector)
    async with running(Bench(scorer, list_deadline_ms=60_000, patience_ms=60_000)) as bench:
        await bench.described(scorer)
        made = await listed(bench, "film-1")
        scorer.script = Script.SLOW
        asking = asyncio.create_task(bench.lists.explaining.explain(made, subject(bench)))
        await bench.until(lambda: len(scorer.asked) > 1)
        del bench.state.contexts["u"]
        bench.lists.forget("u")
        settling = asyncio.create_task(bench.lists.settle(0, ["u"]))
        with suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(settling), 0.1)
        assert not settling.done(), "the model may cache the user until it has answered"
        scorer.release()
        with pytest.raises(NotExplained):
            await asking
        await settling
        assert not bench.lists.explaining.drop("u")


async def test_explanation_of_a_subject_without_a_state_is_not_held() -> None:
    scorer = ScriptedScorer(vector_of=vector)
    async with running(Bench(scorer)) as bench:
        await bench.described(scorer)
        made = await listed(bench, "film-1", "film-2")
        stateless = replace(subject(bench), alias=None)
        explained = [await bench.lists.explaining.explain(made, stateless) for _ in range(2)]
        assert explained[0] is not explained[1]
        assert not bench.lists.explaining.drop("u")


async def test_explanation_is_dropped_with_its_user() -> None:
    async with running(Bench(None)) as bench:
        made = await listed(bench, "film-1")
        await bench.lists.explaining.explain(made, subject(bench))
        assert "explanation@worker" in bench.lists.forget("u")
        assert "explanation@worker" not in bench.lists.forget("u")
