"""A scripted `Scorer`: a test double for users of the port.

scorer = ScriptedScorer(lambda request: [len(c.text) for c in request.candidates])
scorer.script = Script.DOWN
scorer = ScriptedScorer(versions={2: ScriptedVersion("better", vector_of=lambda item: (1.0, 2.0))})
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from inference import wire
from inference.left_out import without
from schemas.scoring import (
    Candidate,
    CircuitOpen,
    DeadlineExceeded,
    Interpretation,
    ItemVectors,
    Overloaded,
    ScoreRequest,
    Scores,
    Unavailable,
)


class Script(StrEnum):
    """How the scorer treats requests while it is set."""

    ANSWER = "answer"
    SLOW = "slow"
    DOWN = "down"
    OVERLOADED = "overloaded"
    WRONG_COUNT = "wrong_count"
    NOT_FINITE = "not_finite"
    CIRCUIT_OPEN = "circuit_open"


ALL_SESSIONS = -1
"""Recorded in `ScriptedScorer.forgotten` for a call that forgot all sessions."""


def by_position(request: ScoreRequest) -> Sequence[float]:
    """Scores that fall with the position: the first candidate is the best."""
    return [-float(i) for i in range(len(request.candidates))]


def no_vector(_: ScoreRequest | Candidate) -> Sequence[float]:
    """The vector of a model without vectors."""
    return ()


def no_wish(_: str, names: Sequence[str]) -> Sequence[float]:
    """A sentence that asks for nothing."""
    return [0.0] * len(names)


@dataclass
class ScriptedVersion:
    """One version of the model: the version that its answers name, and how it answers. A `script` other than `ANSWER`
    applies to requests that name this version, instead of the scorer's."""

    name: str
    function: Callable[[ScoreRequest], Sequence[float]] = by_position
    vector_of: Callable[[ScoreRequest | Candidate], Sequence[float]] = no_vector
    script: Script = Script.ANSWER


