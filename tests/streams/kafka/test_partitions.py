"""The partitions of a topic."""

from types import SimpleNamespace
from typing import Any

from aiokafka import TopicPartition
from aiokafka.partitioner import DefaultPartitioner
from faust.types import TP

from streams.kafka.partitions import learn, numbered, of_topic, partition_of, partitions_of


class Client:
    """An aiokafka client that knows these partitions."""

    def __init__(self, known: dict[str, set[int]]) -> None:
        self.cluster = SimpleNamespace(partitions_for_topic=known.get)
        self._topics = {"a", "b"}
        self.updates = 0

    async def fetch_all_metadata(self) -> Any:
        return self.cluster

    def force_metadata_update(self) -> None:
        self.updates += 1


async def test_partitions_are_listed_in_order() -> None:
    consumer = SimpleNamespace(_client=Client({"a": {2, 0, 1}}))
    assert await partitions_of(consumer, "a") == numbered("a", 3) == [TopicPartition("a", n) for n in range(3)]
    assert await partitions_of(consumer, "missing") == []


def test_partitions_of_other_topics_are_left_out() -> None:
    assert of_topic("a", [TP("a", 3), TP("b", 1), TP("a", 0)]) == [0, 3]


def test_metadata_is_refreshed_only_for_a_known_topic_with_another_count() -> None:
    client = Client({"a": {0, 1}})
    learn(client, {"a": 2, "other": 5})
    assert client.updates == 0
    learn(client, {"a": 3})
    learn(client, {"b": 1})
    assert client.updates == 2


def test_partition_of_a_key_is_where_the_producer_puts_it() -> None:
    choose = DefaultPartitioner()
    for count in (1, 4, 7):
        for key in (b"", b"u", "Zoë".encode(), b"guest-0123456789ab"):
            assert partition_of(key, count) == choose(key, list(range(count)), list(range(count)))
