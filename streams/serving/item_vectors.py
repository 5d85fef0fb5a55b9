"""Describing items in the background: asks the model for the vectors of items that have none.

It sends one batch at a time, in the order of `streams.items.reading_order`. Batches are small while users wait for
lists and take about `BATCH_SECONDS` at most, so that items missing from a list are described soon. If the model fails,
it pauses and retries; meanwhile lists are made without affinity for these items.
"""

import logging
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from schemas.scoring import DeadlineExceeded, InvalidAnswer, Overloaded, Scorer, ScoringError
from streams.clock import Clock
from streams.items.catalogue import Catalogue
from streams.log_limit import RateLimitedLog
from streams.metrics import Metrics
from streams.retry import Pauses
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


class Describing:
    """Keeps `catalogue.vectors` complete; `run` works until cancelled.

    `popularity` returns that of every item, float64 by number; `busy` says whether users wait for lists.
    """

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        popularity: Callable[[], NDArray[np.float64]],
        scorer: Scorer,
        batch: int,
        timeout_s: float,
        metrics: Metrics,
        clock: Clock,
        busy: Callable[[], bool],
    ) -> None:
        self._catalogue = catalogue
        self._popularity = popularity
        self._scorer = scorer
        self._batch = batch
        self._timeout = timeout_s
        self._metrics = metrics
        self._clock = clock
        self._busy = busy
        self._most = min(FEW, batch)
        self._ranked_at = 0.0
        self._progress = ReadingProgress(metrics)
        self._refusals = RateLimitedLog(log, clock.monotonic)
        self._outage = Outage("items wait to be read", clock.monotonic)

    async def run(self) -> None:
        pauses = Pauses(FIRST_PAUSE, LONGEST_PAUSE)
        while True:
            asked = self._next()
            self._progress.look(self._catalogue.vectors.waiting, len(self._catalogue), self._clock.monotonic())
            if not asked:
                await self._clock.sleep(IDLE_SECONDS)
            elif await self._describe(asked):
                pauses.reset()
            else:
                await self._clock.sleep(pauses.next())

    def _next(self) -> dict[int, int]:
        vectors, now = self._catalogue.vectors, self._clock.monotonic()
        if vectors.waiting and (now - self._ranked_at > RANK_SECONDS or not vectors.ranked()):
            vectors.rank(self._popularity())
            self._ranked_at = now
        return vectors.next(min(self._most, FEW) if self._busy() else self._most)

    async def _describe(self, asked: Mapping[int, int]) -> bool:
        """Describe these items; whether it succeeded."""
        items = [self._catalogue.described(number) for number in asked]
        vectors = self._catalogue.vectors
        began = self._clock.monotonic()
        try:
            answer = await self._scorer.describe(items, timeout=self._timeout)
            vectors.put(asked, answer)
        except InvalidAnswer as error:
            log.warning("%d items could not be described: %s", len(items), error)
            # One of them may be the cause: it must not hold up the others.
            vectors.postpone(asked)
            self._most = max(1, len(asked) // 2)
            return False
        except Overloaded as error:
            # Other workers ask too. The model answers, so the size of the batch is not the cause.
            self._metrics.refused_describes.inc()
            self._refusals.warning("refused", f"The model has no room for more items; they wait: {error}")
            return False
        except ScoringError as error:
            self._outage.failed(error)
            if isinstance(error, DeadlineExceeded):
                self._most = max(1, len(asked) // 2)
            return False
        except Exception as error:
            log.error("The scorer failed unexpectedly (%s); items wait for it", type(error).__name__)
            return False
        if len(asked) >= self._most:
            each = (self._clock.monotonic() - began) / len(asked)
            affordable = int(BATCH_SECONDS / each) if each > 0 else self._batch
            self._most = max(1, min(self._batch, 4 * self._most, affordable))
        self._outage.over()
        self._progress.described(len(asked) if answer.width else 0)
        return True


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
