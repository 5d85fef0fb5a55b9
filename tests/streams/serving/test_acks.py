"""Acknowledgements go out after each change and as a heartbeat, and a clean stop withdraws them."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from aiokafka.errors import NotLeaderForPartitionError

from schemas.codec import decode
from schemas.models import ModelAck
from schemas.topics import MODEL_ACKS
from streams.clock import Clock
from streams.kafka.publisher import Output
from streams.serving.acks import HEARTBEAT_SECONDS, Acks
from tests.support.background import running
from tests.support.patience import PATIENCE


class Bench:
    def __init__(self) -> None:
        self.sent: list[Output] = []
        self.failures = 0
        self.looks = 0
        self.exists = True
        self.now = 100.0
        self.state = ModelAck(worker="w", behind=0, ts=0)
        clock = Clock(now_ms=lambda: 0, monotonic=lambda: self.now)
        self.acks = Acks("w", self._ack, self._publish, exists=lambda: self.exists, clock=clock)

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self.acks.run()]

    def _ack(self) -> ModelAck:
        self.looks += 1
        return self.state

    async def _publish(self, outputs: Sequence[Output]) -> None:
        if self.failures:
            self.failures -= 1
            raise NotLeaderForPartitionError
        self.sent += outputs

    def change(self, **fields: object) -> None:
        self.state = ModelAck(**{"worker": "w", "behind": 0, "ts": 0, **fields})  # type: ignore[arg-type]
        self.acks.changed()

    async def looked(self, times: int = 2) -> None:
        """Wait until the acknowledgement was looked at so often again."""
        aim = self.looks + times
        await self.until(lambda: self.looks >= aim)

    async def until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not condition():
                self.acks.changed()
                await asyncio.sleep(0.005)


async def test_changes_are_acknowledged_once_and_then_by_a_heartbeat() -> None:
    async with running(Bench()) as bench:
        await bench.looked()
        assert len(bench.sent) == 1
        bench.change(behind=3, champion="v1", challenger="v2", lacking=9)
        await bench.looked()
        bench.change(behind=3, champion="v1", challenger="v2", lacking=4)  # no news yet
        await bench.looked()
        bench.change(behind=3, champion="v1", challenger="v2", lacking=0, shown=2)
        await bench.looked()
        assert [decode(ModelAck, each.value).lacking for each in bench.sent] == [0, 9, 0]
        bench.now += HEARTBEAT_SECONDS
        await bench.looked()
        assert len(bench.sent) == 4
    assert {(each.topic, each.key) for each in bench.sent} == {(MODEL_ACKS.name, b"w")}


async def test_failed_acknowledgement_is_sent_again() -> None:
    bench = Bench()
    bench.failures = 2
    async with running(bench):
        await bench.until(lambda: bool(bench.sent))
    assert bench.failures == 0


async def test_clean_stop_withdraws_the_acknowledgement() -> None:
    async with running(Bench()) as bench:
        await bench.looked()
        await bench.acks.stop()
        assert bench.sent[-1] == Output(MODEL_ACKS.name, b"w", None)
        bench.change(behind=9)
        await asyncio.sleep(0.05)
        assert bench.sent[-1].value is None


async def test_cluster_without_the_topic_gets_no_record() -> None:
    bench = Bench()
    bench.exists = False
    async with running(bench):
        await bench.looked()
        await bench.acks.stop()
        assert bench.sent == []
    later = Bench()
    await later.acks.stop()
    assert later.sent == [], "nothing to withdraw"
