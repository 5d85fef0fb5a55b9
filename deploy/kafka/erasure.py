"""`ouzel forget`: send an erasure order to the workers and wait for the receipt."""

import time
from collections.abc import Mapping
from typing import Any

from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.errors import TopicAuthorizationFailedError

from deploy.errors import DeployError
from deploy.kafka.asking import PLAIN, PROBE_SECONDS, asking, ended
from deploy.kafka.rights import check_topics
from schemas.codec import decode, decode_order, encode
from schemas.errors import Refused
from schemas.privacy import ErasureOrder, ErasureReceipt
from schemas.topics import PRIVACY, PRIVACY_RECEIPTS
from streams.errors import CannotRead
from streams.kafka.fetcher import Reader

LEAST_SECONDS = 5.0
"""Minimum time to send the order, however short the wait for its receipt."""


async def order(
    bootstrap: str, erasure: ErasureOrder, *, timeout: float, connection: Mapping[str, Any] = PLAIN
) -> ErasureReceipt | None:
    """Send the order and wait up to `timeout` seconds for its receipt; None if no receipt came, or `timeout` is 0.

    Without a receipt the order is still in force, and sending it again with the same id is safe. Raises `DeployError`
    if the brokers do not accept it within `timeout` seconds (at least 5), stop answering, or its fields are out of
    bounds.
    """
    value, key = encode(erasure), erasure.user.encode()
    try:
        decode_order(value, key=key)
    except Refused as refused:
        raise DeployError(f"the order is not valid: {refused.detail}. Check the user's id.") from None
    rights = {PRIVACY.name: "Write", PRIVACY_RECEIPTS.name: "Read"}
    options = {**connection, "bootstrap_servers": bootstrap, "client_id": "ouzel-forget"}
    sent, until = False, time.monotonic() + timeout
    try:
        async with asking(bootstrap, connection, seconds=max(timeout, LEAST_SECONDS) + 1, rights=rights) as deadline:
            receipts = Reader(**options, enable_auto_commit=False, fetch_max_wait_ms=100)
            producer = AIOKafkaProducer(acks="all", **options)
            try:
                await receipts.start()
                await producer.start()
                await check_topics(receipts, bootstrap, connection, rights)
                at = TopicPartition(PRIVACY_RECEIPTS.name, 0)
                receipts.assign([at])
                await receipts.seek_to_end(at)
                await receipts.position(at)  # the end is known before the order goes out
                await _send(producer, value, key)
                sent = True
                receipt = await _await_receipt(receipts, at, erasure, until)
                if receipt is None:
                    deadline.extend(PROBE_SECONDS)
                    await check_topics(receipts, bootstrap, connection, rights)  # are the brokers still there?
                return receipt
            finally:
                await ended(producer)
                await ended(receipts)
    except (DeployError, CannotRead) as failed:
        if not sent:
            raise
        raise DeployError(f"order {erasure.id} was sent, but reading its receipt failed: {failed}") from failed


async def _send(producer: Any, value: bytes, key: bytes) -> None:
    try:
        await producer.send_and_wait(PRIVACY.name, value, key=key)
    except TopicAuthorizationFailedError:
        raise TopicAuthorizationFailedError(PRIVACY.name) from None


async def _await_receipt(
    receipts: Any, at: TopicPartition, erasure: ErasureOrder, until: float
) -> ErasureReceipt | None:
    while (left := until - time.monotonic()) > 0:
        records = await receipts.getmany(at, timeout_ms=int(min(left, 0.5) * 1000) + 1)
        for record in records.get(at, ()):
            try:
                receipt = decode(ErasureReceipt, record.value)
            except Refused:
                continue
            if (receipt.order, receipt.user) == (erasure.id, erasure.user):
                return receipt
    return None
