"""Sending what a request asks for to Kafka, within a bounded time."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from aiokafka.errors import KafkaError, MessageSizeTooLargeError, TopicAuthorizationFailedError

from streams.kafka.publisher import Output

SEND_SECONDS = 5.0
"""Maximum time for the brokers to take the records of a request."""

Publish = Callable[[Sequence[Output]], Awaitable[None]]


class NotSent(Exception):
    """The brokers did not take the records, or not all of them; the text says what to do."""


async def send_in_time(publish: Publish, outputs: Sequence[Output]) -> None:
    """Publish records and return when the brokers have them. Raises `NotSent`; records may arrive all the same."""
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await publish(outputs)
    except TopicAuthorizationFailedError:
        topics = " or ".join(dict.fromkeys(each.topic for each in outputs))
        raise NotSent(f"The worker may not write {topics}: grant its user Write on it.") from None
    except MessageSizeTooLargeError:
        topics = " or ".join(dict.fromkeys(each.topic for each in outputs))
        raise NotSent(f"It is too large for {topics}: send less, or raise max.message.bytes of the topic.") from None
    except (KafkaError, TimeoutError):
        raise NotSent("The brokers did not take it in time. Try again in a few seconds.") from None
