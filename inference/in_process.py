"""The `Scorer` without a server: the same engine in one worker thread of this process."""

import asyncio
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Protocol

from inference import wire
from inference.errors import RequestRefused
from inference.settings import ModelSettings
from schemas.scoring import DeadlineExceeded, InvalidAnswer, Overloaded, ScoreRequest, Scores, Unavailable


class ScoringEngine(Protocol):
    """What a scorer needs of an engine (`inference.engine.Engine`)."""

    @property
    def version(self) -> str: ...

    def score(self, requests: Sequence[ScoreRequest]) -> list[tuple[float, ...] | RequestRefused | None]: ...


class InProcessScorer:
    """Scores in one thread, one request after the other, at most `max_in_flight` waiting or under way.

    `load` makes the engine, in that thread, at the first `ready` or `score`. A request whose deadline passes is
    answered with `DeadlineExceeded` at once; if it has not begun it never does. One that has begun runs to its end,
    since a pass cannot be broken off.
    """

    def __init__(self, load: Callable[[], ScoringEngine], *, max_in_flight: int = 32) -> None:
        if max_in_flight < 1:
            raise ValueError("max_in_flight must be at least 1")
        self._load = load
        self._engine: ScoringEngine | None = None
        self._max_in_flight = max_in_flight
        self._out: list[Future[Scores]] = []
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="scorer")

    @classmethod
    def from_weights(cls, weights: Path, settings: ModelSettings, *, max_in_flight: int = 32) -> "InProcessScorer":
        """Over the engine of a weights folder (`inference.weights.convert`)."""

        def load() -> ScoringEngine:
            # Read when torch is loaded. Threads that spin at every barrier starve each other on a shared machine.
            os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
            from inference.engine import Engine  # noqa: PLC0415  (imports torch: in the thread, and only if used)

            return Engine.load(weights, settings)

        return cls(load, max_in_flight=max_in_flight)

    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        if self._closed:
            raise Unavailable("this scorer is closed; make a new one")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left to ask the model")
        self._out = [future for future in self._out if not future.done()]
        if len(self._out) >= self._max_in_flight:
            raise Overloaded(f"{len(self._out)} requests wait; raise max_in_flight, or ask less often")
        future = self._thread.submit(self._run, request)
        self._out.append(future)
        try:
            async with asyncio.timeout(timeout):
                # When the time is up this cancels the future: one that has not begun never does.
                return await asyncio.wrap_future(future)
        except TimeoutError:
            raise DeadlineExceeded("the model did not answer in time; fewer candidates make it faster") from None
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is None or task.cancelling() > 0:
                raise
            raise Unavailable("this scorer was closed while it waited; make a new one") from None

    async def ready(self) -> bool:
        if self._closed:
            return False
        try:
            await asyncio.wrap_future(self._thread.submit(self._loaded))
        except Exception:  # "never raises": what is wrong shows with the first request
            return False
        return True

    async def close(self) -> None:
        """Waits for the request under way; those that wait are dropped."""
        self._closed = True
        await asyncio.to_thread(self._thread.shutdown, wait=True, cancel_futures=True)
        self._engine = None

    def _loaded(self) -> ScoringEngine:
        if self._engine is None:
            self._engine = self._load()
        return self._engine

    def _run(self, request: ScoreRequest) -> Scores:
        try:
            engine = self._loaded()
            (scores,) = engine.score([request])
        except Exception as error:
            raise Unavailable(f"the engine failed: {error}; see the log") from error
        if scores is None or isinstance(scores, RequestRefused):
            raise InvalidAnswer(str(scores))
        return wire.answer(scores, len(request.candidates), engine.version)
