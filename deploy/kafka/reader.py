"""`ouzel read`: print a topic's records, one line of JSON each."""

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
"""Interval of checks that the brokers still answer, while no records arrive."""


def named(name: str) -> Topic:
    """The readable topic `name`, with or without the "ouzel." prefix. Raises `DeployError` if there is none."""
    readable = {topic.name.removeprefix("ouzel."): topic for topic in ALL if topic.value is not None}
    topic = readable.get(name.removeprefix("ouzel."))
    if topic is None:
        raise DeployError(f"there is no topic {name}. Readable topics: {', '.join(readable)}.")
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
    """Pass every record of `topic` to `tell` as a line of JSON, oldest first in each partition.

    `connection` holds further options of an aiokafka client: encryption and a login. `key` selects records with this
    key. Ends at the end of the topic; with `follow`, runs until cancelled. Uncommitted records are skipped. Bytes are
    base64. Raises `DeployError` if no broker answers for `timeout` seconds, or the topic is missing or not readable.
    """
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
                    # Poll once more: a broker may report an old end offset. Do not wait longer: producers may go on.
                    if over:
                        return
                    over = await _at(consumer, ends)
                elif not batches and asyncio.get_running_loop().time() - looked > LOOK_SECONDS:
                    # Without records, check the brokers: a consumer waits silently for brokers that are gone.
                    with suppress(KafkaError):
                        await check_topics(consumer, bootstrap, connection, rights)
                        deadline.extend()
                    looked = asyncio.get_running_loop().time()
        finally:
            await ended(consumer)


async def _at(consumer: Any, ends: Mapping[TopicPartition, int]) -> bool:
    """Whether the consumer has reached these offsets."""
    return all([await consumer.position(partition) >= end for partition, end in ends.items()])


def line(topic: Topic, record: Any) -> str:
    """One record as a line of JSON; an invalid or unreadable record has the reason in `refused`."""
    if isinstance(record, Unreadable):
        unread = {"partition": record.partition, "offset": record.first, "refused": record.detail}
        return msgspec.json.encode(unread).decode()
    shown: dict[str, Any] = {"partition": record.partition, "offset": record.offset}
    try:
        shown["value"] = decode(topic.value, record.value) if topic.value and record.value is not None else None
    except Refused as refused:
        shown["refused"] = str(refused)
    return msgspec.json.encode(shown).decode()
