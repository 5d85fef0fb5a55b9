"""The behaviour that all scorers share: the scripted one, the in-process engine, and the model in Triton."""

import asyncio
import math
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np
import pytest

from inference.scorers.in_process import InProcessScorer
from inference.scorers.scripted import Script, ScriptedScorer, ScriptedVersion
from inference.scorers.triton import TritonScorer
from inference.shared import Counts
from inference.wire import Answer, Answered
from schemas.scoring import (
    MAX_DESCRIBED,
    MAX_LEFT_OUT,
    MAX_NAMES,
    Candidate,
    DeadlineExceeded,
    Interpretation,
    InvalidAnswer,
    ItemVectors,
    Overloaded,
    Scorer,
    ScoreRequest,
    Unavailable,
)
from tests.support.tiny_model import engine, request

PATIENT = 60.0
"""Seconds; longer than any scorer takes on a busy machine."""

ASKED = request(["Heat (1995)", "Alien (1979)"], ["Fargo (1996)", "Toy Story (1995)", "Aliens (1986)"])

ITEMS = [Candidate("Heat (1995)", item="heat", about="crime, Los Angeles"), Candidate("Alien (1979)")]


class GatedEngine:
    """The tiny engine behind a gate: while the gate is shut, scoring and describing wait."""

    def __init__(self) -> None:
        self._engine = engine(max_candidates=32)
        self.version = self._engine.version
        self.behind = False
        self.counts = Counts()
        self.gate = threading.Event()
        self.gate.set()

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[Answer]:
        assert self.gate.wait(PATIENT)
        return self._engine.score(requests, skip)

    def describe(self, items: Sequence[Candidate], pause: Callable[[], None] | None = None) -> ItemVectors:
        assert self.gate.wait(PATIENT)
        return self._engine.describe(items)

    def interpret(self, sentence: str, names: Sequence[str], pause: Callable[[], None] | None = None) -> Interpretation:
        assert self.gate.wait(PATIENT)
        return self._engine.interpret(sentence, names)

    def without(
        self, request: ScoreRequest, left_out: Sequence[int], pause: Callable[[], None] | None = None
    ) -> list[Answered]:
        assert self.gate.wait(PATIENT)
        return self._engine.without(request, left_out)

    def tend(self, pause: Callable[[], None] | None = None) -> None:
        """Do nothing."""

    def save(self) -> None:
        """Do nothing."""

    def clear(self) -> None:
        self._engine.clear()

    def forget(self, sessions: Sequence[int] | None) -> None:
        self._engine.forget(sessions)


@dataclass
class Subject:
    """A scorer for at most four requests in flight; `shut` makes it slow, and `open` fast again."""

    scorer: Scorer
    shut: Callable[[], None]
    open: Callable[[], None]
    slow: float = 0.05
    """Seconds of a timeout that passes without an answer while shut."""


@pytest.fixture(params=["scripted", "in_process", pytest.param("triton", marks=pytest.mark.triton)])
async def subject(request: pytest.FixtureRequest) -> AsyncIterator[Subject]:
    match request.param:
        case "scripted":
            scripted = ScriptedScorer(max_in_flight=4, vector_of=lambda _: (0.5, -1.0))
            made = Subject(scripted, lambda: setattr(scripted, "script", Script.SLOW), scripted.release)
        case "in_process":
            gated = GatedEngine()
            made = Subject(InProcessScorer(lambda: gated, max_in_flight=4), gated.gate.clear, gated.gate.set)
        case _:
            server = request.getfixturevalue("triton")
            # The real model needs no gate: no pass takes less than a millisecond.
            made = Subject(TritonScorer(server.grpc, max_in_flight=4), lambda: None, lambda: None, slow=0.001)
    assert await made.scorer.ready()
    yield made
    made.open()
    await made.scorer.close()


