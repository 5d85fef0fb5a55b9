"""The topics of roles, acknowledgements and comparisons, for the learner and for `ouzel models`."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from inference.versions.rules import Rules
from inference.versions.state import State
from schemas.codec import decode, encode
from schemas.errors import Refused
from schemas.models import Comparison, ModelAck, ModelStatus
from schemas.topics import COMPARISONS, MODEL_ACKS, MODELS
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered
from streams.unreadable import Unreadable

WAIT_MS = 200
"""How long one look at the topics waits for records."""


class KafkaChannel:
    """Implements `deploy.learning.ports.Channel`. `refused` counts records that are not what the contract says."""

    def __init__(self, consumer: Any, producer: Any, comparisons: Sequence[TopicPartition], timeout: float) -> None:
        self.refused = 0
        self._consumer = consumer
        self._producer = producer
        self._roles = [TopicPartition(MODELS.name, 0), TopicPartition(MODEL_ACKS.name, 0)]
        self._comparisons = list(comparisons)
        self._timeout = timeout

    async def catch_up(self, state: State, rules: Rules) -> None:
        async with asyncio.timeout(self._timeout):
            ends = await self._consumer.end_offsets(self._roles)
            while not await self._at(ends):
                self._take(await self._consumer.getmany(*self._roles, timeout_ms=WAIT_MS), state, rules)
            self._take(await self._consumer.getmany(*self._roles, timeout_ms=0), state, rules)

    async def compared_since(self, ms: int | None) -> None:
        if not self._comparisons:
            return
        found = {} if ms is None else await self._consumer.offsets_for_times(dict.fromkeys(self._comparisons, ms))
        ends = await self._consumer.end_offsets(self._comparisons)
        for partition in self._comparisons:
            first = found.get(partition)
            self._consumer.seek(partition, ends[partition] if first is None else first.offset)

    async def catch_up_comparisons(self, state: State, rules: Rules) -> None:
        """Read the comparisons from where `compared_since` left off up to their present ends."""
        async with asyncio.timeout(self._timeout):
            ends = await self._consumer.end_offsets(self._comparisons)
            while not await self._at(ends):
                self._take(await self._consumer.getmany(*self._comparisons, timeout_ms=WAIT_MS), state, rules)

    async def follow(self, state: State, rules: Rules) -> AsyncGenerator[Sequence[Comparison], None]:
        while True:
            yield self._take(await self._consumer.getmany(timeout_ms=WAIT_MS), state, rules)

    async def publish(self, status: ModelStatus) -> int:
        sent = await self._producer.send_and_wait(MODELS.name, encode(status), key=status.version.encode())
        return int(sent.offset)

    async def _at(self, ends: Mapping[TopicPartition, int]) -> bool:
        return all([await self._consumer.position(partition) >= end for partition, end in ends.items()])

    def _take(self, batches: Mapping[TopicPartition, Sequence[Any]], state: State, rules: Rules) -> list[Comparison]:
        compared = []
        # Roles first: comparisons count for the roles that they were made under.
        for partition in sorted(batches, key=lambda each: each.topic != MODELS.name):
            for record in batches[partition]:
                if isinstance(record, Unreadable):
                    self.refused += 1
                    continue
                if record.value is None:
                    if partition.topic == MODEL_ACKS.name and record.key is not None:
                        state.take_end(record.key.decode(errors="replace"))
                    continue
                try:
                    if partition.topic == MODELS.name:
                        state.take_record(decode(ModelStatus, record.value), record.offset, rules)
                    elif partition.topic == MODEL_ACKS.name:
                        state.take_ack(decode(ModelAck, record.value))
                    else:
                        comparison = decode(Comparison, record.value)
                        state.take_comparison(comparison, record.timestamp)
                        compared.append(comparison)
                except Refused:
                    self.refused += 1
        return compared


@asynccontextmanager
async def open_channel(
    bootstrap: str, connection: Mapping[str, Any] = PLAIN, timeout: float = TIMEOUT_SECONDS
) -> AsyncIterator[KafkaChannel]:
    """A channel to the brokers, at the beginning of roles and acknowledgements and at the end of comparisons.

    Raises `DeployError` if no broker answers within `timeout` seconds, or a topic is missing or not allowed.
    """
    rights = {MODELS.name: "Read", MODEL_ACKS.name: "Read", COMPARISONS.name: "Read"}
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-learn"}
    async with asking(bootstrap, connection, seconds=timeout, rights=rights) as deadline:
        consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
        producer = AIOKafkaProducer(acks="all", **options)
        try:
            await consumer.start()
            await producer.start()
            counts = await check_topics(consumer, bootstrap, connection, rights)
            comparisons = numbered(COMPARISONS.name, counts[COMPARISONS.name])
            channel = KafkaChannel(consumer, producer, comparisons, timeout)
            consumer.assign([*channel._roles, *comparisons])
            await consumer.seek_to_beginning(*channel._roles)
            await channel.compared_since(None)
            deadline.lift()
            yield channel
        finally:
            await ended(producer)
            await ended(consumer)
