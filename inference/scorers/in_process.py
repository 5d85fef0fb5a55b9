"""A `Scorer` without a server: the engine runs in two threads of this process, one for lists and one for items."""

import asyncio
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from inference import wire
from inference.errors import RequestRefused
from inference.settings import ModelSettings
from inference.shared import ScoringEngine, SharedEngine, Stopped
from inference.versions.store import FIRST
from schemas.scoring import (
    Candidate,
    DeadlineExceeded,
    Interpretation,
    InvalidAnswer,
    ItemVectors,
    Overloaded,
    ScoreRequest,
    Scores,
    Unavailable,
)

T = TypeVar("T")

log = logging.getLogger(__name__)


class InProcessScorer:
    """Scores in one thread, one request at a time, with at most `max_in_flight` queued or running. Describes in another
    thread, one request at a time, which gives way to lists.

    It has one version of the model, `number`; a request that names another raises `Unavailable`.

    The first call of any kind runs `load`, in the first thread, to create the engine. A request whose deadline passes
    raises `DeadlineExceeded` at once; if it has not started it is dropped, otherwise it runs to its end.
    """

    keeps_here = True

    def __init__(self, load: Callable[[], ScoringEngine], *, max_in_flight: int = 32, number: int = FIRST) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._load = load
        self._number = number
        self._engine: SharedEngine | None = None
        self._max_in_flight = max_in_flight
        self._out: list[Future[Scores]] = []
        self._describing: Future[ItemVectors] | None = None
        self._interpreting: Future[Interpretation] | None = None
        self._leaving_out: Future[tuple[Scores, ...]] | None = None
        self._tending: Future[None] | None = None
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorer")
        self._beside = ThreadPoolExecutor(1, thread_name_prefix="describing")

    @classmethod
    def from_weights(
        cls, weights: Path, settings: ModelSettings, *, max_in_flight: int = 32, number: int = FIRST
    ) -> "InProcessScorer":
        """Create a scorer for a built model (`inference.engines.load_engine`)."""

        def load() -> ScoringEngine:
            # Read when torch is loaded. By default threads spin at barriers and starve each other on shared machines.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            from inference.engines import load_engine  # noqa: PLC0415  (imports torch: in the thread, only if used)

            engine = load_engine(weights, settings)
            log.info("Scoring in-process with %s in %s", engine.version, engine.chosen)
            return engine

        return cls(load, max_in_flight=max_in_flight, number=number)

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        self._check(timeout, number)
        self._out = [future for future in self._out if not future.done()]
        if len(self._out) >= self._max_in_flight:
            raise Overloaded(f"{len(self._out)} requests are in flight; raise max_in_flight, or send fewer requests")
        future = self._thread.submit(self._run, request)
        self._out.append(future)
        return await _within(future, timeout)

    async def describe(self, items: Sequence[Candidate], *, timeout: float, number: int | None = None) -> ItemVectors:
        wire.check_count(items)
        self._check(timeout, number)
        if self._describing is not None and not self._describing.done():
            raise Overloaded("a describe request is in flight; retry when it is answered")
        self._describing = self._beside.submit(self._run_describe, items)
        return await _within(self._describing, timeout)

    async def interpret(self, sentence: str, names: Sequence[str], *, timeout: float) -> Interpretation:
        wire.check_names(names)
        self._check(timeout)
        if self._interpreting is not None and not self._interpreting.done():
            raise Overloaded("an interpret request is in flight; retry when it is answered")
        self._interpreting = self._beside.submit(self._run_interpret, sentence, names)
        return await _within(self._interpreting, timeout)

    async def without(
        self, request: ScoreRequest, left_out: Sequence[int], *, timeout: float, number: int | None = None
    ) -> tuple[Scores, ...]:
        wire.check_places(request, left_out)
        self._check(timeout, number)
        if self._leaving_out is not None and not self._leaving_out.done():
            raise Overloaded("a without request is in flight; retry when it is answered")
        self._leaving_out = self._beside.submit(self._run_without, wire.WithoutRequest(request, tuple(left_out)))
        return await _within(self._leaving_out, timeout)

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        self._check(timeout)
        await _within(self._thread.submit(self._run_forget, sessions), timeout)

    async def ready(self, number: int | None = None) -> bool:
        if self._closed or number not in {None, self._number}:
            return False
        try:
            await asyncio.wrap_future(self._thread.submit(self._loaded))
        except Exception:  # never raises: the first request reports the error
            return False
        return True

    async def close(self) -> None:
        """Wait for the running list, abort the pass over items, and drop queued requests."""
        self._closed = True
        if self._engine is not None:
            self._engine.stop()
        await asyncio.to_thread(self._beside.shutdown, wait=True, cancel_futures=True)
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        self._engine = None

    def _check(self, timeout: float, number: int | None = None) -> None:
        if self._closed:
            raise Unavailable("this scorer is closed; create a new one")
        if number not in {None, self._number}:
            raise Unavailable(
                f"this process scores with version {self._number} alone, not {number}: serve versions with "
                "`ouzel triton serve` and set OUZEL_TRITON"
            )
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to call the model")

    def _loaded(self) -> SharedEngine:
        if self._engine is None:
            self._engine = SharedEngine(self._load())
        return self._engine

    def _run(self, request: ScoreRequest) -> Scores:
        try:
            engine = self._loaded()
            (answer,) = engine.score([request])
        except Exception as error:
            raise Unavailable(f"the engine failed: {error}; see the log") from error
        if engine.behind:
            self._schedule_tend()
        if answer is None or isinstance(answer, RequestRefused):
            raise InvalidAnswer(str(answer))
        return wire.answer(answer, len(request.candidates), engine.version)

    def _run_forget(self, sessions: Sequence[int] | None) -> None:
        if self._engine is not None:
            self._engine.forget(sessions)

    def _schedule_tend(self) -> None:
        """Schedule `tend` in the other thread, unless it is already queued."""
        if self._tending is not None and not self._tending.running() and not self._tending.done():
            return
        with suppress(RuntimeError):  # closed meanwhile
            self._tending = self._beside.submit(self._run_tend)

    def _run_tend(self) -> None:
        try:
            if self._engine is not None:
                self._engine.tend()
        except Stopped:
            pass
        except Exception as error:
            log.error("Could not read items that lists lack: %s. Lists are made without them.", error)

    def _run_describe(self, items: Sequence[Candidate]) -> ItemVectors:
        engine, vectors = self._beside_lists(lambda engine: engine.describe(items))
        if engine.behind:
            self._schedule_tend()
        return wire.described(vectors, len(items))

    def _run_interpret(self, sentence: str, names: Sequence[str]) -> Interpretation:
        _, found = self._beside_lists(lambda engine: engine.interpret(sentence, names))
        return wire.interpreted(found.strengths, len(names), found.model_version)

    def _run_without(self, asked: wire.WithoutRequest) -> tuple[Scores, ...]:
        engine, found = self._beside_lists(lambda engine: engine.without(asked.request, asked.left_out))
        whole = wire.Answered(
            tuple(score for each in found for score in each.scores),
            tuple(value for each in found for value in each.vector),
        )
        return wire.answers(whole, asked, engine.version)

    def _beside_lists(self, work: Callable[[SharedEngine], T]) -> tuple[SharedEngine, T]:
        """The engine, and the result of background work with it. Raises the port's exceptions."""
        try:
            engine = self._engine or self._thread.submit(self._loaded).result()
            if self._closed:
                raise Stopped
            return engine, work(engine)
        except RequestRefused as refused:
            raise InvalidAnswer(str(refused)) from None
        except (Stopped, CancelledError):
            raise Unavailable("this scorer was closed during the request; create a new one") from None
        except Exception as error:
            raise Unavailable(f"the engine failed: {error}; see the log") from error


async def _within(future: Future[T], timeout: float) -> T:
    """Await the result of work in a thread, raising the port's exceptions."""
    try:
        async with asyncio.timeout(timeout):
            # The timeout cancels the future: work that has not started is dropped.
            return await asyncio.wrap_future(future)
    except TimeoutError:
        raise DeadlineExceeded("the model did not answer in time; send fewer candidates") from None
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is None or task.cancelling() > 0:
            raise
        raise Unavailable("this scorer was closed during the request; create a new one") from None
