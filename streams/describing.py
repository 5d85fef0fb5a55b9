"""Having items described: the agent that asks the model for the vectors of items that have none, in the background.

It has a call of its own to the scorer, one batch at a time, and small batches while people wait for lists: what the
model does for it comes between two lists. Where the model fails it pauses and goes on; lists are made without affinity
for the items that wait.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping

from schemas.scoring import InvalidAnswer, Scorer, ScoringError
from streams.catalogue import Catalogue
from streams.metrics import Metrics

log = logging.getLogger(__name__)

FEW = 4
"""Items of a batch while people wait for lists."""

IDLE_SECONDS = 0.1
"""Between two looks whether an item waits."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds after a failure; each one in a row doubles it."""


class Describing:
    """Keeps `catalogue.vectors` complete; `run` does it until cancelled. `busy` says whether people wait for lists."""

    def __init__(
        self,
        *,
        catalogue: Catalogue,
        scorer: Scorer,
        batch: int,
        timeout_s: float,
        metrics: Metrics,
        busy: Callable[[], bool],
    ) -> None:
        self._catalogue = catalogue
        self._scorer = scorer
        self._batch = batch
        self._timeout = timeout_s
        self._metrics = metrics
        self._busy = busy
        self._most = batch

    async def run(self) -> None:
        pause = FIRST_PAUSE
        while True:
            asked = self._catalogue.vectors.next(min(self._most, FEW) if self._busy() else self._most)
            if not asked:
                await asyncio.sleep(IDLE_SECONDS)
            elif await self._describe(asked):
                pause = FIRST_PAUSE
            else:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LONGEST_PAUSE)

    async def _describe(self, asked: Mapping[int, int]) -> bool:
        """Have these items described; whether they were."""
        items = [self._catalogue.described(number) for number in asked]
        vectors = self._catalogue.vectors
        try:
            answer = await self._scorer.describe(items, timeout=self._timeout)
            vectors.put(asked, answer)
        except InvalidAnswer as error:
            log.warning("%d items could not be described: %s", len(items), error)
            # One of them may be why: it shall not hold up the others.
            vectors.postpone(asked)
            self._most = max(1, len(asked) // 2)
            return False
        except ScoringError as error:
            log.debug("Items wait to be described: %s", error)
            return False
        except Exception as error:
            log.error("The scorer failed in a way it should not (%s); items wait for it", type(error).__name__)
            return False
        self._most = min(self._batch, 2 * self._most)
        self._metrics.described.inc(len(asked) if answer.width else 0)
        return True