async def test_answer_has_one_finite_score_per_candidate_and_a_version(subject: Subject) -> None:
    scores = await subject.scorer.score(ASKED, timeout=PATIENT)
    assert len(scores.scores) == 3
    assert all(map(math.isfinite, scores.scores))
    assert len(set(scores.scores)) == 3
    assert scores.model_version


async def test_same_request_gets_the_same_answer(subject: Subject) -> None:
    first, second = [await subject.scorer.score(ASKED, timeout=PATIENT) for _ in range(2)]
    assert first.scores == pytest.approx(second.scores, abs=1e-4)
    assert first.model_version == second.model_version


async def test_request_without_candidates_gets_no_scores(subject: Subject) -> None:
    assert (await subject.scorer.score(request(["Heat"], []), timeout=PATIENT)).scores == ()


async def test_zero_timeout_is_a_missed_deadline(subject: Subject) -> None:
    for timeout in (0.0, -1.0):
        with pytest.raises(DeadlineExceeded):
            await subject.scorer.score(ASKED, timeout=timeout)


async def test_missed_deadline_is_raised_in_time_and_the_next_request_is_answered(subject: Subject) -> None:
    subject.shut()
    async with asyncio.timeout(PATIENT / 2):
        with pytest.raises(DeadlineExceeded):
            await subject.scorer.score(ASKED, timeout=subject.slow)
    subject.open()
    assert len((await subject.scorer.score(ASKED, timeout=PATIENT)).scores) == 3


async def test_excess_request_is_refused_at_once(subject: Subject) -> None:
    subject.shut()
    out = [asyncio.create_task(subject.scorer.score(ASKED, timeout=PATIENT)) for _ in range(4)]
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await subject.scorer.score(ASKED, timeout=PATIENT)
    subject.open()
    assert all(len(scores.scores) == 3 for scores in await asyncio.gather(*out))
    assert len((await subject.scorer.score(ASKED, timeout=PATIENT)).scores) == 3


async def test_concurrent_requests_get_their_own_answers(subject: Subject) -> None:
    users = [request([f"film {i}"] * i, ["Fargo", "Heat", "Alien"][: i % 3 + 1], session=10 + i) for i in range(4)]
    alone = [await subject.scorer.score(user, timeout=PATIENT) for user in users]
    together = await asyncio.gather(*(subject.scorer.score(user, timeout=PATIENT) for user in users))
    for one, other in zip(alone, together, strict=True):
        assert one.scores == pytest.approx(other.scores, abs=1e-4)


async def test_cancelled_caller_leaves_the_scorer_working(subject: Subject) -> None:
    subject.shut()
    task = asyncio.create_task(subject.scorer.score(ASKED, timeout=PATIENT))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    subject.open()
    assert len((await subject.scorer.score(ASKED, timeout=PATIENT)).scores) == 3


async def test_closed_scorer_is_unavailable(subject: Subject) -> None:
    await subject.scorer.close()
    await subject.scorer.close()
    assert not await subject.scorer.ready()
    with pytest.raises(Unavailable):
        await subject.scorer.score(ASKED, timeout=PATIENT)


async def test_more_candidates_than_the_model_takes_is_invalid(subject: Subject) -> None:
    if isinstance(subject.scorer, ScriptedScorer):
        subject.scorer.script = Script.WRONG_COUNT
    with pytest.raises(InvalidAnswer):
        await subject.scorer.score(request([], [f"film {i}" for i in range(33)]), timeout=PATIENT)
    if isinstance(subject.scorer, ScriptedScorer):
        subject.scorer.script = Script.ANSWER
    assert len((await subject.scorer.score(ASKED, timeout=PATIENT)).scores) == 3


async def test_vectors_have_one_width_and_the_version_of_the_scores(subject: Subject) -> None:
    vectors = await subject.scorer.describe(ITEMS, timeout=PATIENT)
    assert len(vectors.values) == 4 * len(ITEMS) * vectors.width
    scores = await subject.scorer.score(request(["Heat"], []), timeout=PATIENT)
    assert len(scores.vector) == vectors.width
    assert scores.model_version == vectors.model_version
    assert (await subject.scorer.describe([], timeout=PATIENT)).values == b""


