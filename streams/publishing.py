"""Sending records and waiting until the broker has them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.topics import DEAD_LETTERS

log = logging.getLogger(__name__)


class Output(NamedTuple):
    """One record to publish; its partition follows from its key."""

    topic: str
    key: bytes | None
    value: bytes | None


class Publisher:
    """Sends through the worker's producer. `producer` gives it once it is started."""

    def __init__(self, producer: Callable[[], Any]) -> None:
        self._producer = producer

    async def __call__(self, outputs: Sequence[Output]) -> None:
        """Send the records, in this order within a partition, and return when the broker has them all.

        Raises what the first failed send raises. A dead letter that the broker finds too large is sent without the
        original bytes: at its origin they can still be read.
        """
        producer = self._producer()
        sent = [(each, await self._send(producer, each)) for each in outputs]
        for each, future in sent:
            try:
                await future
            except MessageSizeTooLargeError:
                await (await self._send(producer, _without_bytes(each)))

    async def _send(self, producer: Any, each: Output) -> asyncio.Future[Any]:
        try:
            future: asyncio.Future[Any] = await producer.send(each.topic, key=each.key, value=each.value)
        except MessageSizeTooLargeError:
            future = await producer.send(each.topic, key=each.key, value=_without_bytes(each).value)
        return future


def _without_bytes(each: Output) -> Output:
    if each.topic != DEAD_LETTERS.name:
        raise MessageSizeTooLargeError(f"a record for {each.topic} is larger than the brokers take")
    letter = decode(DeadLetter, each.value)
    size = len(letter.value or b"")
    log.warning("A dead letter of %d bytes is larger than %s takes: raise its max.message.bytes", size, each.topic)
    slim = msgspec.structs.replace(letter, key=None, value=None, detail=f"{letter.detail} ({size} bytes, left out)")
    return Output(each.topic, None, encode(slim))
