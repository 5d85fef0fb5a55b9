"""A complete replica of a compacted topic, and markers that prove it is complete."""

import asyncio
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

from deploy.kafka.topics import create
from deploy.local.brokers import Broker
from schemas.topics import NEIGHBOURS
from streams.clock import SYSTEM
from streams.kafka.replica import Replica
from tests.support.patience import PATIENCE


async def test_replica_reads_everything_and_then_follows(own_broker: Broker) -> None:
    await create(own_broker.bootstrap)
    held: dict[bytes, bytes] = {}

    def apply(_partition: int, key: bytes, value: bytes | None) -> None:
        if value is None:
            held.pop(key, None)
        else:
            held[key] = value

    def consumer() -> Any:
        return AIOKafkaConsumer(
            bootstrap_servers=own_broker.bootstrap, auto_offset_reset="earliest", fetch_max_wait_ms=50
        )

    producer = AIOKafkaProducer(bootstrap_servers=own_broker.bootstrap)
    await producer.start()
    try:
        for number in range(200):
            await producer.send(NEIGHBOURS.name, b"first", key=b"item-%d" % number)
        await producer.flush()
        replica = Replica(NEIGHBOURS.name, apply, consumer=consumer, clock=SYSTEM)
        following = asyncio.create_task(replica.run())
        try:
            async with asyncio.timeout(PATIENCE):
                await replica.caught_up.wait()
                for number in range(200):
                    await producer.send(NEIGHBOURS.name, b"second", key=b"item-%d" % number)
                await producer.send(NEIGHBOURS.name, None, key=b"item-7")
                await producer.flush()
                for partition in range(4):
                    marker = b"\x00marker-%d" % partition
                    read = replica.wait_for(marker)
                    await producer.send_and_wait(NEIGHBOURS.name, None, key=marker, partition=partition)
                    await read
        finally:
            following.cancel()
            await asyncio.wait([following])
    finally:
        await producer.stop()
    assert held == {b"item-%d" % number: b"second" for number in range(200) if number != 7}