async def test_describe_obeys_its_deadline_and_its_bound(subject: Subject) -> None:
    with pytest.raises(DeadlineExceeded):
        await subject.scorer.describe(ITEMS, timeout=0.0)
    with pytest.raises(InvalidAnswer, match="split the request"):
        await subject.scorer.describe(ITEMS * MAX_DESCRIBED, timeout=PATIENT)
    await subject.scorer.describe([ITEMS[0]] * MAX_DESCRIBED, timeout=PATIENT)


async def test_describe_takes_no_slots_from_lists(subject: Subject) -> None:
    """One describe may be in flight, besides the maximum number of lists."""
    subject.shut()
    out = [asyncio.create_task(subject.scorer.score(ASKED, timeout=PATIENT)) for _ in range(4)]
    first = asyncio.create_task(subject.scorer.describe(ITEMS, timeout=PATIENT))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await subject.scorer.describe(ITEMS, timeout=PATIENT)
    subject.open()
    assert (await first).model_version
    assert all(len(scores.scores) == 3 for scores in await asyncio.gather(*out))
    await subject.scorer.describe(ITEMS, timeout=PATIENT)


async def test_interpretation_has_a_strength_for_each_name(subject: Subject) -> None:
    found = await subject.scorer.interpret("no more horror, but some comedy", ["Horror", "Comedy"], timeout=PATIENT)
    assert found.model_version
    assert len(found.strengths) == 2
    assert all(-1 <= strength <= 1 for strength in found.strengths)
    nothing = await subject.scorer.interpret("...", [], timeout=PATIENT)
    assert nothing.strengths == ()


async def test_interpret_obeys_its_deadline_and_its_bound(subject: Subject) -> None:
    with pytest.raises(DeadlineExceeded):
        await subject.scorer.interpret("more", ["Horror"], timeout=0.0)
    with pytest.raises(InvalidAnswer, match="send those that fit best"):
        await subject.scorer.interpret("more", ["Horror"] * (MAX_NAMES + 1), timeout=PATIENT)


async def test_scores_without_an_event_are_those_of_a_history_that_never_had_it(subject: Subject) -> None:
    whole, *others = await subject.scorer.without(ASKED, [1, 0], timeout=PATIENT)
    assert whole.scores == pytest.approx((await subject.scorer.score(ASKED, timeout=PATIENT)).scores, abs=1e-4)
    for kept, found in zip((ASKED.history[:1], ASKED.history[1:]), others, strict=True):
        alone = await subject.scorer.score(msgspec.structs.replace(ASKED, history=kept), timeout=PATIENT)
        assert found.scores == pytest.approx(alone.scores, abs=1e-4)
        assert found.vector == pytest.approx(alone.vector, abs=1e-4)
        assert found.model_version == whole.model_version


async def test_without_obeys_its_deadline_and_its_bounds(subject: Subject) -> None:
    with pytest.raises(DeadlineExceeded):
        await subject.scorer.without(ASKED, [0], timeout=0.0)
    with pytest.raises(InvalidAnswer, match="outside the history of 2"):
        await subject.scorer.without(ASKED, [2], timeout=PATIENT)
    with pytest.raises(InvalidAnswer, match="ask for fewer"):
        await subject.scorer.without(ASKED, [0] * (MAX_LEFT_OUT + 1), timeout=PATIENT)


async def test_closed_scorer_leaves_nothing_out(subject: Subject) -> None:
    await subject.scorer.close()
    with pytest.raises(Unavailable):
        await subject.scorer.without(ASKED, [0], timeout=PATIENT)


