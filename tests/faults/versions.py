"""The versions of the scripted model, loaded, given roles and withdrawn as `ouzel learn` does it.

`spans` has, for each version, when lists may come from it: from before the record that lets it make lists, or the load
that makes it answer, until all workers have acknowledged the record that ends it.
"""

import asyncio
import time
from collections.abc import Sequence

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from inference.triton.server import MODEL
from schemas.codec import decode, encode
from schemas.models import ModelAck, ModelStatus, Role
from schemas.topics import MODEL_ACKS, MODELS
from tests.faults.load import now_ms
from tests.faults.scorer import FIRST, SECOND, Scorer
from tests.faults.scripts import version_name
from tests.faults.verdict import Span
from tests.support.patience import PATIENCE


class Versions:
    """`champion` makes the lists; `other` is the version beside it, placed and without a role."""

    def __init__(self, bootstrap: str, scorer: Scorer) -> None:
        self.champion = FIRST
        self.other = SECOND
        self.spans: dict[str, list[Span]] = {}
        self._bootstrap = bootstrap
        self._scorer = scorer
        self._acks: dict[bytes, tuple[float, ModelAck]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Make the first version the champion, and follow the acknowledgements."""
        self.allow(self.champion)
        await self.give(Role.CHAMPION, self.champion)
        self._consumer = AIOKafkaConsumer(
            MODEL_ACKS.name, bootstrap_servers=self._bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )
        await self._consumer.start()
        self._task = asyncio.create_task(self._run(), name="acks")

    async def stop(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            self._task = None
            await self._consumer.stop()

    def allow(self, number: int) -> None:
        """Lists may come from this version from now on."""
        spans = self.spans.setdefault(version_name(number), [])
        if not spans or spans[-1].ended < float("inf"):
            spans.append(Span(time.monotonic()))

    def deny(self, number: int) -> None:
        """No event accepted from now on may be answered by this version."""
        spans = self.spans.get(version_name(number), [])
        spans[-1:] = [Span(each.began, time.monotonic()) for each in spans[-1:]]

    def learned(self, given: Sequence[tuple[ModelStatus, int]]) -> None:
        """Lists may come from these versions since a learner gave them roles: records with their times, in ms."""
        ago = time.time() - time.monotonic()
        for status, ms in given:
            if status.role in {Role.CANARY, Role.CHAMPION}:
                spans = self.spans.setdefault(status.version, [])
                if not spans or spans[-1].ended < float("inf"):
                    spans.append(Span(ms / 1000 - ago))

    async def give(self, role: Role, number: int, *, share: float = 0.0) -> int:
        """Publish the role of a version; the offset behind the record."""
        name = version_name(number)
        status = ModelStatus(
            model=MODEL, version=name, role=role.value, ts=now_ms(), number=number, share=share, salt="faults"
        )
        async with AIOKafkaProducer(bootstrap_servers=self._bootstrap, acks="all") as producer:
            sent = await producer.send_and_wait(MODELS.name, encode(status), key=name.encode())
        return int(sent.offset) + 1

    async def acked(self, behind: int, *, challenger: int | None, champion: int, workers: int, since: float) -> None:
        """Wait until this many workers have acknowledged, after `since`, that they use these two and lack nothing.
        TimeoutError after `PATIENCE`."""
        wanted = version_name(champion), None if challenger is None else version_name(challenger), 0
        try:
            async with asyncio.timeout(PATIENCE):
                while True:
                    found = [ack for at, ack in self._acks.values() if at > since and ack.behind >= behind]
                    if sum((ack.champion, ack.challenger, ack.lacking) == wanted for ack in found) >= workers:
                        return
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            acks = [ack for _, ack in self._acks.values()]
            raise TimeoutError(f"{workers} workers did not acknowledge {wanted} up to {behind}: {acks}") from None

    async def load(self, numbers: Sequence[int]) -> None:
        """Make exactly these serve, and check that each answers by its name. Raises as `ModelControl.load` does."""
        control = self._scorer.control()
        try:
            await control.load(numbers)
        finally:
            await control.close()
        await self.check(numbers)

    async def check(self, numbers: Sequence[int]) -> None:
        """Check that exactly these versions are loaded, and that each answers by its name."""
        control = self._scorer.control()
        try:
            loaded = await control.loaded()
            names = {number: await control.version_name(number) for number in loaded}
        finally:
            await control.close()
        assert loaded == sorted(numbers), f"versions {loaded} are loaded instead of {sorted(numbers)}"
        assert names == {number: version_name(number) for number in loaded}, f"versions answer as {names}"

    async def retire(self, number: int) -> None:
        """Delete the folder of a version that is not loaded."""
        control = self._scorer.control()
        try:
            await control.retire(number)
        finally:
            await control.close()

    async def _run(self) -> None:
        while True:
            batches = await self._consumer.getmany(timeout_ms=200)
            for record in (record for records in batches.values() for record in records):
                self._acks.pop(record.key, None)
                if record.value is not None:
                    self._acks[record.key] = time.monotonic(), decode(ModelAck, record.value)
            self._news.set()
