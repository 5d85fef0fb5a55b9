"""Items get their vectors in the background, whatever the model does, and never in the way of lists."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import numpy as np
import pytest

from inference.scorers.scripted import Script, ScriptedScorer
from schemas.neighbours import Covisit, Covisits
from schemas.scoring import Candidate, InvalidAnswer, ItemVectors, ScoreRequest
from streams.clock import SYSTEM, Clock
from streams.items.catalogue import Catalogue
from streams.metrics import Metrics
from streams.serving.item_vectors import FEW, Describing, ReadingProgress, _Batch
from streams.serving.live_versions import LiveVersions
from tests.support import listing
from tests.support.background import running
from tests.support.patience import PATIENCE
from tests.support.pipeline import films
from tests.support.roles import record, versions

BATCH = 16


def number_of(of: ScoreRequest | Candidate) -> list[float]:
    return [float(of.item.removeprefix("film-")), 1.0] if isinstance(of, Candidate) else [0.0, 1.0]


class Counting(ScriptedScorer):
    """Notes the sizes of the requests to describe items, and refuses items with `poison` in their text."""

    def __init__(self, poison: str = "") -> None:
        super().__init__(vector_of=number_of)
        self.sizes: list[int] = []
        self.poison = poison

    async def describe(self, items: Sequence[Candidate], *, timeout: float, number: int | None = None) -> ItemVectors:
        self.sizes.append(len(items))
        if self.poison in {item.item for item in items}:
            raise InvalidAnswer("not this one")
        return await super().describe(items, timeout=timeout)


class Bench:
    def __init__(self, scorer: ScriptedScorer, *, timeout_s: float = 5.0, clock: Clock = SYSTEM) -> None:
        self.catalogue = Catalogue()
        for film in films():
            self.catalogue.add(film)
        self.metrics = Metrics()
        self.popularity = np.zeros(0)
        self.busy = False
        self.live = LiveVersions(self.catalogue, self.metrics, clock)
        self.describing = Describing(
            catalogue=self.catalogue,
            versions=self.live.described,
            popularity=lambda: self.popularity,
            scorer=scorer,
            batch=BATCH,
            timeout_s=timeout_s,
            metrics=self.metrics,
            clock=clock,
            busy=lambda: self.busy,
        )

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self.describing.run()]

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


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - no event comes
            await asyncio.sleep(0.01)


def next_batch(describing: Describing) -> _Batch:
    batch = describing._next()
    assert batch is not None
    return batch


async def test_every_item_is_described_in_batches() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}
    assert scorer.sizes == [FEW, 16, 16, 4]
    assert bench.metrics.registry.get_sample_value("ouzel_described_items_total") == 40


async def test_new_and_changed_items_are_described_and_no_others() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        scorer.described.clear()
        bench.catalogue.add(films(41)[40])
        bench.catalogue.add(films()[3])
        await until(lambda: "film-40" in bench.known())
        assert [item.item for item in scorer.described] == ["film-40"]


async def test_batches_are_small_while_users_wait_for_lists() -> None:
    scorer = Counting()
    bench = Bench(scorer)
    bench.busy = True
    async with running(bench):
        await until(lambda: bench.waiting == 0)
    assert set(scorer.sizes) == {FEW}


@pytest.mark.parametrize("script", [Script.DOWN, Script.OVERLOADED, Script.NOT_FINITE, Script.SLOW])
async def test_describing_continues_when_the_model_answers_again(script: Script) -> None:
    scorer = Counting()
    scorer.script = script
    async with running(Bench(scorer, timeout_s=0.05)) as bench:
        await until(lambda: len(scorer.sizes) > 1)
        assert bench.waiting == 40
        scorer.script = Script.ANSWER
        await until(lambda: bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}


async def test_refused_item_does_not_block_others() -> None:
    scorer = Counting(poison="film-0")
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 1)
    assert bench.known() == {film.id for film in films()} - {"film-0"}


async def test_scorer_that_raises_unexpectedly_is_retried(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Counting):
        async def describe(
            self, items: Sequence[Candidate], *, timeout: float, number: int | None = None
        ) -> ItemVectors:
            if not self.sizes:
                self.sizes.append(0)
                raise RuntimeError("a secret")
            return await super().describe(items, timeout=timeout)

    async with running(Bench(Broken())) as bench:
        await until(lambda: bench.waiting == 0)
    assert "RuntimeError" in caplog.text
    assert "a secret" not in caplog.text


async def test_new_version_describes_every_item_again() -> None:
    scorer = Counting()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        scorer.version = "scripted-2"
        bench.catalogue.vectors.doubt("scripted-2")
        await until(lambda: bench.catalogue.vectors.version == "scripted-2" and bench.waiting == 0)
    assert bench.known() == {film.id for film in films()}
    assert len(scorer.described) == 80


async def test_model_without_vectors_is_asked_once() -> None:
    scorer = Counting()
    scorer.vector_of = lambda _: ()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
        bench.catalogue.add(films(41)[40])
        bench.catalogue.vectors.doubt("scripted-1")
        assert not bench.catalogue.vectors.next(9)
    assert scorer.sizes == [FEW]
    assert bench.metrics.registry.get_sample_value("ouzel_described_items_total") == 0


async def test_candidates_of_waiting_users_are_described_before_popular_items() -> None:
    """The whole order by the list path and the item graph: no item is popular yet when the items arrive."""
    scorer = Counting()
    lists = listing.Bench(scorer)
    catalogue, graph = lists.lists._catalogue, lists.lists._ranker.graph
    describing = Describing(
        catalogue=catalogue,
        versions=LiveVersions(catalogue, lists.metrics, SYSTEM).described,
        popularity=graph.events,
        scorer=scorer,
        batch=FEW,
        timeout_s=5.0,
        metrics=lists.metrics,
        clock=SYSTEM,
        busy=lambda: True,
    )
    assert catalogue.vectors.waiting == 40

    def read() -> list[str]:
        return [item.item for item in scorer.described]

    # The past is folded after the items have arrived.
    for number, times in ((30, 4), (20, 6), (10, 5), (35, 3)):
        updates = tuple(Covisit(offset=at, ts=1, scene="home", liked=True) for at in range(times))
        graph.learn(Covisits(item=f"film-{number}", partition=0, updates=updates))
    assert await describing._describe(next_batch(describing))
    assert read() == ["film-20", "film-10", "film-30", "film-35"]

    async with running(lists):
        lists.did("ann", "film-7")
        await lists.until(lambda: len(lists.made("ann")) == 1)
    (made,) = lists.made("ann")
    assert made.degraded is None, "a list whose candidates are unread has the model's scores anyway"
    scored = [candidate.item for candidate in scorer.asked[0].candidates]
    unread = [item for item in scored if item not in read()]
    assert len(unread) >= FEW
    assert await describing._describe(next_batch(describing))
    assert read()[4:] == unread[:FEW]
    while batch := describing._next():
        assert await describing._describe(batch)
    assert read().index("film-7") < 4 + len(unread) + 1, "the items of ann's events are read right after her candidates"
    assert len(read()) == len(set(read())) == 40


async def test_batches_are_no_longer_than_a_second() -> None:
    now = [0.0]
    clock = Clock(now_ms=lambda: 0, monotonic=lambda: now[0])

    class Slow(Counting):
        async def describe(
            self, items: Sequence[Candidate], *, timeout: float, number: int | None = None
        ) -> ItemVectors:
            now[0] += 0.2 * len(items)
            return await super().describe(items, timeout=timeout)

    scorer = Slow()
    async with running(Bench(scorer, clock=clock)) as bench:
        await until(lambda: bench.waiting == 0)
    assert scorer.sizes == [FEW, *[5] * 7, 1]


async def test_slow_batch_is_halved() -> None:
    scorer = Counting()
    scorer.script = Script.SLOW
    bench = Bench(scorer, timeout_s=0.01)
    async with running(bench):
        await until(lambda: len(scorer.sizes) > 2)
    assert scorer.sizes[:3] == [FEW, FEW // 2, FEW // 4]


async def test_full_model_is_retried_with_as_many_items_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Crowded(Counting):
        """Has room every second time."""

        async def describe(
            self, items: Sequence[Candidate], *, timeout: float, number: int | None = None
        ) -> ItemVectors:
            self.script = Script.OVERLOADED if len(self.sizes) % 2 == 0 else Script.ANSWER
            return await super().describe(items, timeout=timeout)

    caplog.set_level("INFO", "streams")
    scorer = Crowded()
    async with running(Bench(scorer)) as bench:
        await until(lambda: bench.waiting == 0)
    assert scorer.sizes == [FEW, FEW, 16, 16, 16, 16, 4, 4]
    assert bench.metrics.registry.get_sample_value("ouzel_refused_describes_total") == 4
    (line,) = [record.getMessage() for record in caplog.records]
    assert "no room for more items" in line


async def test_progress_is_logged_with_the_time_left(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "streams.serving.item_vectors")
    metrics = Metrics()
    progress = ReadingProgress(metrics)
    progress.look(1, 1_000, 0.0)
    progress.look(0, 1_000, 1.0)
    progress.look(600, 1_000, 2.0)
    for second in range(1, 21):
        progress.described(5)
        progress.look(600 - 5 * second, 1_000, 2.0 + second)
    left = metrics.registry.get_sample_value("ouzel_reading_seconds_left")
    assert left == pytest.approx(100.0)
    progress.look(0, 1_000, 130.0)
    assert [record.getMessage() for record in caplog.records] == [
        "450 of 1,000 items are read by the model, about 2 min left; lists go out meanwhile",
        "500 of 1,000 items are read by the model, about 2 min left; lists go out meanwhile",
        "All 1,000 items are read by the model",
    ]


async def test_outage_of_the_model_is_logged_at_its_beginning_and_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "streams.serving.outage")
    scorer = Counting()
    scorer.script = Script.DOWN
    async with running(Bench(scorer)) as bench:
        await until(lambda: len(scorer.sizes) > 2)
        scorer.script = Script.ANSWER
        await until(lambda: bench.waiting == 0)
    assert [record.getMessage() for record in caplog.records] == [
        "The model does not answer, items wait to be read: scripted: down",
        "The model answers again",
    ]


async def of_two(scorer: ScriptedScorer) -> Bench:
    """Items to describe by two versions: version 1 as champion, version 2 in shadow."""
    bench = Bench(scorer)
    for role, number in (("champion", 1), ("shadow", 2)):
        bench.live.apply(0, *record(role, number))
    return bench


def second(bench: Bench) -> int:
    """How many items the challenger lacks."""
    return bench.live.ack("w", 0).lacking


async def test_items_of_the_challenger_are_described_after_the_champions() -> None:
    scorer = versions(1, 2)
    async with running(await of_two(scorer)) as bench:
        await until(lambda: bench.waiting + second(bench) == 0)
    numbers = scorer.described_numbers
    assert numbers == [1] * numbers.count(1) + [2] * numbers.count(2)
    challenger = bench.live.challenger()
    assert challenger is not None
    assert (challenger.vectors.version, bench.catalogue.vectors.version) == ("v2", "v1")


async def test_batches_for_the_challenger_are_small_while_users_wait() -> None:
    scorer = versions(1, 2)
    bench = await of_two(scorer)
    bench.busy = True
    async with running(bench):
        await until(lambda: bench.waiting + second(bench) == 0)
    assert scorer.described_numbers.count(2) == 40 // FEW


@pytest.mark.parametrize("script", [Script.DOWN, Script.OVERLOADED, Script.NOT_FINITE])
@pytest.mark.parametrize("broken", [1, 2])
async def test_failing_version_does_not_hold_up_the_items_of_the_other(broken: int, script: Script) -> None:
    scorer = versions(1, 2)
    scorer.versions[broken].script = script
    async with running(await of_two(scorer)) as bench:
        await until(lambda: (second(bench) if broken == 1 else bench.waiting) == 0)
        assert (bench.waiting if broken == 1 else second(bench)) == 40
        scorer.versions[broken].script = Script.ANSWER
        await until(lambda: bench.waiting + second(bench) == 0)


async def test_challenger_gets_no_vectors_of_another_version(caplog: pytest.LogCaptureFixture) -> None:
    scorer = versions(1, 2, 3)
    del scorer.versions[2]  # version 3 answers for it
    async with running(await of_two(scorer)) as bench:
        await until(lambda: bench.waiting == 0 and 2 in scorer.described_numbers)
        assert second(bench) == 40
        assert "number 2 answers as v3: load v2 as this number" in caplog.text
        scorer.versions[2] = versions(2).versions[2]
        await until(lambda: second(bench) == 0)
