"""Describing items in the background: asks the model for the vectors of items that have none.

It sends one batch at a time, in the order of `streams.items.reading_order`. Batches are small while users wait for
lists and take about `BATCH_SECONDS` at most, so that items missing from a list are described soon. If the model fails,
it pauses and retries; meanwhile lists are made without affinity for these items.

The champion's items come first, then the challenger's. A failure of one version does not hold up the other's items.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from schemas.scoring import DeadlineExceeded, InvalidAnswer, ItemVectors, Overloaded, Scorer, ScoringError, Unavailable
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.retry import Pauses
from streams.serving.live_versions import LiveVersion
from streams.serving.outage import Outage
from streams.serving.rate import Rate, spoken

log = logging.getLogger(__name__)

FEW = 4
"""Items per batch while users wait for lists, and in the first batch."""

BATCH_SECONDS = 1.0
"""Target time of a batch."""

RANK_SECONDS = 5.0
"""Maximum age of a ranking by popularity, since events keep arriving."""

LOG_SECONDS = 10.0
"""Between two log lines about the progress."""

IDLE_SECONDS = 0.1
"""Between two checks for waiting items."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds after a failure, doubled after each further failure."""


@dataclass
class _Pace:
    """How fast the items of one version are described: at most `most` a batch, not before `due`."""

    most: int
    due: float = float("-inf")
    ranked_at: float = 0.0
    pauses: Pauses = field(default_factory=lambda: Pauses(FIRST_PAUSE, LONGEST_PAUSE))


class _Batch(NamedTuple):
    """Items to describe: the numbers and text versions that `Vectors.next` returned for a version."""

    of: LiveVersion
    pace: _Pace
    asked: Mapping[int, int]


class Describing:
    """Keeps the vectors of `versions()` complete, the first version first; `run` works until cancelled.

    `popularity` returns that of every item, float64 by number; `busy` says whether users wait for lists.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        versions: Callable[[], Sequence[LiveVersion]],
        popularity: Callable[[], NDArray[np.float64]],
        scorer: Scorer,
        batch: int,
        timeout_s: float,
        metrics: Metrics,
        clock: Clock,
        busy: Callable[[], bool],
    ) -> None:
        self._catalogue = catalogue
        self._versions = versions
        self._popularity = popularity
        self._scorer = scorer
        self._batch = batch
        self._timeout = timeout_s
        self._metrics = metrics
        self._clock = clock
        self._busy = busy
        self._paces: dict[str, _Pace] = {}
        self._progress = ReadingProgress(metrics)
        self._refusals = RateLimitedLog(log, clock.monotonic)
        self._outage = Outage("items wait to be read", clock.monotonic)

    async def run(self) -> None:
        while True:
            batch = self._next()
            self._progress.look(self._catalogue.vectors.waiting, len(self._catalogue), self._clock.monotonic())
            if batch is None:
                await self._clock.sleep(IDLE_SECONDS)
            else:
                await self._describe(batch)

    def _next(self) -> _Batch | None:
        now, versions = self._clock.monotonic(), self._versions()
        self._paces = {each.version: self._paces.get(each.version, _Pace(min(FEW, self._batch))) for each in versions}
        for each in versions:
            pace, vectors = self._paces[each.version], each.vectors
            if now < pace.due:
                continue
            if vectors.waiting and (now - pace.ranked_at > RANK_SECONDS or not vectors.ranked()):
                vectors.rank(self._popularity())
                pace.ranked_at = now
            asked = vectors.next(min(pace.most, FEW) if self._busy() else pace.most)
            if asked:
                return _Batch(each, pace, asked)
        return None

    async def _describe(self, batch: _Batch) -> bool:
        """Describe these items; whether it succeeded. After a failure the version's items wait for a while."""
        began = self._clock.monotonic()
        done = await self._try(batch)
        if done:
            batch.pace.pauses.reset()
        else:
            batch.pace.due = self._clock.monotonic() + batch.pace.pauses.next()
            return False
        asked, pace = batch.asked, batch.pace
        if len(asked) >= pace.most:
            each = (self._clock.monotonic() - began) / len(asked)
            affordable = int(BATCH_SECONDS / each) if each > 0 else self._batch
            pace.most = max(1, min(self._batch, 4 * pace.most, affordable))
        return True

    async def _try(self, batch: _Batch) -> bool:
        of, pace, asked = batch
        items = [self._catalogue.described(number) for number in asked]
        try:
            answer = await self._scorer.describe(items, timeout=self._timeout, number=of.number)
            self._put(of, asked, answer)
        except InvalidAnswer as error:
            log.warning("%d items could not be described: %s", len(items), error)
            # One of them may be the cause: it must not hold up the others.
            of.vectors.postpone(asked)
            pace.most = max(1, len(asked) // 2)
            return False
        except Overloaded as error:
            # Other workers ask too. The model answers, so the size of the batch is not the cause.
            self._metrics.refused_describes.inc()
            self._refusals.warning("refused", f"The model has no room for more items; they wait: {error}")
            return False
        except ScoringError as error:
            if of.is_champion:
                self._outage.failed(error)
            else:
                self._refusals.warning(of.version, f"{of.version} does not describe items; they wait: {error}")
            if isinstance(error, DeadlineExceeded):
                pace.most = max(1, len(asked) // 2)
            return False
        except Exception as error:
            log.error("The scorer failed unexpectedly (%s); items wait for it", type(error).__name__)
            return False
        if of.is_champion:
            self._outage.over()
        self._progress.described(len(asked) if answer.width else 0)
        return True

    def _put(self, of: LiveVersion, asked: Mapping[int, int], answer: ItemVectors) -> None:
        """Store an answer. The champion's vectors become those of the version that answers; the challenger's are only
        ever its own."""
        if not of.is_champion and answer.model_version != of.version:
            raise Unavailable(f"number {of.number} answers as {answer.model_version}: load {of.version} as this number")
        of.vectors.put(asked, answer)


class ReadingProgress:
    """Reports the progress: metrics, and a log line every `LOG_SECONDS` while items wait."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._progress = Rate()
        self._done = 0
        self._due: float | None = None
        self._told = False

    def described(self, count: int) -> None:
        self._done += count
        self._metrics.described.inc(count)

    def look(self, waiting: int, total: int, now: float) -> None:
        """Report that `waiting` of the `total` items have no vector."""
        if not waiting:
            if self._told:
                log.info("All %s items are read by the model", f"{total:,}")
            self._progress, self._due, self._told = Rate(), None, False
            self._metrics.reading_seconds_left.set(0)
            return
        self._progress.at(now, self._done)
        left = self._progress.seconds_left(waiting)
        self._metrics.reading_seconds_left.set(float("nan") if left is None else left)
        if self._due is None:
            self._due = now + LOG_SECONDS
        elif now >= self._due:
            self._due, self._told = now + LOG_SECONDS, True
            done = f"{total - waiting:,} of {total:,}"
            log.info("%s items are read by the model, %s; lists go out meanwhile", done, spoken(left))