async def test_closed_scorer_interprets_nothing(subject: Subject) -> None:
    await subject.scorer.close()
    with pytest.raises(Unavailable):
        await subject.scorer.interpret("more", ["Horror"], timeout=PATIENT)


async def test_closed_scorer_describes_nothing(subject: Subject) -> None:
    await subject.scorer.close()
    with pytest.raises(Unavailable):
        await subject.scorer.describe(ITEMS, timeout=PATIENT)


async def test_forgotten_session_is_read_again(subject: Subject) -> None:
    before = await subject.scorer.score(ASKED, timeout=PATIENT)
    await subject.scorer.forget([ASKED.session, 12345], timeout=PATIENT)
    await subject.scorer.forget([], timeout=PATIENT)
    await subject.scorer.forget(None, timeout=PATIENT)
    after = await subject.scorer.score(ASKED, timeout=PATIENT)
    assert after.scores == pytest.approx(before.scores, abs=1e-4)
    with pytest.raises(DeadlineExceeded):
        await subject.scorer.forget([ASKED.session], timeout=0.0)


async def test_scripted_vectors_come_from_its_function_and_are_checked() -> None:
    def vector(of: ScoreRequest | Candidate) -> list[float]:
        return [float(len(of.text)), 1.0] if isinstance(of, Candidate) else [2.0, 0.5]

    scorer = ScriptedScorer(vector_of=vector)
    assert (await scorer.score(ASKED, timeout=PATIENT)).vector == (2.0, 0.5)
    vectors = await scorer.describe(ITEMS, timeout=PATIENT)
    assert vectors.width == 2
    assert np.frombuffer(vectors.values, "<f4").tolist() == [11.0, 1.0, 12.0, 1.0]
    assert scorer.described == ITEMS
    for script, error in ((Script.WRONG_COUNT, InvalidAnswer), (Script.NOT_FINITE, InvalidAnswer)):
        scorer.script = script
        with pytest.raises(error):
            await scorer.describe(ITEMS, timeout=PATIENT)
    scorer.script = Script.DOWN
    with pytest.raises(Unavailable):
        await scorer.describe(ITEMS, timeout=PATIENT)


async def test_scripted_versions_answer_by_number_and_others_as_unnamed() -> None:
    second = ScriptedVersion("two", lambda request: [7.0] * len(request.candidates), lambda _: (3.0,))
    scorer = ScriptedScorer(vector_of=lambda _: (1.0,), version="one", versions={2: second})
    for number, name, vector in ((None, "one", 1.0), (2, "two", 3.0), (9, "one", 1.0)):
        scores = await scorer.score(ASKED, timeout=PATIENT, number=number)
        vectors = await scorer.describe(ITEMS, timeout=PATIENT, number=number)
        assert (scores.model_version, scores.vector) == (name, (vector,))
        assert np.frombuffer(vectors.values, "<f4").tolist() == [vector] * len(ITEMS)
        assert vectors.model_version == name
    assert scorer.numbers == scorer.described_numbers == [None, 2, 9]
    assert [await scorer.ready(number) for number in (None, 2, 9)] == [True, True, False]
    second.script = Script.DOWN
    with pytest.raises(Unavailable):
        await scorer.score(ASKED, timeout=PATIENT, number=2)
    assert (await scorer.score(ASKED, timeout=PATIENT)).model_version == "one"


async def test_in_process_scorer_has_one_version() -> None:
    scorer = InProcessScorer(GatedEngine, number=3)
    try:
        assert (await scorer.score(ASKED, timeout=PATIENT, number=3)).model_version
        assert await scorer.ready(3)
        assert not await scorer.ready(4)
        with pytest.raises(Unavailable, match="OUZEL_TRITON"):
            await scorer.score(ASKED, timeout=PATIENT, number=4)
        with pytest.raises(Unavailable, match="version 3 alone, not 4"):
            await scorer.describe(ITEMS, timeout=PATIENT, number=4)
    finally:
        await scorer.close()
