"""Triton is stopped and started again while events flow: lists keep coming in time, marked, and recover."""

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.local.brokers import Broker
from inference.triton import server
from inference.triton.ports import free_ports
from schemas.codec import encode
from schemas.recommendations import Degraded, Recommendation
from schemas.topics import EVENTS, RECOMMENDATIONS
from tests.support.pipeline import Pipeline, click, films

pytestmark = [pytest.mark.kafka, pytest.mark.triton, pytest.mark.slow, pytest.mark.alone]

PEOPLE = ("ann", "bob", "cyd")
OUTAGE = {Degraded.UNAVAILABLE, Degraded.CIRCUIT_OPEN, Degraded.DEADLINE}


@dataclass
class Stream:
    """People who click one film after the other, and the list that answers each click."""

    path: Pipeline
    number: int = 0

    async def click(self) -> list[Recommendation]:
        """One click of each person; waits for their lists."""
        self.number += 1
        sent = [click(user, f"film-{self.number % 40}", self.number) for user in PEOPLE]
        await self.path.send(EVENTS, [(event.user, encode(event)) for event in sent])
        wanted = {event.id for event in sent}
        lists = await self.path.read(
            RECOMMENDATIONS, Recommendation, lambda out: wanted <= {made.trigger for made in out}
        )
        return [made for made in lists if made.trigger in wanted]


@pytest.fixture
def ports() -> tuple[int, int]:
    grpc, metrics = free_ports(2)
    return grpc, metrics


async def test_lists_keep_coming_while_triton_is_away(
    broker: Broker, tmp_path: Path, ports: tuple[int, int], model: Path
) -> None:
    grpc, metrics = ports

    def start_triton(name: str) -> server.TritonServer:
        return server.start(model, log=tmp_path / f"{name}.log", grpc_port=grpc, metrics_port=metrics)

    deadline = 3_000
    with Pipeline(broker, tmp_path, triton=f"127.0.0.1:{grpc}", list_deadline_ms=deadline, patience_ms=2_000) as path:
        await path.prepare(films())
        triton = await asyncio.to_thread(start_triton, "first")
        try:
            path.start()
            stream = Stream(path)
            await stream.click()  # the first pass of a new server is slow
            with_model = await stream.click()
            assert [made.degraded for made in with_model] == [None] * len(PEOPLE), path.log()
            assert all(made.model_version for made in with_model)
        finally:
            await asyncio.to_thread(triton.stop)

        away = [made for _ in range(6) for made in await stream.click()]
        assert {made.degraded for made in away} <= OUTAGE
        assert all(made.model_version is None for made in away)
        assert all(len(made.entries) == 10 for made in away)
        assert all(made.freshness_ms <= deadline for made in away)
        assert Degraded.CIRCUIT_OPEN in {made.degraded for made in away}, "the breaker never opened"

        triton = await asyncio.to_thread(start_triton, "second")
        try:
            async with asyncio.timeout(90):
                while any(made.degraded for made in await stream.click()):
                    pass  # the breaker tries again on its own
        finally:
            await asyncio.to_thread(triton.stop)
