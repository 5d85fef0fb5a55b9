"""Following `ouzel.models`: the versions in use, acknowledged to `ouzel.model-acks`, and how two of them compare.

The topics are new: a cluster may lack them. Then no version has a role, and the worker's only model makes the lists;
the survey of the topics reports what is missing, with the command that creates it.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from schemas.topics import COMPARISONS, MODEL_ACKS, MODELS
from streams.agents.followed import Followed
from streams.clock import Clock
from streams.health.conditions import Survey
from streams.items.catalogue import Catalogue
from streams.kafka.publisher import Output
from streams.kafka.replica import Apply, Replica
from streams.metrics import Metrics
from streams.serving.acks import Acks
from streams.serving.comparisons import Comparisons
from streams.serving.live_versions import LiveVersions

FLUSH_SECONDS = 2.0
"""Maximum time to publish the last comparisons."""


class ModelVersions:
    """The model versions of one worker. `replica` makes a replica of a topic that reads until it is quiet; `survey`
    returns what the brokers last said of the topics."""

    def __init__(
        self,
        catalogue: Catalogue,
        *,
        replica: Callable[[str, Apply], Replica],
        publish: Callable[[Sequence[Output]], Awaitable[None]],
        survey: Callable[[], Survey],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self._survey = survey
        self.live = LiveVersions(catalogue, metrics, clock, changed=self._changed)
        self.replica = replica(MODELS.name, self.live.apply)
        self.followed = Followed(self.replica, survey, clock)
        self.comparisons = Comparisons(
            publish, exists=lambda: self._exists(COMPARISONS.name), metrics=metrics, clock=clock
        )
        worker = secrets.token_hex(8)
        self._acks = Acks(
            worker,
            lambda: self.live.ack(worker, max(self.replica.behind.values(), default=0)),
            publish,
            exists=lambda: self._exists(MODEL_ACKS.name),
            clock=clock,
        )

    def tasks(self) -> tuple[Coroutine[Any, Any, None], ...]:
        """What runs while the worker does."""
        return self.replica.run(), self.comparisons.run(), self._acknowledge()

    async def stop(self) -> None:
        """Publish what waits, and withdraw the acknowledgement."""
        await asyncio.gather(self.comparisons.flush(FLUSH_SECONDS), self._acks.stop())

    async def _acknowledge(self) -> None:
        await self.replica.caught_up.wait()  # else it would state offset 0, before the roles are known
        await self._acks.run()

    def _changed(self) -> None:
        self._acks.changed()

    def _exists(self, topic: str) -> bool:
        facts = self._survey().topics.get(topic)
        return facts is not None and not facts.error
