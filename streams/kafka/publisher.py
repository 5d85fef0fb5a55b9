"""Sends records and waits until the broker has them."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import msgspec
from aiokafka.errors import MessageSizeTooLargeError

from schemas.codec import decode, encode
from schemas.dead_letters import DeadLetter
from schemas.topics import DEAD_LETTERS
from streams.dead_letters import cut
from streams.log_limit import RateLimitedLog

log = logging.getLogger(__name__)

TRIES = 3
"""How often a record is sent alone before it is dropped."""

OVERHEAD = 512
"""Upper bound of a record's size beside its key and value."""


class Output(NamedTuple):
    """One record to publish; its partition follows from its key."""

    topic: str
    key: bytes | None
    value: bytes | None


class Publisher:
    """Sends through the worker's producer. `producer` returns it once it is started; `oversized` is called with the
    topic of each dropped record."""

    def __init__(self, producer: Callable[[], Any], oversized: Callable[[str], None] = lambda _: None) -> None:
        self._producer = producer
        self._oversized = oversized
        self._lines = RateLimitedLog(log)

    async def __call__(self, outputs: Sequence[Output]) -> None:
        """Send the records, in this order within a partition, and return when the broker has them all.

        Raises what the first failed send raises. Brokers refuse oversized records by the batch, so each record of such
        a batch is retried alone. One that is still too large would always be refused: it is dropped, logged and
        counted. A dead letter is first retried without the original bytes, which stay readable at its origin.
        """
        await self._deliver(outputs)

    async def every(self, outputs: Sequence[Output]) -> None:
        """The same, but raises `MessageSizeTooLargeError` if a record was dropped."""
        if await self._deliver(outputs):
            raise MessageSizeTooLargeError

    async def _deliver(self, outputs: Sequence[Output]) -> int:
        """Send the records; how many were dropped."""
        dropped = 0
        producer = self._producer()
        sent = [(each, await self._send(producer, each)) for each in outputs]
        for each, future in sent:
            try:
                if future is not None:
                    await future
                    continue
                alone = False
            except MessageSizeTooLargeError:
                alone = await self._sent(producer, each)
            if not alone:
                dropped += not await self._send_less(producer, each)
        return dropped

    async def _send(self, producer: Any, each: Output) -> asyncio.Future[Any] | None:
        """The pending answer; None if the producer itself refuses the record for its size."""
        try:
            future: asyncio.Future[Any] = await producer.send(each.topic, key=each.key, value=each.value)
        except MessageSizeTooLargeError:
            return None
        return future

    async def _sent(self, producer: Any, each: Output) -> bool:
        """Whether the broker accepts the record. Its batch may hold others, so one refusal proves little."""
        for _ in range(TRIES):
            future = await self._send(producer, each)
            if future is None:
                return False
            try:
                await future
            except MessageSizeTooLargeError:
                continue
            return True
        return False

    async def _send_less(self, producer: Any, each: Output) -> bool:
        """Whether a dead letter was sent without its bytes; other records are dropped."""
        slim = _without_bytes(each)
        if slim is None or not await self._sent(producer, slim[0]):
            self._give_up(each)
            return False
        self._lines.warning(
            each.topic,
            f"A dead letter was published without its {slim[1]}: raise max.message.bytes of {each.topic} to keep it",
        )
        return True

    def _give_up(self, each: Output) -> None:
        self._oversized(each.topic)
        size = len(each.key or b"") + len(each.value or b"")
        self._lines.error(
            each.topic,
            f"A record of {size} bytes was not published: {each.topic} accepts no record of that size. Raise its "
            f"max.message.bytes to {size + OVERHEAD} or more",
        )


def _without_bytes(each: Output) -> tuple[Output, str] | None:
    """A dead letter without the original's key and value, and what was left out; None if it has neither."""
    if each.topic != DEAD_LETTERS.name or each.value is None:
        return None
    letter = decode(DeadLetter, each.value)
    parts = [(name, len(part)) for name, part in (("key", letter.key), ("value", letter.value)) if part is not None]
    if not parts:
        return None
    left_out = " and ".join(f"{name} of {size} bytes" for name, size in parts)
    slim = msgspec.structs.replace(letter, key=None, value=None, detail=cut(letter.detail, f" ({left_out}, left out)"))
    return Output(each.topic, None, encode(slim)), left_out
