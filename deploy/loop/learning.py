"""The companion of a pass that learns: further processes, the brake that keeps the replay near them, and the counts.

A replay at full speed passes months in minutes, in which a learner has no time to learn. So the replay waits while more
than `ahead` likes were sent after the newest event that the newest version learned. It does not wait while a version is
tried, since a challenger needs likes to be compared by. It goes on when a version is tried, or a newer one is in the
store, whether or not it passed its gates. A learner that makes none for `patience` seconds is not waited for again
until it does: that is counted.

While a version is tried, the replay pauses for a moment at each like, since lists are scored by the second version only
when no user waits for one.
"""

import asyncio
import contextlib
import shutil
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.stack import Stage
from deploy.local.steps import Step
from deploy.loop.companion import Learned
from deploy.replay.versions_watch import follow_versions
from inference.versions.store import FIRST, VersionStore
from streams.clock import SYSTEM, Clock
from streams.serving.trials import Trials

LOOK_SECONDS = 0.2
SECOND_SCORE_SECONDS = 0.08
"""The pause at a like while a version is tried."""

PATIENCE_SECONDS = 900.0


VERSIONS, LOG = "versions", "training-log"


def keep(folder: Path, target: Path) -> None:
    """Move the versions and the training log of a finished pass from its folder to `target`, which is replaced: what
    learned from which event can be asked after the run."""
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir(parents=True)
    for part in (VERSIONS, LOG):
        if (folder / part).exists():
            shutil.move(folder / part, target / part)


@dataclass
class Ahead:
    """How many likes were sent that no version has learned. Pure: times are in milliseconds and never go back."""

    _sent: list[int] = field(default_factory=list)

    def sent(self, ts: int) -> None:
        self._sent.append(ts)

    def of(self, cut_ms: int) -> int:
        """The likes sent after `cut_ms`."""
        return len(self._sent) - bisect_right(self._sent, cut_ms)


class Learning:
    """A `deploy.loop.companion.Companion` that starts a learner with `start` and follows its `store`."""

    def __init__(
        self,
        start: Callable[[Stage, Step], Awaitable[None]],
        store: VersionStore,
        *,
        ahead: int,
        patience: float = PATIENCE_SECONDS,
        follow: Callable[[str, Trials], "asyncio.Future[None]"] | None = None,
        clock: Clock = SYSTEM,
    ) -> None:
        self._start, self._store, self._most, self._patience = start, store, ahead, patience
        self._follow = follow or (lambda bootstrap, into: asyncio.ensure_future(follow_versions(bootstrap, into)))
        self._clock = clock
        self._ahead = Ahead()
        self._waited_for = FIRST
        """The newest version when the learner was given up on."""
        self._following: asyncio.Future[None] | None = None
        self.versions = Trials()
        self.held_seconds = 0.0
        self.given_up = 0

    async def begin(self, stage: Stage, step: Step) -> None:
        """Start the learner, which the stage stops at the end of the pass, and follow the topics of versions."""
        await self._start(stage, step)
        self._following = self._follow(stage.broker.bootstrap, self.versions)

    async def before_like(self, sent: int) -> None:
        """Hold the replay while the learner is too far behind."""
        began = time.monotonic()
        while self._is_too_far():
            if time.monotonic() - began > self._patience:
                self.given_up += 1
                self._waited_for = self._newest()
                break
            await asyncio.sleep(LOOK_SECONDS)
        if self.versions.lineup.challenger is not None:
            await asyncio.sleep(SECOND_SCORE_SECONDS)
        self.held_seconds += time.monotonic() - began
        self._ahead.sent(self._clock.now_ms())

    async def end(self) -> Learned:
        if self._following is not None:
            self._following.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._following
        versions = self.versions
        return Learned(
            versions=sum(number > FIRST for number in self._store.numbers()),
            promoted=versions.promoted,
            rolled_back=versions.rolled_back,
            withdrawn=versions.withdrawn,
            held_seconds=round(self.held_seconds, 1),
            given_up=self.given_up,
        )

    def _is_too_far(self) -> bool:
        newest = self._newest()
        if self.versions.lineup.challenger is not None:
            return False
        if self.given_up and newest <= self._waited_for:
            return False
        cut = self._store.record(newest).cut_ms if newest > FIRST else 0
        return self._ahead.of(cut) >= self._most

    def _newest(self) -> int:
        return max(self._store.numbers(), default=FIRST)
