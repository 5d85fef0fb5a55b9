"""One engine in two threads, on a tiny random model: a list waits for at most one layer of a pass over items."""

import asyncio
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from inference.item_tokens.engine import ItemTokenEngine
from inference.item_tokens.reading import Reader, compose
from inference.item_tokens.reading_store import ReadingStore, read_through
from inference.scorers.in_process import InProcessScorer
from inference.settings import ModelSettings
from inference.shared import Counts, SharedEngine, Stopped
from schemas.scoring import Candidate, ItemVectors, Past, ScoreRequest
from tests.support import tiny_model as tiny
from tests.support.tiny_model import item_token_engine

SECONDS = 60.0
TOLERANCE = 1e-4
FILMS = [Candidate("Heat"), Candidate("Alien"), Candidate("Fargo")]
LIST = ScoreRequest(
    session=1,
    scene="default",
    history=(Past("Jaws", "like", feeling=1), Past("Heat", "like", feeling=1)),
    candidates=(Candidate("Alien"), Candidate("Dumbo")),
)


def matrix(found: ItemVectors) -> np.ndarray:
    return np.frombuffer(found.values, "<f4").reshape(-1, found.width)


def engine(folder: Path | None = None, seed: int = 0, **settings: object) -> ItemTokenEngine:
    """Settings as in serving: lists read no items."""
    chosen = ModelSettings.make(dtype="fp32", threads=1, **settings)
    return ItemTokenEngine(tiny.model().model, tiny.ByteTokens(), tiny.adapter(seed), chosen, "tiny-1", readings=folder)


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.001)


def test_list_waits_for_one_layer_of_a_pass_over_items() -> None:
    """The list is answered between the first and the second layer. Both results are as if run alone, although the list
    reads texts with the same layers."""
    made = item_token_engine()
    shared = SharedEngine(made)
    order: list[str] = []
    answers = []

    def ask() -> None:
        answers.extend(shared.score([LIST]))
        order.append("list")

    asking = threading.Thread(target=ask)
    layers = made._readings.reader.trunk.layers

    def first(module: object, inputs: object) -> None:
        if not order:
            order.append("first layer")
            asking.start()
            until(lambda: shared._lock._waiting == 1)

    def second(module: object, inputs: object, output: object) -> None:
        if threading.current_thread() is not asking:
            order.append("second layer")

    layers[0].register_forward_pre_hook(first)
    layers[1].register_forward_hook(second)
    found = shared.describe(FILMS)
    asking.join(SECONDS)
    assert order[:3] == ["first layer", "list", "second layer"]
    alone = item_token_engine()
    assert matrix(found) == pytest.approx(matrix(alone.describe(FILMS)), abs=TOLERANCE)
    (answer,), (expected,) = answers, alone.score([LIST])
    assert answer.scores == pytest.approx(expected.scores, abs=TOLERANCE)  # type: ignore[union-attr]
    assert answer.vector == pytest.approx(expected.vector, abs=TOLERANCE)  # type: ignore[union-attr]


def test_lists_read_no_items_and_missing_items_are_read_first() -> None:
    made = engine()
    read: list[str] = []
    passes = made._readings.reader.passes

    def noting(texts, pause=None):
        for places, readings in passes(texts, pause):
            read.extend(texts[place] for place in places)
            yield places, readings

    made._readings.reader.passes = noting  # type: ignore[method-assign]
    shared = SharedEngine(made)
    (before,) = shared.score([LIST])
    assert read == []
    assert shared.behind
    shared.tend()
    assert sorted(read) == ["Alien", "Dumbo", "Heat", "Jaws"]
    assert not shared.behind
    (after,) = shared.score([LIST])
    (expected,) = item_token_engine().score([LIST])
    assert after.scores == pytest.approx(expected.scores, abs=TOLERANCE)
    assert before.scores != pytest.approx(expected.scores, abs=TOLERANCE)
    # While items are described, after the pass that is under way; and none is read twice.
    read.clear()
    shared.clear()
    made._readings.reader._most = 1
    asked = [Candidate("a"), Candidate("bb"), Candidate("Dumbo and more"), Candidate("Dumbo")]

    def ask(module: object, inputs: object) -> None:
        if not read:
            made.score([LIST])

    made._readings.reader.trunk.layers[0].register_forward_pre_hook(ask)
    shared.describe(asked)
    assert read[0] == "a"
    assert sorted(read[1:5]) == ["Alien", "Dumbo", "Heat", "Jaws"]
    assert read[5:] == ["bb", "Dumbo and more"]


