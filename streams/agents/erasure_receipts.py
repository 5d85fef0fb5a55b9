"""Follows `ouzel.privacy-receipts` for the training log: every receipt on the topic, from its beginning."""

import logging
from collections.abc import Callable, Mapping
from typing import Any

from schemas.codec import decode
from schemas.errors import Refused
from schemas.privacy import ErasureReceipt
from schemas.topics import PRIVACY_RECEIPTS
from streams.kafka.partitions import partitions_of
from streams.log_limit import RateLimitedLog
from streams.training_log.erasures import Erasures, order_of
from streams.training_log.metrics import LogMetrics

log = logging.getLogger(__name__)

WAIT_MS = 200


class ErasureReceipts:
    """Adds the orders of all receipts to `erasures`. `names` gives the names that a user may have in the log.

    `keyed` says whether these are pseudonyms.
    """

    def __init__(
        self,
        consumer: Any,
        erasures: Erasures,
        metrics: LogMetrics,
        names: Callable[[str], frozenset[str]],
        keyed: bool,
    ) -> None:
        self._consumer = consumer
        self._erasures = erasures
        self._metrics = metrics
        self._names = names
        self._keyed = keyed
        self._lines = RateLimitedLog(log)

    async def start(self) -> None:
        """Read everything up to the present end. Raises `KafkaError` and `CannotRead`."""
        await self._consumer.start()
        partitions = await partitions_of(self._consumer, PRIVACY_RECEIPTS.name)
        self._consumer.assign(partitions)
        await self._consumer.seek_to_beginning(*partitions)
        ends = await self._consumer.end_offsets(partitions)
        while not all([await self._consumer.position(tp) >= end for tp, end in ends.items()]):
            self._take(await self._consumer.getmany(timeout_ms=WAIT_MS))

    async def poll(self) -> bool:
        """Take the receipts that have arrived, without waiting; whether there were any."""
        return self._take(await self._consumer.getmany(timeout_ms=0))

    async def stop(self) -> None:
        await self._consumer.stop()

    def _take(self, batches: Mapping[Any, list[Any]]) -> bool:
        before = len(self._erasures)
        for record in (each for records in batches.values() for each in records):
            try:
                receipt = decode(ErasureReceipt, record.value)
            except Refused as refused:
                self._metrics.rejected.labels(PRIVACY_RECEIPTS.name, refused.code.value).inc()
                self._lines.error("receipt", f"The receipt at offset {record.offset} cannot be read: {refused.detail}")
                continue
            if receipt.person and not self._keyed:
                self._lines.error(
                    "key",
                    "Workers use pseudonyms, but OUZEL_PSEUDONYM_KEY is not set here, so events are logged under user "
                    "ids: set the workers' key, and delete what is logged.",
                )
            self._erasures.add(order_of(receipt, self._names(receipt.user), record.timestamp))
        self._metrics.orders.set(len(self._erasures))
        return len(self._erasures) > before
