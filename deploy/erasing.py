"""`ouzel forget`: an erasure order to the workers, and the receipt that comes back."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import KafkaError

from deploy.errors import DeployError
from deploy.topics import PLAIN
from schemas.codec import decode, decode_order, encode
from schemas.errors import Refused
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.topics import PRIVACY, PRIVACY_RECEIPTS
from streams.errors import CannotRead
from streams.fetching import Reader

GRACE_SECONDS = 5.0


async def order(
    bootstrap: str, erasure: ErasureOrder, *, timeout: float, connection: Mapping[str, Any] = PLAIN
) -> ErasureReceipt | None:
    """Send the order and wait at most `timeout` seconds for its receipt; None if none comes, or 0 are to be waited.

    The order stands all the same, and sending it again with the same id does no harm. Raises `DeployError` where the
    brokers do not take it or its fields are out of bounds.
    """
    value, key = encode(erasure), erasure.user.encode()
    try:
        decode_order(value, key=key)
    except Refused as refused:
        raise DeployError(f"the order cannot be sent: {refused.detail}. Check the user's id.") from None
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-forget"}
    receipts = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
    producer = AIOKafkaProducer(acks="all", **options)
    try:
        await receipts.start()
        await producer.start()
        at = TopicPartition(PRIVACY_RECEIPTS.name, 0)
        receipts.assign([at])
        await receipts.seek_to_end(at)
        await receipts.position(at)  # the end is known before the order goes out
        await producer.send_and_wait(PRIVACY.name, value, key=key)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout + GRACE_SECONDS):  # a client waits for brokers that are gone
                return await _await_receipt(receipts, at, erasure, timeout)
        return None
    except CannotRead as error:
        raise DeployError(str(error)) from error
    except KafkaError as error:
        raise DeployError(
            f"no answer from {bootstrap}: {error!r}. Check the address, the login, and `ouzel topics list`."
        ) from error
    finally:
        await producer.stop()
        await receipts.stop()


async def _await_receipt(
    receipts: Any, at: TopicPartition, erasure: ErasureOrder, timeout: float
) -> ErasureReceipt | None:
    deadline = time.monotonic() + timeout
    while (left := deadline - time.monotonic()) > 0:
        records = await receipts.getmany(at, timeout_ms=int(min(left, 0.5) * 1000) + 1)
        for record in records.get(at, ()):
            try:
                receipt = decode(ErasureReceipt, record.value)
            except Refused:
                continue
            if (receipt.order, receipt.user) == (erasure.id, erasure.user):
                return receipt
    return None
