"""A shop's back end: publish products, send what a user does, and print the list that answers it.

    python examples/producer.py [BROKERS]

Needs aiokafka and msgpack, but nothing from Ouzel: input may be JSON, and lists are MessagePack.
"""

import asyncio
import json
import sys
import time
import uuid
from typing import Any

import msgpack
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer

USER = "ann"
PRODUCTS = (
    {"id": "tent", "title": "Two-person tent", "attributes": ["camping", "outdoor"]},
    {"id": "stove", "title": "Gas stove", "attributes": ["camping", "cooking"]},
    {"id": "lamp", "title": "Head lamp", "attributes": ["camping", "light"]},
    {"id": "kettle", "title": "Kettle", "attributes": ["kitchen", "cooking"]},
)
SECONDS = 60


def event(kind: str, item: str) -> dict[str, Any]:
    """An event of the user. Events with the same id count once, so retries are safe."""
    now = time.time_ns() // 1_000_000
    return {"id": uuid.uuid4().hex, "user": USER, "kind": kind, "item": item, "ts": now, "scene": "shop"}


async def main(brokers: str) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=brokers, acks="all")
    lists = AIOKafkaConsumer("ouzel.recommendations", bootstrap_servers=brokers, auto_offset_reset="latest")
    await producer.start()
    await lists.start()
    try:
        await lists.seek_to_end()
        # Key products by product id and events by user id, which keeps each user's events in order.
        for product in PRODUCTS:
            await producer.send_and_wait("ouzel.items", json.dumps(product).encode(), key=product["id"].encode())
        did = event("like", "tent")
        await producer.send_and_wait("ouzel.events", json.dumps(did).encode(), key=USER.encode())
        async with asyncio.timeout(SECONDS):
            async for record in lists:
                made = msgpack.unpackb(record.value)
                if made["trigger"] == did["id"]:
                    break
    finally:
        await lists.stop()
        await producer.stop()
    for place, entry in enumerate(made["entries"], start=1):
        print(f"{place}. {entry['item']}: {entry['reason']['text']}")


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "127.0.0.1:9092"))
