"""A reader of the lists: when users were answered, and whether the pipeline has recovered."""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass

from aiokafka import AIOKafkaConsumer

from schemas.codec import decode
from schemas.recommendations import Degraded, Recommendation
from schemas.topics import RECOMMENDATIONS
from tests.faults.load import PARTITIONS, Load
from tests.faults.scripts import APART, version_of
from tests.faults.verdict import Answer, Made, Place


@dataclass
class Fresh:
    """The acceptance time of the last answered event of a partition."""

    any: float = 0.0
    with_model: float = 0.0


class Watch:
    """Follows `ouzel.recommendations` until stopped."""

    def __init__(self, bootstrap: str, load: Load) -> None:
        self.answers: list[Answer] = []
        self.degraded: dict[Degraded | None, int] = {}
        self.made: list[Made] = []
        """The lists that a version of the model made."""
        self.mixed: list[str] = []
        """The versions of lists with scores of another one."""
        self._newest: dict[str, float] = {}
        """By version, when the newest event that it answered was accepted."""
        self._bootstrap = bootstrap
        self._load = load
        self._fresh = {partition: Fresh() for partition in range(PARTITIONS)}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._consumer = AIOKafkaConsumer(
            RECOMMENDATIONS.name,
            bootstrap_servers=self._bootstrap,
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            metadata_max_age_ms=2_000,  # partitions are added while it reads
        )
        await self._consumer.start()
        self._task = asyncio.create_task(self._run(), name="watch")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            await self._consumer.stop()

    async def restored(self, since: float, *, with_model: bool, seconds: float) -> float:
        """Wait until an event of each partition accepted after `since` is answered; returns the time.

        `with_model` requires that one of the lists was made with the model. TimeoutError after `seconds`.
        """
        async with asyncio.timeout(seconds):
            while not self._works(since, with_model):
                self._news.clear()
                await self._news.wait()
        return time.monotonic()

    def _works(self, since: float, with_model: bool) -> bool:
        fresh = [self._fresh[partition] for partition in range(PARTITIONS)]
        model = not with_model or any(each.with_model > since for each in fresh)
        return model and all(each.any > since for each in fresh)

    async def version(self, name: str, since: float, *, seconds: float) -> None:
        """Wait until this version of the model answers an event accepted after `since`. TimeoutError after
        `seconds`."""
        async with asyncio.timeout(seconds):
            while self._newest.get(name, 0.0) <= since:
                self._news.clear()
                await self._news.wait()

    async def answered(self, places: Collection[Place], *, seconds: float) -> None:
        """Wait until each of these, or a later event of its partition, is answered. TimeoutError after `seconds`."""
        async with asyncio.timeout(seconds):
            while not all(any(p == a.place[0] and o <= a.place[1] for a in self.answers) for p, o in places):
                self._news.clear()
                await self._news.wait()

    async def _run(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=200)
            at = time.monotonic()
            for record in (record for records in batches.values() for record in records):
                self._take(decode(Recommendation, record.value), at)
            self._news.set()

    def _take(self, made: Recommendation, at: float) -> None:
        place = self._load.place(made)
        self.answers.append(Answer(made.user, place, at))
        self.degraded[made.degraded] = self.degraded.get(made.degraded, 0) + 1
        came, fresh = self._load.accepted.get(place, 0.0), self._fresh.setdefault(made.partition, Fresh())
        if made.model_version is not None and made.degraded is None:
            self.made.append(Made(made.model_version, self._load.accepted.get(place), at))
            self._newest[made.model_version] = max(self._newest.get(made.model_version, 0.0), came)
            if not versions_of(made) <= {made.model_version}:
                self.mixed.append(made.model_version)
        fresh.any = max(fresh.any, came)
        if made.degraded is None:
            fresh.with_model = max(fresh.with_model, came)


def versions_of(made: Recommendation) -> set[str]:
    """The versions whose scores a list has. Entries that the model was not asked about have small numbers instead."""
    return {version_of(entry.model) for entry in made.entries if entry.model is not None and entry.model <= -APART}
