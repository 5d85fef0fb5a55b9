"""More questions about items than the model has room for: refused at once and counted, and lists are answered."""

import asyncio
import re
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace

from inference import wire
from inference.scorers.rest import FIRST_SECONDS, Rest
from inference.scorers.triton import TritonScorer
from inference.triton import server
from inference.triton.repository import build, settings_of, weights_of
from schemas.scoring import MAX_DESCRIBED, Candidate, ItemVectors, Overloaded, Scores
from tests.support import tiny_model as tiny

PATIENT = 120.0
ROOM = 2
ASKED = tiny.request(["Heat (1995)", "Alien (1979)"], ["Fargo (1996)", "Toy Story (1995)"])


def unread(number: int) -> list[Candidate]:
    """Items that keep the model busy for longer than it takes to send a few questions."""
    return [Candidate(f"Item {number}-{at} " + "with a title of many words " * 6) for at in range(MAX_DESCRIBED)]


@pytest.fixture(scope="module")
def crowded(item_token_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[server.TritonServer]:
    """A server with room for `ROOM` questions."""
    target = tmp_path_factory.mktemp("crowded") / "models"
    weights = weights_of(target)
    weights.parent.mkdir(parents=True)
    weights.symlink_to(weights_of(item_token_model).resolve())
    build(target, replace(settings_of(item_token_model), max_describes=ROOM, readings=""))
    with server.running(target, log=target.parent / "server.log") as running:
        yield running


@asynccontextmanager
async def clients(address: str, count: int) -> AsyncIterator[list[TritonScorer]]:
    made = [TritonScorer(address) for _ in range(count)]
    yield made
    for each in made:
        await each.close()


def refused(running: server.TritonServer) -> int:
    with urllib.request.urlopen(f"http://{running.metrics}/metrics", timeout=60) as page:
        found = re.search(r'ouzel_describes_refused_total\{model="scorer",version="1"\} (\d+)', page.read().decode())
    assert found
    return int(found[1])


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.triton
async def test_requests_beyond_the_queue_are_refused_and_lists_are_answered(crowded: server.TritonServer) -> None:
    before = refused(crowded)
    async with clients(crowded.grpc, 8) as scorers:
        out = [
            asyncio.create_task(scorer.describe(unread(number), timeout=PATIENT))
            for number, scorer in enumerate(scorers)
        ]
        # `ROOM` wait, besides one or two that the model had taken up before the others came.
        await asyncio.wait(out, return_when=asyncio.FIRST_COMPLETED)
        made = await scorers[0].score(ASKED, timeout=PATIENT)
        assert len(made.scores) == 2
        assert not all(task.done() for task in out), "the lists had to wait for the items"
        answers = await asyncio.gather(*out, return_exceptions=True)
    errors = [answer for answer in answers if isinstance(answer, Overloaded)]
    vectors = [answer for answer in answers if isinstance(answer, ItemVectors)]
    assert len(errors) + len(vectors) == len(answers), answers
    assert len(vectors) >= ROOM
    assert errors
    assert "max_describes" in str(errors[0])
    assert refused(crowded) - before == len(errors)


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.triton
async def test_flood_of_describe_requests_delays_no_list(crowded: server.TritonServer) -> None:
    """Clients that ask again at once, whatever they are told: every list is answered, and none is overloaded."""

    async def flood(scorer: TritonScorer, number: int) -> None:
        scorer._rest = Rest(0.0, 0.0)
        while True:
            try:
                await scorer.describe(unread(number), timeout=PATIENT)
            except Overloaded:
                continue

    async with clients(crowded.grpc, 16) as scorers:
        floods = [asyncio.create_task(flood(scorer, number)) for number, scorer in enumerate(scorers)]
        before = refused(crowded)
        lists: list[Scores] = []
        for session in range(10):
            asked = replace(ASKED, session=session)
            lists.append(await scorers[session].score(asked, timeout=PATIENT))
        assert all(made.scores == pytest.approx(lists[0].scores, abs=1e-4) for made in lists)
        assert await asyncio.to_thread(refused, crowded) > before
        for each in floods:
            each.cancel()
        await asyncio.gather(*floods, return_exceptions=True)


async def test_refused_client_waits_before_it_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = TritonScorer("127.0.0.1:1")
    loop = asyncio.get_running_loop()
    sent: list[float] = []
    full = True

    async def ask(request: wire.Question, timeout: float) -> tuple[wire.Answered, str]:
        sent.append(loop.time())
        if full:
            raise Overloaded("no room")
        return wire.Answered((0.0,), (1.0,)), "v-1"

    monkeypatch.setattr(scorer, "_ask", ask)
    for _ in range(3):
        with pytest.raises(Overloaded, match="no room"):
            await scorer.describe([Candidate("Heat")], timeout=PATIENT)
    assert sent[1] - sent[0] >= 0.99 * FIRST_SECONDS
    assert sent[2] - sent[1] >= 0.99 * 2 * FIRST_SECONDS
    with pytest.raises(Overloaded, match="a moment ago"):
        await scorer.describe([Candidate("Heat")], timeout=0.001)
    assert len(sent) == 3
    full = False
    await scorer.describe([Candidate("Heat")], timeout=PATIENT)
    await scorer.describe([Candidate("Heat")], timeout=PATIENT)
    await scorer.close()


def test_rests_grow_with_each_refusal_and_end_with_an_answer() -> None:
    rest = Rest(1.0, 3.0)
    assert rest.left(0.0) == 0.0
    lefts = []
    for _ in range(3):
        rest.refused(10.0)
        lefts.append(rest.left(10.5))
    assert lefts == [0.5, 1.5, 2.5]
    assert rest.left(13.0) == 0.0
    rest.answered()
    rest.refused(20.0)
    assert rest.left(20.0) == 1.0
