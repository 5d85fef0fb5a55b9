"""`ouzel read`: what is on a topic, a line of JSON a record, for people and for `jq`."""

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from aiokafka import TopicPartition
from aiokafka.errors import KafkaError

from deploy.errors import DeployError, no_broker
from deploy.topics import PLAIN
from schemas.codec import decode
from schemas.errors import Refused
from schemas.topics import ALL, Topic
from streams.errors import CannotRead
from streams.fetching import Reader
from streams.unreadable import Unreadable

WAIT_MS = 500


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
) -> None:
    """Tell every record of `topic`, oldest first in each partition, as JSON with its key and value.

    `connection` holds further options of an aiokafka client: encryption and a login. With `key`, only that one's. Ends
    at the end of the topic, or with `follow` goes on until cancelled. What was not committed is left out. Bytes are
    base64. Raises `DeployError` where no broker answers or the topic is missing."""
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-read"}
    consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
    try:
        await consumer.start()
        found = (await consumer._client.fetch_all_metadata()).partitions_for_topic(topic.name)
        if not found:
            raise DeployError(f"there is no topic {topic.name} at {bootstrap}. `ouzel topics create` makes it.")
        partitions = [TopicPartition(topic.name, number) for number in sorted(found)]
        consumer.assign(partitions)
        await consumer.seek_to_beginning(*partitions)
        quiet = False
        while follow or not quiet:
            batches = await consumer.getmany(timeout_ms=WAIT_MS)
            quiet = not batches
            for records in batches.values():
                for record in records:
                    if key is None or record.key == key.encode():
                        tell(line(topic, record))
    except CannotRead as error:
        raise DeployError(str(error)) from error
    except KafkaError as error:
        raise no_broker(bootstrap, error) from error
    finally:
        await consumer.stop()


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
