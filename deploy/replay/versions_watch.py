"""Follow `ouzel.models` and `ouzel.comparisons` for the view."""

import contextlib
from collections.abc import Mapping
from typing import Any

from deploy.kafka.asking import PLAIN, TIMEOUT_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from schemas.codec import decode
from schemas.errors import Refused
from schemas.models import Comparison, ModelStatus
from schemas.topics import COMPARISONS, MODELS
from streams.kafka.fetcher import Reader
from streams.kafka.partitions import numbered
from streams.serving.trials import Trials

RIGHTS = {MODELS.name: "Read", COMPARISONS.name: "Read"}
"""The rights that following needs."""


async def follow_versions(bootstrap: str, versions: Trials, connection: Mapping[str, Any] = PLAIN) -> None:
    """Fill `versions` until cancelled: with every record of `ouzel.models`, and with the comparisons from now on.

    Raises `DeployError` if the brokers do not answer, or a topic is missing or not readable.
    """
    async with asking(bootstrap, connection, seconds=TIMEOUT_SECONDS, rights=RIGHTS) as deadline:
        consumer = Reader(**{**connection, "bootstrap_servers": bootstrap}, fetch_max_wait_ms=100)
        try:
            await consumer.start()
            counts = await check_topics(consumer, bootstrap, connection, RIGHTS)
            partitions = {name: numbered(name, count) for name, count in counts.items()}
            consumer.assign([each for some in partitions.values() for each in some])
            await consumer.seek_to_beginning(*partitions[MODELS.name])
            await consumer.seek_to_end(*partitions[COMPARISONS.name])
            deadline.lift()
            async for record in consumer:
                with contextlib.suppress(Refused):  # skip unreadable records
                    take(record, versions)
        finally:
            await ended(consumer)


def take(record: Any, versions: Trials) -> None:
    """Take in a record of either topic. Raises `Refused` if it is unreadable."""
    if record.value is None:
        return  # a version that was deleted
    if record.topic == MODELS.name:
        versions.take_status(decode(ModelStatus, record.value))
    else:
        versions.take_comparison(decode(Comparison, record.value))
