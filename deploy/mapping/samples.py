"""Records to try a mapping on: lines of a file, or the newest records of a topic."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from deploy.errors import DeployError
from deploy.kafka.asking import asking, ended
from deploy.kafka.rights import not_allowed, topic_states, user_of
from schemas.limits import MAX_ORIGINAL_BYTES
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered

WAIT_MS = 500


class Sample(NamedTuple):
    """A line of a file as a record."""

    topic: str
    offset: int
    value: bytes | None
    key: bytes | None = None
    partition: int = 0
    timestamp: int = 0
    headers: tuple[tuple[str, bytes], ...] = ()


def of_file(path: Path, topic: str, delimiter: str, now_ms: int) -> Iterator[Sample]:
    """The lines of a file, each the value of a record of `topic`; what is before `delimiter`, if that is not empty, is
    its key. An empty value is null. Raises `DeployError` on a line that no record could hold."""
    with path.open("rb") as file:
        number = 0
        while line := file.readline(2 * MAX_ORIGINAL_BYTES + 2):
            number += 1
            if not line.endswith(b"\n") and len(line) > 2 * MAX_ORIGINAL_BYTES:
                raise DeployError(f"{path}: line {number} is longer than a record can be. Write one record a line.")
            key, found, value = line.rstrip(b"\r\n").partition(delimiter.encode()) if delimiter else (b"", b"", line)
            if delimiter and not found:
                raise DeployError(f"{path}: line {number} has no {delimiter!r} after its key (--key-delimiter).")
            value = value.strip()
            if value or found:
                yield Sample(topic, number - 1, value or None, key if found else None, timestamp=now_ms)


async def of_topic(bootstrap: str, topic: str, most: int, connection: Mapping[str, Any], timeout: float) -> list[Any]:
    """About the newest `most` records of a topic, as many of each partition. Raises `DeployError`."""
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-mapping-check"}
    async with asking(bootstrap, connection, seconds=timeout, rights={topic: "Read"}) as deadline:
        consumer = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
        try:
            await consumer.start()
            count = (await topic_states(consumer, [topic]))[topic]
            if count < 0:
                raise not_allowed(bootstrap, user_of(connection), {topic: "Read"})
            if count == 0:
                raise DeployError(f"there is no topic {topic} at {bootstrap}: create it, or correct its name.")
            partitions = numbered(topic, count)
            consumer.assign(partitions)
            ends = await consumer.end_offsets(partitions)
            firsts = await consumer.beginning_offsets(partitions)
            for tp in partitions:
                consumer.seek(tp, max(firsts[tp], ends[tp] - max(1, most // count)))
            records: list[Any] = []
            began = time.monotonic()
            while len(records) < most and time.monotonic() - began < timeout:
                batches = await consumer.getmany(timeout_ms=WAIT_MS)
                deadline.extend()
                records += [record for batch in batches.values() for record in batch]
                if not batches and all([await consumer.position(tp) >= end for tp, end in ends.items()]):
                    break
            return sorted(records[:most], key=lambda each: (each.partition, each.offset))
        finally:
            await ended(consumer)
