"""Every record that a topic has now, for commands that need all of it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered

WAIT_MS = 200
EMPTY_MS = 1_000
"""How long an empty topic is read all the same: only a fetch tells that reading is not allowed."""


async def whole_topic(
    topic: str,
    bootstrap: str,
    connection: Mapping[str, Any] = PLAIN,
    timeout: float = TIMEOUT_SECONDS,
    *,
    client: str = "ouzel-learn",
) -> AsyncGenerator[Any]:
    """The records up to the ends that the partitions have when this begins; close it where it is left early.

    `client` is the name of this client at the brokers.

    Raises `DeployError` if no broker answers for `timeout` seconds, or the topic is missing or not readable.
    """
    rights = {topic: "Read"}
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": client}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
        try:
            await consumer.start()
            count = (await check_topics(consumer, bootstrap, connection, rights))[topic]
            partitions = numbered(topic, count)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            if not any([await consumer.position(each) < end for each, end in ends.items()]):
                await consumer.getmany(timeout_ms=EMPTY_MS)
            while not all([await consumer.position(each) >= end for each, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=WAIT_MS)).values():
                    deadline.extend()
                    for record in records:
                        yield record
                await asyncio.sleep(0)
        finally:
            await ended(consumer)
