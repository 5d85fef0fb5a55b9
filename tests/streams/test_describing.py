"""Items get their vectors in the background, whatever the model does, and never in the way of lists."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from inference.scripted import Script, ScriptedScorer
from schemas.scoring import Candidate, InvalidAnswer, ItemVectors, ScoreRequest
from streams.catalogue import Catalogue
from streams.describing import FEW, Describing
from streams.metrics import Metrics
from tests.path.pipeline import films

BATCH = 16


def number_of(of: ScoreRequest | Candidate) -> list[float]:
    return [float(of.item.removeprefix("film-")), 1.0] if isinstance(of, Candidate) else [0.0, 1.0]


class Counting(ScriptedScorer):
    """Notes the sizes of what it is asked to describe, and refuses what `poison` is in."""

    def __init__(self, poison: str = "") -> None:
        super().__init__(vector_of=number_of)
        self.sizes: list[int] = []
        self.poison = poison

    async def describe(self, items: list[Candidate], *, timeout: float) -> ItemVectors:  # type: ignore[override]
        self.sizes.append(len(items))
        if self.poison in {item.item for item in items}:
            raise InvalidAnswer("not this one")
        return await super().describe(items, timeout=timeout)


class Bench:
    def __init__(self, scorer: Counting, *, timeout_s: float = 5.0) -> None:
        self.catalogue = Catalogue()
        for film in films():
            self.catalogue.add(film)
        self.metrics = Metrics()
        self.busy = False
        self.describing = Describing(
            catalogue=self.catalogue,
            scorer=scorer,
            batch=BATCH,
            timeout_s=timeout_s,
            metrics=self.metrics,
            busy=lambda: self.busy,
        )

    @property
    def waiting(self) -> int:
        return self.catalogue.vectors.waiting

    def known(self) -> set[str]:
        index = self.catalogue.index
        found = self.catalogue.vectors.affinity((1.0, 0.0), self.catalogue.vectors.version, len(index))
        if found is None:
            return set()
        numbers = np.flatnonzero(found.known).tolist()
        assert all(found.scores[number] == float(index[number].removeprefix("film-")) for number in numbers)
        return {index[number] for number in numbers}


@asynccontextmanager
async def running(bench: Bench) -> AsyncIterator[Bench]:
    task = asyncio.create_task(bench.describing.run())
    try:
        yield bench
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110 - what is waited for has no event of its own
            await asyncio.sleep(0.01)


async def test_every_item_gets_its_vector_in_batches() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}
    assert scorer.sizes == [16, 16, 8]
    assert bench.metrics.registry.get_sample_value("ouzel_described_items_total") == 40


async def test_a_new_item_and_a_changed_one_are_described_within_a_second_and_nothing_else() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        scorer.described.clear()
        bench.catalogue.add(films(41)[40])
        bench.catalogue.add(films()[3])
        async with asyncio.timeout(1):
            await until(lambda: "film-40" in bench.known())
        assert [item.item for item in scorer.described] == ["film-40"]


async def test_while_people_wait_for_lists_batches_are_small() -> None:
    scorer = Counting()
    bench = Bench(scorer)
    bench.busy = True
    async with running(bench):
        await until(lambda: bench.waiting == 0)
    assert set(scorer.sizes) == {FEW}


@pytest.mark.parametrize("script", [Script.DOWN, Script.OVERLOADED, Script.NOT_FINITE, Script.SLOW])
async def test_it_goes_on_when_the_model_is_back(script: Script) -> None:
    scorer = Counting()
    scorer.script = script
    async with running(Bench(scorer, timeout_s=0.05)) as bench:
        await until(lambda: len(scorer.sizes) > 1)
        assert bench.waiting == 40
        scorer.script = Script.ANSWER
        await until(lambda: bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}


async def test_an_item_that_the_model_refuses_holds_up_no_other() -> None:
    scorer = Counting(poison="film-0")
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 1)
    assert bench.known() == {film.id for film in films()} - {"film-0"}


async def test_a_scorer_that_breaks_its_promise_is_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counting):
        async def describe(self, items: list[Candidate], *, timeout: float) -> ItemVectors:  # type: ignore[override]
            if not self.sizes:
                self.sizes.append(0)
                raise RuntimeError("a secret")
            return await super().describe(items, timeout=timeout)

    async with running(Bench(Broken())) as bench:
        await until(lambda: bench.waiting == 0)
    assert "RuntimeError" in caplog.text
    assert "a secret" not in caplog.text


async def test_a_new_version_has_everything_described_anew() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        scorer.version = "scripted-2"
        bench.catalogue.vectors.doubt("scripted-2")
        await until(lambda: bench.catalogue.vectors.version == "scripted-2" and bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}
    assert len(scorer.described) == 80


async def test_a_model_without_vectors_is_asked_once() -> None:
    scorer = Counting()
    scorer.vector_of = lambda _: ()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        bench.catalogue.add(films(41)[40])
        bench.catalogue.vectors.doubt("scripted-1")
        assert not bench.catalogue.vectors.next(9)
    assert scorer.sizes == [16]
    assert bench.metrics.registry.get_sample_value("ouzel_described_items_total") == 0
