"""`ouzel read` ends at the topic's end, even if producers keep writing."""

import asyncio
from contextlib import suppress

import pytest
from aiokafka import AIOKafkaProducer

from deploy.kafka import topics
from deploy.kafka.reader import named, read
from deploy.local.brokers import Broker
from schemas.codec import encode
from schemas.topics import RECOMMENDATIONS
from tests.schemas.examples import EXAMPLES
from tests.support.patience import PATIENCE


async def test_read_ends_though_producers_keep_writing(broker: Broker) -> None:
    await topics.create(broker.bootstrap)
    value = encode(EXAMPLES["recommendation.full"])
    lines: list[str] = []
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap) as producer:
        for _ in range(20):
            await producer.send_and_wait(RECOMMENDATIONS.name, value, key=b"ann")

        async def write() -> None:
            while True:
                await producer.send_and_wait(RECOMMENDATIONS.name, value, key=b"ann")

        writing = asyncio.create_task(write())
        try:
            async with asyncio.timeout(PATIENCE):
                await read(broker.bootstrap, named("recommendations"), lines.append)
        finally:
            writing.cancel()
            with suppress(asyncio.CancelledError):
                await writing
    assert len(lines) >= 20


@pytest.mark.parametrize("broker", [pytest.param("kafka", marks=pytest.mark.kafka)], indirect=True)
async def test_uncommitted_records_are_skipped(broker: Broker) -> None:
    await topics.create(broker.bootstrap)
    value = encode(EXAMPLES["feedback.full"])
    async with AIOKafkaProducer(bootstrap_servers=broker.bootstrap, transactional_id="t") as producer:
        async with producer.transaction():
            await producer.send_and_wait("ouzel.feedback", value, key=b"ann")
        with suppress(RuntimeError):
            async with producer.transaction():
                await producer.send_and_wait("ouzel.feedback", value, key=b"ann")
                raise RuntimeError
    lines: list[str] = []
    await read(broker.bootstrap, named("feedback"), lines.append)
    assert len(lines) == 1
