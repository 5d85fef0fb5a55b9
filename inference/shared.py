"""One engine shared by two threads: one scores lists, the other reads items and gives way between layers of a pass.

Reading items is background work and slower than a list. Items are therefore read in large passes, which are cheapest,
and a list that arrives during a pass waits for one layer only.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from inference import wire
from inference.priority_lock import PriorityLock
from schemas.scoring import Candidate, Interpretation, ItemVectors, ScoreRequest


class Counts(NamedTuple):
    """Counters since the engine was loaded: items read by the model, readings taken from the store, and failures of the
    store."""

    model: int = 0
    store: int = 0
    store_failures: int = 0


class Stopped(Exception):
    """The engine was stopped during a pass; the result is dropped."""


class ScoringEngine(Protocol):
    """The interface of engines (see `inference.engines`) towards scorers.

    `skip(i)` is called just before the work of request i and returns whether its caller has given up. `describe`
    returns vectors of width 0 if the model has none, and raises `RequestRefused` for items outside its bounds. `pause`
    is called between the layers of a pass over items or a sentence, and between the passes of `without`
    (`inference.left_out`); the engine may score meanwhile, and an exception from it ends the work.

    `behind` is true if lists lacked items, which `tend` reads, or if `save` has to write new readings to disk. `save`
    may be called at any time, from the thread that describes.
    """

    @property
    def version(self) -> str: ...

    @property
    def behind(self) -> bool: ...

    @property
    def counts(self) -> Counts: ...

    def score(
        self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None
    ) -> list[wire.Answer]: ...

    def describe(self, items: Sequence[Candidate], pause: Callable[[], None] | None = None) -> ItemVectors: ...

    def interpret(
        self, sentence: str, names: Sequence[str], pause: Callable[[], None] | None = None
    ) -> Interpretation: ...

    def without(
        self, request: ScoreRequest, left_out: Sequence[int], pause: Callable[[], None] | None = None
    ) -> list[wire.Answered]: ...

    def tend(self, pause: Callable[[], None] | None = None) -> None: ...

    def save(self) -> None: ...

    def forget(self, sessions: Sequence[int] | None) -> None: ...

    def clear(self) -> None: ...


class SharedEngine:
    """Call `score` and `forget` from one thread, `describe`, `interpret`, `without` and `tend` from another, the rest
    from any."""

    def __init__(self, engine: ScoringEngine) -> None:
        self._engine = engine
        self._lock = PriorityLock()
        self._stopping = False

    @property
    def version(self) -> str:
        return self._engine.version

    @property
    def behind(self) -> bool:
        return self._engine.behind

    @property
    def counts(self) -> Counts:
        return self._engine.counts

    def score(self, requests: Sequence[ScoreRequest], skip: Callable[[int], bool] | None = None) -> list[wire.Answer]:
        """Score requests, waiting at most for one layer of a pass over items. If `behind` afterwards, call `tend`."""
        with self._lock.foreground():
            return self._engine.score(requests, skip)

    def forget(self, sessions: Sequence[int] | None) -> None:
        with self._lock.foreground():
            self._engine.forget(sessions)

    def describe(self, items: Sequence[Candidate]) -> ItemVectors:
        """Read items in the background. Raises `RequestRefused`, or `Stopped` after `stop`."""
        with self._lock.background():
            return self._engine.describe(items, self._pause)

    def interpret(self, sentence: str, names: Sequence[str]) -> Interpretation:
        """Interpret a sentence in the background. Raises `RequestRefused`, or `Stopped` after `stop`."""
        with self._lock.background():
            return self._engine.interpret(sentence, names, self._pause)

    def without(self, request: ScoreRequest, left_out: Sequence[int]) -> list[wire.Answered]:
        """Score a request with its whole history, and without each event at these places, in the background. Raises
        `RequestRefused`, or `Stopped` after `stop`."""
        with self._lock.background():
            return self._engine.without(request, left_out, self._pause)

    def tend(self) -> None:
        """Read the items that lists lacked, and save new readings to disk. Background work. Raises `Stopped`."""
        try:
            if self._engine.behind:
                with self._lock.background():
                    self._engine.tend(self._pause)
        finally:
            # Outside the lock: a slow disk must not delay a list.
            self._engine.save()

    def stop(self) -> None:
        """Abort the current pass over items, if any, at its next layer."""
        self._stopping = True

    def clear(self) -> None:
        with self._lock.foreground():
            self._engine.clear()

    def _pause(self) -> None:
        if self._stopping:
            raise Stopped
        self._lock.give_way()