class ScriptedScorer:
    """Answers with `function`, or misbehaves as `script` says. `asked` records every request, in order.

    `versions` are those that requests may name by number, besides the unnamed one, which `function`, `vector_of` and
    `version` make up; add and remove entries as versions are loaded and unloaded. A number without an entry gets the
    unnamed version's answer. `numbers` records the number of each request in `asked`, `described_numbers` of each call
    of `describe`.

    `vector_of` returns the vector of a context or item; by default there are none. `meaning_of` returns the strengths
    of names in a sentence; by default it asks for none. `described` records every item passed to `describe`;
    `interpreted`, every sentence; `forgotten`, every session passed to `forget`, or `ALL_SESSIONS`. They misbehave like
    `score`. Set `keeps_here` as the test needs it.

    Under `SLOW`, requests wait until `release` is called or the deadline passes, so tests need no sleep.
    At most `max_in_flight` requests may be in flight.
    """

    def __init__(
        self,
        function: Callable[[ScoreRequest], Sequence[float]] = by_position,
        *,
        vector_of: Callable[[ScoreRequest | Candidate], Sequence[float]] = no_vector,
        meaning_of: Callable[[str, Sequence[str]], Sequence[float]] = no_wish,
        version: str = "scripted-1",
        versions: Mapping[int, ScriptedVersion] | None = None,
        max_in_flight: int = 32,
    ) -> None:
        self.function = function
        self.vector_of = vector_of
        self.meaning_of = meaning_of
        self.version = version
        self.versions = dict(versions or {})
        self.keeps_here = False
        self.script = Script.ANSWER
        self.asked: list[ScoreRequest] = []
        self.numbers: list[int | None] = []
        self.described_numbers: list[int | None] = []
        self.described: list[Candidate] = []
        self.interpreted: list[str] = []
        self.forgotten: list[int] = []
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._describing = False
        self._closed = False
        self._released = asyncio.Event()

    def release(self) -> None:
        """Answer the requests that wait under `SLOW`, and set `script` to `ANSWER`."""
        self.script = Script.ANSWER
        self._released.set()
        self._released = asyncio.Event()

    async def score(self, request: ScoreRequest, *, timeout: float, number: int | None = None) -> Scores:
        if self._closed:
            raise Unavailable("this scorer is closed")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left")
        if self._in_flight >= self._max_in_flight:
            raise Overloaded("scripted: too many requests in flight")
        self.asked.append(request)
        self.numbers.append(number)
        self._in_flight += 1
        try:
            return await self._act(request, timeout, number)
        finally:
            self._in_flight -= 1

    async def _act(self, request: ScoreRequest, timeout: float, number: int | None) -> Scores:
        script = self._script(number)
        await self._obey(script, timeout)
        version = self._version(number)
        scores = _bent([float(s) for s in version.function(request)], script)
        answered = wire.Answered(tuple(scores), tuple(map(float, version.vector_of(request))))
        return wire.answer(answered, len(request.candidates), version.name)

    async def describe(self, items: Sequence[Candidate], *, timeout: float, number: int | None = None) -> ItemVectors:
        wire.check_count(items)
        if self._closed:
            raise Unavailable("this scorer is closed")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left")
        if self._describing:
            raise Overloaded("scripted: a describe request is in flight")
        self.described += items
        self.described_numbers.append(number)
        self._describing = True
        script = self._script(number)
        try:
            await self._obey(script, timeout)
        finally:
            self._describing = False
        version = self._version(number)
        rows = [version.vector_of(item) for item in items]
        values = _bent([float(value) for row in rows for value in row], script)
        vectors = ItemVectors(
            width=len(rows[0]) if rows else 0, values=np.array(values, "<f4").tobytes(), model_version=version.name
        )
        return wire.described(vectors, len(items))

    async def interpret(self, sentence: str, names: Sequence[str], *, timeout: float) -> Interpretation:
        wire.check_names(names)
        if self._closed:
            raise Unavailable("this scorer is closed")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left")
        self.interpreted.append(sentence)
        await self._obey(self.script, timeout)
        strengths = _bent(list(self.meaning_of(sentence, names)), self.script)
        return wire.interpreted(strengths, len(names), self.version)

    async def without(
        self, request: ScoreRequest, left_out: Sequence[int], *, timeout: float, number: int | None = None
    ) -> tuple[Scores, ...]:
        wire.check_places(request, left_out)
        return tuple(
            [
                await self.score(each, timeout=timeout, number=number)
                for each in (request, *(without(request, place) for place in left_out))
            ]
        )

    async def forget(self, sessions: Sequence[int] | None, *, timeout: float) -> None:
        if self._closed:
            raise Unavailable("this scorer is closed")
        if timeout <= 0:
            raise DeadlineExceeded("no time was left")
        await self._obey(self.script, timeout)
        self.forgotten += [ALL_SESSIONS] if sessions is None else sessions

    def _version(self, number: int | None) -> ScriptedVersion:
        """The version that answers a request for `number`."""
        unnamed = ScriptedVersion(self.version, self.function, self.vector_of)
        return unnamed if number is None else self.versions.get(number, unnamed)

    def _script(self, number: int | None) -> Script:
        named = None if number is None else self.versions.get(number)
        return self.script if named is None or named.script is Script.ANSWER else named.script

    async def _obey(self, script: Script, timeout: float) -> None:
        """Wait or fail as the script says."""
        if script in _REFUSALS:
            raise _REFUSALS[script](f"scripted: {script.value}")
        if script is Script.SLOW:
            try:
                async with asyncio.timeout(timeout):
                    await self._released.wait()
            except TimeoutError:
                raise DeadlineExceeded("scripted: slow") from None

    async def ready(self, number: int | None = None) -> bool:
        loaded = number is None or not self.versions or number in self.versions
        return not self._closed and loaded and self._script(number) not in _REFUSALS

    async def close(self) -> None:
        self._closed = True
        self._released.set()


def _bent(values: list[float], script: Script) -> list[float]:
    """The numbers of an answer, with one too many or a NaN if the script says so."""
    match script:
        case Script.WRONG_COUNT:
            return [*values, 0.0]
        case Script.NOT_FINITE:
            return [float("nan"), *values[1:]]
    return values


_REFUSALS = {Script.DOWN: Unavailable, Script.OVERLOADED: Overloaded, Script.CIRCUIT_OPEN: CircuitOpen}
