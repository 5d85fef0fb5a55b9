"""One engine for two threads: lists in the one, items in the other, which gives way between two layers of a pass.

Reading items is background work, and one takes longer than a list. So items are read in large passes, which
are the cheapest, and a list that comes meanwhile waits for one layer of such a pass.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from inference import wire
from inference.priority_lock import Turns
from schemas.scoring import Candidate, ItemVectors, ScoreRequest


class Counts(NamedTuple):
    """What an engine did since it was loaded: items that the model read, items whose readings came from the store, and
    times that the store failed."""

    model: int = 0
    store: int = 0
    store_failures: int = 0


class Stopped(Exception):
    """The engine is being put away in the middle of a pass, whose result is dropped."""


class ScoringEngine(Protocol):
    """What a scorer needs of an engine (those that `inference.engines` knows).

    `skip(i)` is asked just before the work of request i: whether its caller has given up. `describe` gives vectors
    of width 0 where the model has none, and raises `RequestRefused` for items that it does not take. `pause` is called
    between the layers of a pass over items; the engine may score meanwhile, and what it raises ends the pass.

    `behind` says whether lists lacked items, which `tend` reads, or something was read that `save` has yet to write to
    disk. `save` may be called at any time, from the thread that describes.
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

    def tend(self, pause: Callable[[], None] | None = None) -> None: ...

    def save(self) -> None: ...

    def forget(self, sessions: Sequence[int] | None) -> None: ...

    def clear(self) -> None: ...


class SharedEngine:
    """`score` and `forget` are for one thread, `describe` and `tend` for another, and the rest for any."""

    def __init__(self, engine: ScoringEngine) -> None:
        self._engine = engine
        self._turns = Turns()
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
        """Waits for one layer of a pass over items, at most. If the engine is `behind` then, have it tended."""
        with self._turns.first():
            return self._engine.score(requests, skip)

    def forget(self, sessions: Sequence[int] | None) -> None:
        with self._turns.first():
            self._engine.forget(sessions)

    def describe(self, items: Sequence[Candidate]) -> ItemVectors:
        """Raises `RequestRefused`, and `Stopped` after `stop`."""
        with self._turns.second():
            return self._engine.describe(items, self._pause)

    def tend(self) -> None:
        """Read what lists lacked, and keep on disk what was read. Background work. Raises `Stopped`."""
        try:
            if self._engine.behind:
                with self._turns.second():
                    self._engine.tend(self._pause)
        finally:
            # Without a turn: a slow disk holds up no list.
            self._engine.save()

    def stop(self) -> None:
        """Break off the pass over items that is under way, if any, at its next layer."""
        self._stopping = True

    def clear(self) -> None:
        with self._turns.first():
            self._engine.clear()

    def _pause(self) -> None:
        if self._stopping:
            raise Stopped
        self._turns.give_way()
