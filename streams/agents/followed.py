"""A topic that a worker follows from its start, and can do without."""

import logging
from collections.abc import Callable

from streams.clock import Clock
from streams.health.conditions import Survey
from streams.kafka.replica import Replica

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1


class Followed:
    """A replica of such a topic. `survey` returns what the brokers last said of the topics."""

    def __init__(self, replica: Replica, survey: Callable[[], Survey], clock: Clock) -> None:
        self._replica = replica
        self._survey = survey
        self._clock = clock

    def exists(self) -> bool:
        facts = self._survey().topics.get(self._replica.topic)
        return facts is not None and not facts.error

    def known(self) -> bool:
        """Whether the topic is read to its end, or cannot be read: it is missing, or not allowed."""
        facts = self._survey().topics.get(self._replica.topic)
        return self._replica.caught_up.is_set() or (facts is not None and bool(facts.error))

    async def wait_known(self, seconds: float) -> None:
        """Return once the topic is known, after `seconds` at the latest."""
        deadline = self._clock.monotonic() + seconds
        while not self.known():
            if self._clock.monotonic() > deadline:
                log.warning("%s is not read completely yet; lists are made by what is known", self._replica.topic)
                return
            await self._clock.sleep(LOOK_SECONDS)
