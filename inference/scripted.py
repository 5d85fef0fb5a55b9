"""A `Scorer` that does as it is told: a testing aid for whoever uses the port.

scorer = ScriptedScorer(lambda request: [len(c.text) for c in request.candidates])
scorer.script = Script.DOWN
"""

import asyncio
from collections.abc import Callable, Sequence
from enum import StrEnum

from inference import wire
from schemas.scoring import (
    CircuitOpen,
    DeadlineExceeded,
    Overloaded,
    ScoreRequest,
    Scores,
    Unavailable,
)


class Script(StrEnum):
    """What the scorer does with the requests that come while it is set."""

    ANSWER = "answer"
    SLOW = "slow"
    DOWN = "down"
    OVERLOADED = "overloaded"
    WRONG_COUNT = "wrong_count"
    NOT_FINITE = "not_finite"
    CIRCUIT_OPEN = "circuit_open"


def by_position(request: ScoreRequest) -> Sequence[float]:
    """The first candidate is the best."""
    return [-float(i) for i in range(len(request.candidates))]


class ScriptedScorer:
    """Answers with `function`, or misbehaves as `script` says. `asked` is every request that came, in order.

    `SLOW` answers nothing until `release` is called or the deadline passes, so a test needs no sleep.
    At most `max_in_flight` requests wait at once.
    """

    def __init__(
        self,
        function: Callable[[ScoreRequest], Sequence[float]] = by_position,
        *,
        version: str = "scripted-1",
        max_in_flight: int = 32,
    ) -> None:
        self.function = function
        self.version = version
        self.script = Script.ANSWER
        self.asked: list[ScoreRequest] = []
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._closed = False
        self._released = asyncio.Event()

    def release(self) -> None:
        """Let the requests that wait under `SLOW` be answered, and script `ANSWER` from now on."""
        self.script = Script.ANSWER
        self._released.set()
        self._released = asyncio.Event()

    async def score(self, request: ScoreRequest, *, timeout: float) -> Scores:
        if self._closed:
            raise Unavailable("this scorer is closed")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left")
        if self._in_flight >= self._max_in_flight:
            raise Overloaded("scripted: too many requests are out")
        self.asked.append(request)
        self._in_flight += 1
        try:
            return await self._act(request, timeout)
        finally:
            self._in_flight -= 1

    async def _act(self, request: ScoreRequest, timeout: float) -> Scores:
        script = self.script
        scores = [float(s) for s in self.function(request)] if script not in _REFUSALS else []
        match script:
            case Script.SLOW:
                try:
                    async with asyncio.timeout(timeout):
                        await self._released.wait()
                except TimeoutError:
                    raise DeadlineExceeded("scripted: slow") from None
            case Script.WRONG_COUNT:
                scores = [*scores, 0.0]
            case Script.NOT_FINITE:
                scores = [float("nan"), *scores[1:]]
            case Script.ANSWER:
                pass
            case _:
                raise _REFUSALS[script](f"scripted: {script.value}")
        return wire.answer(scores, len(request.candidates), self.version)

    async def ready(self) -> bool:
        return not self._closed and self.script not in _REFUSALS

    async def close(self) -> None:
        self._closed = True
        self._released.set()


_REFUSALS = {Script.DOWN: Unavailable, Script.OVERLOADED: Overloaded, Script.CIRCUIT_OPEN: CircuitOpen}
