"""`ouzel read`: what is on a topic, a line of JSON a record, for people and for `jq`."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from deploy.errors import DeployError
from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from schemas.codec import decode
from schemas.errors import Refused
from schemas.topics import ALL, Topic
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered
from streams.unreadable import Unreadable

WAIT_MS = 500
LOOK_SECONDS = 1.0
"""Between two looks, while nothing comes, at whether the brokers still answer."""


def named(name: str) -> Topic:
    """The topic of the contract called `name`, with or without "ouzel."; `DeployError` if there is none to read."""
    readable = {topic.name.removeprefix("ouzel."): topic for topic in ALL if topic.value is not None}
    topic = readable.get(name.removeprefix("ouzel."))
    if topic is None:
        raise DeployError(f"there is no topic {name} to read. There are: {', '.join(readable)}.")
    return topic


async def read(
    bootstrap: str,
    topic: Topic,
    tell: Callable[[str], None],
    *,
    key: str | None = None,
    follow: bool = False,
    connection: Mapping[str, Any] = PLAIN,
    timeout: float = TIMEOUT_SECONDS,
) -> None:
    """Tell every record of `topic`, oldest first in each partition, as JSON with its key and value.

    `connection` holds further options of an aiokafka client: encryption and a login. With `key`, only that one's. Ends
    at the end of the topic, or with `follow` goes on until cancelled. What was not committed is left out. Bytes are
    base64. Raises `DeployError` where no broker answers for `timeout` seconds, or the topic is missing or may not be
    read."""
    rights = {topic.name: "Read"}
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-read"}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
        try:
            await consumer.start()
            count = (await check_topics(consumer, bootstrap, connection, rights))[topic.name]
            partitions = numbered(topic.name, count)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            looked, over = 0.0, False
            while True:
                batches = await consumer.getmany(timeout_ms=WAIT_MS)
                for records in batches.values():
                    deadline.extend()
                    for record in records:
                        if key is None or record.key == key.encode():
                            tell(line(topic, record))
                if not follow:
                    # One more look behind the end: a broker may be late to say where that is. Others may go on writing.
                    if over:
                        return
                    over = await _at(consumer, ends)
                elif not batches and asyncio.get_running_loop().time() - looked > LOOK_SECONDS:
                    # No record says nothing of the brokers: a consumer waits for those that are gone without a word.
                    with suppress(KafkaError):
                        await check_topics(consumer, bootstrap, connection, rights)
                        deadline.extend()
                    looked = asyncio.get_running_loop().time()
        finally:
            await ended(consumer)


async def _at(consumer: Any, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether everything before these offsets has been read."""
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])


def line(topic: Topic, record: Any) -> str:
    """One record as a line of JSON; what is not of the contract, or cannot be read, says so."""
    if isinstance(record, Unreadable):
        unread = {"partition": record.partition, "offset": record.first, "refused": record.detail}
        return msgspec.json.encode(unread).decode()
    shown: dict[str, Any] = {"partition": record.partition, "offset": record.offset}
    try:
        shown["value"] = decode(topic.value, record.value) if topic.value and record.value is not None else None
    except Refused as refused:
        shown["refused"] = str(refused)
    return msgspec.json.encode(shown).decode()
