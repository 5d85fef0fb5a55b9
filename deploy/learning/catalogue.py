"""The catalogue as a learner needs it: every item on `ouzel.items` now."""

import asyncio
from collections.abc import Mapping
from typing import Any

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from schemas.codec import decode_item
from schemas.errors import Refused
from schemas.items import Item
from schemas.topics import ITEMS
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered
from streams.unreadable import Unreadable

WAIT_MS = 200


async def read_catalogue(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> tuple[Item, ...]:
    """The items that are not withdrawn, in the order of their ids. Records that workers refuse are left out.

    Raises `DeployError` if no broker answers for `timeout` seconds, or the topic is missing or not readable.
    """
    rights = {ITEMS.name: "Read"}
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-learn"}
    found: dict[bytes, Item] = {}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
        try:
            await consumer.start()
            count = (await check_topics(consumer, bootstrap, connection, rights))[ITEMS.name]
            partitions = numbered(ITEMS.name, count)
            consumer.assign(partitions)
            await consumer.seek_to_beginning(*partitions)
            ends = await consumer.end_offsets(partitions)
            while not all([await consumer.position(each) >= end for each, end in ends.items()]):
                for records in (await consumer.getmany(timeout_ms=WAIT_MS)).values():
                    deadline.extend()
                    for record in records:
                        _take(found, record)
                await asyncio.sleep(0)
        finally:
            await ended(consumer)
    return tuple(sorted(found.values(), key=lambda item: item.id))


def _take(found: dict[bytes, Item], record: Any) -> None:
    if isinstance(record, Unreadable) or record.key is None:
        return
    if record.value is None:
        found.pop(record.key, None)
        return
    try:
        found[record.key] = decode_item(record.value, key=record.key)
    except Refused:
        return
