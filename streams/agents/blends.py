"""Following `ouzel.blends`, and publishing on it what this worker's partitions learned.

Every `INTERVAL_SECONDS` the parts that have changed are published, or less often where a worker would read more than
`MOST_RECORDS` a second. Without the topic, or the right to read it, blends are of this worker's partitions alone; the
survey of the topics reports that, with the command that helps.
"""

import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from schemas.topics import BLENDS
from streams.agents.followed import Followed
from streams.clock import Clock
from streams.health.conditions import Survey
from streams.health.failures import describe
from streams.kafka.publisher import Output
from streams.kafka.replica import Replica
from streams.log_limit import RateLimitedLog
from streams.serving.blends import Blends
from streams.turns import Turns

log = logging.getLogger(__name__)

INTERVAL_SECONDS = 1.0
MOST_RECORDS = 100.0
"""A record takes about 0.1 ms to read."""


class SharedBlends:
    """The topic beside the blends of one worker. `replica` follows it into them; `survey` returns what the brokers last
    said of the topics."""

    def __init__(
        self,
        blends: Blends,
        replica: Replica,
        *,
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        survey: Callable[[], Survey],
        clock: Clock,
        turns: Turns,
    ) -> None:
        self.replica = replica
        self.followed = Followed(replica, survey, clock)
        self._blends = blends
        self._publish = publish
        self._clock = clock
        self._turns = turns
        self._lines = RateLimitedLog(log, clock.monotonic)

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs while the worker does."""
        return self.replica.run(), self._share()

    async def _share(self) -> None:
        await self.replica.caught_up.wait()  # else everything would seem to be missing on the topic
        while True:
            if self.followed.exists():
                await self._publish_due()
            await self._clock.sleep(max(INTERVAL_SECONDS, self._blends.parts / MOST_RECORDS))

    async def _publish_due(self) -> None:
        for scene in self._blends.scenes():
            await self._turns.next()
            outputs = self._blends.due(scene)
            try:
                await self._publish(outputs)
            except Exception as error:
                self._blends.unsent()
                why = "; ".join(describe(error))
                self._lines.error("publish", f"What was learned is not published on {BLENDS.name} ({why}); retrying")
                return
