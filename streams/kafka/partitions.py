"""The partitions of a topic, listed in one place."""

from collections.abc import Iterable, Mapping
from typing import Any

from aiokafka import TopicPartition
from aiokafka.partitioner import murmur2
from faust.types import TP


def numbered(topic: str, count: int) -> list[TopicPartition]:
    """The `count` partitions of a topic."""
    return [TopicPartition(topic, number) for number in range(count)]


async def partitions_of(consumer: Any, topic: str) -> list[TopicPartition]:
    """The partitions of `topic` as the brokers know them now, ascending, asked by a started aiokafka consumer.

    Empty if the topic does not exist or the client may not see it.
    """
    metadata = await consumer._client.fetch_all_metadata()
    return [TopicPartition(topic, number) for number in sorted(metadata.partitions_for_topic(topic) or ())]


def partition_of(key: bytes, count: int) -> int:
    """The partition, of `count`, in which Kafka's default partitioner puts records with this key."""
    return int(murmur2(key) & 0x7FFFFFFF) % count


def of_topic(topic: str, tps: Iterable[TP]) -> list[int]:
    """The partitions of one topic among `tps`, ascending."""
    return sorted(tp.partition for tp in tps if tp.topic == topic)


def learn(client: Any, partitions: Mapping[str, int]) -> None:
    """Make an aiokafka client refresh its metadata if a topic has another number of partitions than it knows.

    Where a topic was missing or unreadable, the client knows of no partition.
    """
    known = client.cluster.partitions_for_topic
    if any(len(known(topic) or ()) != count for topic, count in partitions.items() if topic in client._topics):
        client.force_metadata_update()
