"""Scoring published lists once more with the version that they are compared with, off the users' path.

A list is scored when no user waits for one, one list at a time. Lists wait for that in a bounded queue: the oldest is
dropped when the queue is full, and each is dropped after `WAIT_SECONDS`. Both versions' orders are computed at the same
moment, from the same candidates, blend and graph, without exploration. Memory: `MOST_WAITING` lists of `ITEM_BYTES` per
item of the catalogue each, at most `MOST_BYTES`, but room for `FEWEST` in any case.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.scoring import ScoreRequest, Scores
from schemas.seen import DAY_MS
from streams.clock import Clock
from streams.items.vectors import Vectors
from streams.metrics import ASKED, DROPPED, FAILED, Metrics
from streams.ranking.blend import Blend
from streams.ranking.ranker import Ranker
from streams.ranking.shortlist import Shortlist
from streams.serving.asking import Asking
from streams.serving.canary import drawn
from streams.serving.hit_rate import JUDGED, Judge, Pair
from streams.serving.live_versions import LiveVersion
from streams.serving.watching import UNWATCHED, Watcher
from streams.turns import Turns

log = logging.getLogger(__name__)

MOST_WAITING, FEWEST = 64, 4
"""Maximum lists that wait to be scored; and in a large catalogue."""

ITEM_BYTES, MOST_BYTES = 42, 64 * 2**20
"""Bytes per item of the catalogue that a waiting list holds, measured, and bytes of all waiting lists."""

WAIT_SECONDS = 5.0
"""Maximum age of a list that is scored. A like that comes earlier waits for it: the longer, the more likely is it in
the item graph by then, for both orders."""

IDLE_SECONDS = 0.005
"""Interval between checks whether users wait, while lists wait to be scored."""


def in_shadow(user: str, now_ms: int, share: float) -> bool:
    """Whether the lists of a user are scored by both versions on the day of `now_ms`: a `share` of the users is drawn
    every day. A draw of lists would rarely hold all open lists of a user, by which a like is judged."""
    return share >= 1.0 or drawn(user, share, f"shadow {now_ms // DAY_MS}")


def room(items: int) -> int:
    """How many lists over a catalogue of this many items may wait."""
    return max(FEWEST, min(MOST_WAITING, MOST_BYTES // (ITEM_BYTES * max(items, 1))))


class State(Protocol):
    """The parts of a partition's state that are needed here."""

    @property
    def open(self) -> bool: ...
    def note_version(self, user: str, name: str) -> None: ...


@dataclass(frozen=True, eq=False)
class Made:
    """A published list, and what scoring it once more needs. It was made by the version `by` with the answer `scores`;
    `other` is the version that it is compared with. `plain`: the shortlist before the model answered."""

    name: str
    user: str
    alias: str
    partition: int
    state: State
    request: ScoreRequest
    by: LiveVersion
    scores: Scores
    other: LiveVersion
    plain: Shortlist
    blend: Blend
    born: float


class Shadow:
    """The queue of lists to score. `offer` never waits; `run` works until cancelled. `busy` says whether users wait for
    lists; each score is waited for `timeout_s` at most."""

    def __init__(
        self,
        *,
        asking: Asking,
        ranker: Ranker,
        judge: Judge,
        busy: Callable[[], bool],
        metrics: Metrics,
        clock: Clock,
        turns: Turns,
        timeout_s: float,
        watcher: Watcher = UNWATCHED,
    ) -> None:
        self._asking = asking
        self._ranker = ranker
        self._judge = judge
        self._busy = busy
        self._metrics = metrics
        self._clock = clock
        self._turns = turns
        self._timeout = timeout_s
        self._watcher = watcher
        self._waiting: deque[Made] = deque()
        self._wake = asyncio.Event()
        self._current: Made | None = None
        self._over = asyncio.Event()

    def offer(self, made: Made) -> None:
        """Queue a published list."""
        if len(self._waiting) >= room(len(made.plain.moment.allowed)):
            self._drop(self._waiting.popleft())
        self._judge.expect(made.name)
        self._waiting.append(made)
        self._wake.set()

    def drop(self, user: str) -> bool:
        """Drop the lists of an erased user; whether there were any. One that is being scored is not remembered, since
        the user's lists are dropped: see `settle`."""
        before = len(self._waiting)
        self._waiting = deque(made for made in self._waiting if made.user != user)
        return len(self._waiting) < before or (self._current is not None and self._current.user == user)

    def forget(self, partition: int) -> None:
        """Drop the lists of a partition that is no longer ours."""
        self._waiting = deque(made for made in self._waiting if made.partition != partition)

    async def settle(self, user: str) -> None:
        """Return when no list of an erased user is being scored: the model must not cache the user again later."""
        while self._current is not None and self._current.user == user:
            self._over.clear()
            await self._over.wait()

    async def run(self) -> None:
        while True:
            if not self._waiting:
                self._wake.clear()
                await self._wake.wait()
            elif self._clock.monotonic() - self._waiting[0].born > WAIT_SECONDS:
                self._drop(self._waiting.popleft())
            elif self._busy():
                await asyncio.sleep(IDLE_SECONDS)
            else:
                await self._score(self._waiting.popleft())

    async def _score(self, made: Made) -> None:
        self._current = made
        try:
            self._count((ASKED if await self._compare(made) else FAILED) if made.state.open else DROPPED)
        except Exception as error:  # not the error's text: it may name a user
            log.error("A list could not be scored in shadow (%s)", type(error).__name__)
            self._count(FAILED)
        finally:
            self._judge.give_up(made.name)  # likes that still wait, if it failed
            self._current = None
            self._over.set()

    async def _compare(self, made: Made) -> bool:
        deadline = self._clock.monotonic() + self._timeout
        scores = await self._asking.in_shadow(made.request, deadline=deadline, by=made.other)
        if scores is None or scores.model_version == made.scores.model_version:
            return False
        orders: dict[str, tuple[str, ...]] = {}
        for said, by in ((made.scores, made.by), (scores, made.other)):
            await self._leisure(made)
            orders[said.model_version] = self._order(made, said, by.vectors)
        if made.state.open and self._judge.holds(made.name):  # else the user was erased meanwhile
            made.state.note_version(made.alias, scores.model_version)
            first, second = (made.scores, scores) if made.by.is_champion else (scores, made.scores)
            champion, challenger = first.model_version, second.model_version
            pair = Pair(champion, challenger, orders[champion], orders[challenger], not made.by.is_champion)
            self._judge.pair(made.name, pair)
            if self._watcher.watching:
                self._watcher.paired(made.user, made.name, pair)
        return True

    async def _leisure(self, made: Made) -> None:
        """Return when no user waits for a list, and once the list is old in any case."""
        await self._turns.next()
        while self._busy() and self._clock.monotonic() - made.born < WAIT_SECONDS:  # noqa: ASYNC110 - no event for it
            await asyncio.sleep(IDLE_SECONDS)

    def _order(self, made: Made, scores: Scores, vectors: Vectors) -> tuple[str, ...]:
        chosen = self._ranker.rescore(made.plain, scores, made.blend, vectors)
        return self._ranker.leading(chosen, made.blend, JUDGED)

    def _drop(self, made: Made) -> None:
        self._judge.give_up(made.name)
        self._count(DROPPED)

    def _count(self, outcome: str) -> None:
        self._metrics.shadowed.labels(outcome).inc()
