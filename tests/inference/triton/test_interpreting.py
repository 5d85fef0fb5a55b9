"""Sentences of users, read by the real language model in the real server, under both strategies, beside lists."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from inference.scorers.triton import TritonScorer
from inference.triton import server
from schemas.scoring import Overloaded
from tests.support.tiny_model import request

pytestmark = [pytest.mark.triton, pytest.mark.slow]

PATIENT = 120.0
NAMES = ("Action", "Comedy", "Drama", "Horror", "Romance", "Sci-Fi", "War", "Fargo (1996)")


@pytest.fixture(params=["triton", "item_token_triton"])
async def scorer(request: pytest.FixtureRequest) -> AsyncIterator[TritonScorer]:
    running: server.TritonServer = request.getfixturevalue(request.param)
    made = TritonScorer(running.grpc)
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("sentence", "meant"),
    [
        ("less horror this week", {"Horror": -1}),
        ("something that makes me laugh", {"Comedy": 1}),
        ("more comedy, less drama", {"Comedy": 1, "Drama": -1}),
        ("like Fargo", {"Fargo (1996)": 1}),
        ("enough of these war films", {"War": -1}),
        ("what is the weather?", {}),
    ],
)
async def test_sentence_is_understood(scorer: TritonScorer, sentence: str, meant: dict[str, int]) -> None:
    found = await scorer.interpret(sentence, NAMES, timeout=PATIENT)
    strong = {name: strength for name, strength in zip(NAMES, found.strengths, strict=True) if abs(strength) > 0.5}
    assert {name: (strength > 0) - (strength < 0) for name, strength in strong.items()} == meant
    assert found.model_version


async def test_lists_are_answered_while_events_are_left_out(scorer: TritonScorer) -> None:
    asked = request([f"film {at}" for at in range(30)], ["Alien", "Fargo"])
    leaving_out = asyncio.create_task(scorer.without(asked, range(30), timeout=PATIENT))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="in flight"):
        await scorer.without(asked, [0], timeout=PATIENT)
    answers = 0
    while not leaving_out.done():
        await scorer.score(request(["Heat"], ["Alien", "Fargo"]), timeout=PATIENT)
        answers += 1
    assert answers > 1
    assert len(await leaving_out) == 31


async def test_lists_are_answered_while_a_sentence_is_read(scorer: TritonScorer) -> None:
    reading = asyncio.create_task(scorer.interpret("a sentence, with; several. clauses", NAMES, timeout=PATIENT))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded, match="in flight"):
        await scorer.interpret("another", NAMES, timeout=PATIENT)
    answers = 0
    while not reading.done():
        await scorer.score(request(["Heat"], ["Alien", "Fargo"]), timeout=PATIENT)
        answers += 1
    assert answers > 1
    assert len((await reading).strengths) == len(NAMES)