def test_readings_are_shared_with_later_engines(tmp_path: Path) -> None:
    """A restarted server, and another version on the same base model, give bit-identical vectors."""
    first = SharedEngine(engine(tmp_path))
    items = [Candidate(f"film {number}") for number in range(50)]
    vectors = [first.describe(items[:30]), first.describe(items[30:])]
    assert first.counts == Counts(model=50)
    assert first.behind
    first.tend()
    assert not first.behind
    again = SharedEngine(engine(tmp_path))
    # In other parts: an item's vector does not depend on its company.
    found = b"".join(again.describe(items[begin : begin + 20]).values for begin in (0, 20, 40))
    assert found == b"".join(one.values for one in vectors)
    assert again.counts == Counts(store=50)
    other = SharedEngine(engine(tmp_path, seed=1))
    assert other.describe(items[:1]).values != vectors[0].values[: 4 * vectors[0].width]
    assert other.counts == Counts(store=1)
    # A list finds them too, without reading.
    listed = SharedEngine(engine(tmp_path))
    asked = replace(LIST, history=(), candidates=tuple(items[:5]))
    expected = again.score([asked])[0]
    assert listed.score([asked])[0].scores == pytest.approx(expected.scores, abs=TOLERANCE)
    assert listed.counts == Counts(store=5)


def test_training_and_serving_share_readings(tmp_path: Path) -> None:
    served = engine(tmp_path)
    served.describe(FILMS)
    served.save()
    reader = Reader(tiny.model().model, tiny.ByteTokens(), "tiny-1", (1, 2))
    store = ReadingStore.of(tmp_path, reader, 2**20)
    texts = [compose(film.text, film.about) for film in [*FILMS, Candidate("Jaws", about="sea")]]
    told: list[tuple[int, int]] = []
    read_through(store, reader, texts, lambda *step: told.append(step))
    assert told == [(1, 1), (4, 4)]
    again = engine(tmp_path)
    again.describe([Candidate("Jaws", about="sea")])
    assert again.counts == Counts(store=1)


def test_failing_store_costs_only_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    made = SharedEngine(engine(tmp_path / "file" / "readings"))
    assert matrix(made.describe(FILMS)) == pytest.approx(matrix(item_token_engine().describe(FILMS)), abs=TOLERANCE)
    made.tend()
    assert not made.behind
    assert made.counts.model == 3
    assert made.counts.store_failures >= 2


def test_stop_aborts_a_pass_and_saves_its_readings(tmp_path: Path) -> None:
    made = engine(tmp_path)
    shared = SharedEngine(made)
    shared.describe(FILMS[:1])
    made._readings.reader.trunk.layers[0].register_forward_pre_hook(lambda module, inputs: shared.stop())
    with pytest.raises(Stopped):
        shared.describe(FILMS)
    made.score([LIST])
    with pytest.raises(Stopped):
        shared.tend()
    again = engine(tmp_path)
    again.describe(FILMS)
    assert again.counts == Counts(model=2, store=1)


async def test_in_process_list_is_answered_while_items_are_read(tmp_path: Path) -> None:
    made = engine(tmp_path)
    scorer = InProcessScorer(lambda: made)
    assert await scorer.ready()
    held, go = threading.Event(), threading.Event()

    def hold(module: object, inputs: object) -> None:
        if not held.is_set():
            held.set()
            assert go.wait(SECONDS)

    made._readings.reader.trunk.layers[0].register_forward_pre_hook(hold)
    describing = asyncio.create_task(scorer.describe(FILMS, timeout=SECONDS))
    assert await asyncio.to_thread(held.wait, SECONDS)
    listing = asyncio.create_task(scorer.score(LIST, timeout=SECONDS))
    shared = scorer._engine
    assert shared is not None
    await asyncio.to_thread(until, lambda: shared._lock._waiting == 1)
    order: list[str] = []
    for name, task in (("items", describing), ("list", listing)):
        task.add_done_callback(lambda task, name=name: order.append(name))
    go.set()
    assert len(matrix(await describing)) == 3
    await listing
    assert order == ["list", "items"]
    await asyncio.to_thread(until, lambda: not shared.behind)
    assert shared.counts.model == 5
    await scorer.close()


async def test_in_process_lists_queue_one_tend() -> None:
    """Many lists while the other thread is busy queue only one tend."""
    made = engine()
    scorer = InProcessScorer(lambda: made)
    go = threading.Event()
    busy = scorer._beside.submit(go.wait, SECONDS)
    await asyncio.to_thread(until, busy.running)
    for _ in range(10):
        await scorer.score(LIST, timeout=SECONDS)
    assert made.behind
    assert scorer._beside._work_queue.qsize() == 1
    go.set()
    await asyncio.to_thread(until, lambda: not made.behind)
    # The next list that lacks an item queues another.
    await scorer.score(replace(LIST, candidates=(Candidate("Vertigo"),)), timeout=SECONDS)
    await asyncio.to_thread(until, lambda: made.counts.model == 5)
    await scorer.close()
